"""Writes, with TensorFlow 2, models with functions, control flow and tables into FOLDER."""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

X = tf.TensorSpec([None, 3], tf.float32, name="x")


def matrix(seed):
    return np.random.RandomState(seed).rand(3, 3).astype(np.float32)


class Functions(tf.Module):
    """A signature for each thing that functions do; two variables have one name."""

    def __init__(self):
        super().__init__()
        self.a = tf.Variable(matrix(0), name="same")
        self.b = tf.Variable(matrix(1), name="same")
        self.rows = tf.Variable(np.random.RandomState(2).rand(10, 3).astype(np.float32), name="rows")
        self.constant = tf.constant(matrix(3))
        self.calls = tf.Variable(0, name="calls")

    @tf.function(input_signature=[X])
    def captures(self, x):
        return tf.matmul(x, self.a) + tf.matmul(x, self.constant)

    @tf.function(input_signature=[X])
    def branches(self, x):
        y = tf.cond(tf.reduce_sum(x) > 0.0, lambda: tf.matmul(x, self.a), lambda: tf.matmul(x, self.b) * 2.0)
        number = tf.cast(tf.reduce_sum(x), tf.int32) % 3
        z = tf.switch_case(number, [lambda: y, lambda: y + self.a[0], lambda: tf.matmul(y, self.b)])
        return {"y": y, "z": z}

    @tf.function(input_signature=[X])
    def loops(self, x):
        """Calls inside a branch inside a loop, a variable in the loop's condition, and one tensor under two names."""

        @tf.function
        def layer(t, weights):
            return tf.tanh(tf.matmul(t, weights))

        def turn(i, t):
            t = tf.cond(i % 2 < 1, lambda: layer(t, self.a), lambda: layer(t, self.b) + tf.gather(self.rows, i))
            return i + 1, layer(t, self.b)

        i, t = tf.while_loop(lambda i, t: tf.logical_and(i < 5, tf.reduce_sum(self.a) > 0.0), turn, [0, x])
        return {"i": i, "t": t, "t_again": t, "x_again": x}

    @tf.function(input_signature=[X])
    def calls_twice(self, x):
        """One function with two variables, operations of several outputs, an assertion and an update."""

        @tf.function
        def layer(weights, x):
            tf.debugging.assert_all_finite(x, "x")
            values, places = tf.unique(tf.reshape(tf.cast(x * 4.0, tf.int32), [-1]))
            columns = tf.split(x, 3, axis=1)
            counted = tf.cast(tf.size(values) + tf.reduce_sum(places), tf.float32)
            return tf.matmul(x, weights) + counted + columns[2]

        self.calls.assign_add(1)
        return {"first": layer(self.a, x), "second": layer(self.b, x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="x"), tf.TensorSpec([], tf.float32, "scale")])
    def embeds(self, x, scale):
        return tf.nn.embedding_lookup(self.rows, x % 10) * scale

    @tf.function(input_signature=[X])
    def counts(self, x):
        """Gives something else with each call: what a frozen graph cannot do."""
        self.calls.assign_add(1)
        return x * tf.cast(self.calls, tf.float32)


class Tables(tf.Module):
    """A table of constants, one of a file that is an asset, and look-ups inside a loop."""

    def __init__(self, folder):
        super().__init__()
        path = folder / "words.txt"
        path.write_text("a\nb\nc\n")
        lookup = tf.lookup
        constants = lookup.KeyValueTensorInitializer(tf.constant(["0", "1", "2"]), tf.constant([5, 6, 7], tf.int64))
        index = lookup.TextFileIndex
        lines = lookup.TextFileInitializer(str(path), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER)
        self.digits = lookup.StaticHashTable(constants, -1)
        self.words = lookup.StaticVocabularyTable(lines, 2)
        self.rows = tf.Variable(np.arange(30, dtype=np.float32).reshape(10, 3))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="x")])
    def look_up(self, x):
        digits = tf.strings.as_string(x % 4)
        words = self.words.lookup(tf.gather(tf.constant(["a", "b", "c", "zz"]), x % 4))
        _, sum_ = tf.while_loop(lambda i, t: i < 3, lambda i, t: (i + 1, t + self.digits.lookup(digits)), [0, x])
        return {"digits": self.digits.lookup(digits), "words": words, "rows": tf.gather(self.rows, words), "sum": sum_}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    functions = Functions()
    names = ("captures", "branches", "loops", "calls_twice", "embeds", "counts")
    signatures = {name: getattr(functions, name).get_concrete_function() for name in names}
    tf.saved_model.save(functions, str(folder / "functions"), signatures=signatures)
    tables = Tables(folder)
    tf.saved_model.save(tables, str(folder / "tables"), signatures=tables.look_up.get_concrete_function())
    keras(folder)


def keras(folder):
    layers = tf.keras.layers
    sequence = layers.Input((7, 4), name="sequence")
    hidden = layers.GRU(4)(layers.LSTM(5, return_sequences=True)(sequence))
    hidden = layers.Dropout(0.5)(layers.BatchNormalization()(hidden))
    recurrent = tf.keras.Model(sequence, layers.Dense(3, activation="softmax", name="probabilities")(hidden))
    save(recurrent, folder / "recurrent")
    one, two = layers.Input((4,), name="one"), layers.Input((4,), name="two")
    shared = layers.Dense(3, name="shared")
    save(tf.keras.Model([one, two], [layers.Add(name="sum")([shared(one), shared(two)]), shared(one)]), folder / "two")


def save(model, path):
    """As a SavedModel, as HDF5 and, where this Keras knows it, as an archive."""
    if hasattr(model, "export"):
        model.export(str(path))
    else:
        model.save(str(path), save_format="tf")
    model.save(str(path) + ".h5")
    if tuple(int(number) for number in tf.__version__.split(".")[:2]) >= (2, 12):
        model.save(str(path) + ".keras")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
