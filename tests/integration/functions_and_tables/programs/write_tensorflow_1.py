"""Writes, with TensorFlow 1, models with functions, loops and tables: FOLDER/<name>/saved_model and /checkpoint."""

import shutil
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.contrib import lookup
from tensorflow.python.framework import function


def main(folder):
    for name, build in (("tables", tables), ("loops", loops), ("loops_as_functions", loops_as_functions)):
        with tf.Graph().as_default():
            tf.set_random_seed(3)
            build(folder / name)
    keras(folder / "keras")


def save(folder, session, inputs, outputs, initialiser=None):
    info = tf.saved_model.utils.build_tensor_info
    signature = tf.saved_model.signature_def_utils.build_signature_def(
        {name: info(tensor) for name, tensor in inputs.items()},
        {name: info(tensor) for name, tensor in outputs.items()},
        "a method",
    )
    builder = tf.saved_model.builder.SavedModelBuilder(str(folder / "saved_model"))
    builder.add_meta_graph_and_variables(
        session,
        ["serve"],
        {"serving_default": signature},
        assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS),
        legacy_init_op=initialiser,
    )
    builder.save()
    (folder / "checkpoint").mkdir()
    tf.train.Saver().save(session, str(folder / "checkpoint" / "model.ckpt"), write_state=False)


def tables(folder):
    """A table of constants, two of a file's columns, and one that was filled in training and lies in the checkpoint."""
    folder.mkdir()
    path = folder / "words.txt"
    path.write_text("a\t10\t.5\nb\t11\t.25\nc\t12\t.125\n")
    words = str(path)
    ids = tf.placeholder(tf.int64, [None], name="ids")
    rows = tf.Variable(np.arange(60, dtype=np.float32).reshape(20, 3), name="rows", use_resource=True)
    digits = tf.as_string(ids % 4)
    letters = tf.gather(tf.constant(["a", "b", "c", "d"]), ids % 4)
    constants = lookup.KeyValueTensorInitializer(tf.constant(["0", "1", "2"]), tf.constant([4, 5, 6], tf.int64))
    whole = lookup.TextFileInitializer(words, tf.string, 0, tf.int64, 1, delimiter="\t")
    parts = lookup.TextFileInitializer(words, tf.string, 0, tf.float32, 2, delimiter="\t")
    trained = lookup.MutableHashTable(tf.string, tf.int64, -3, name="trained", checkpoint=True)
    fill = trained.insert(tf.constant(["0", "3"]), tf.constant([100, 103], tf.int64))
    number = lookup.HashTable(whole, -7).lookup(letters)
    outputs = {
        "constants": tf.identity(lookup.HashTable(constants, -1).lookup(digits), "constants"),
        "numbers": tf.identity(number, "numbers"),
        "parts": tf.identity(lookup.HashTable(parts, -1.0).lookup(letters), "parts"),
        "trained_numbers": tf.identity(trained.lookup(digits), "trained_numbers"),
        "embedded": tf.nn.embedding_lookup(rows, number % 20, name="embedded"),
    }
    with tf.Session() as session:
        session.run([tf.global_variables_initializer(), tf.tables_initializer(), fill])
        save(folder, session, {"ids": ids}, outputs, tf.tables_initializer())
    shutil.move(words, str(folder / "checkpoint"))


def loops(folder, as_functions=False):
    """Loops and branches that read resource, reference and partitioned variables, and a function called twice."""
    x = tf.placeholder(tf.float32, [None, 3], name="x")
    a = tf.get_variable("a", [3, 3], use_resource=True)
    b = tf.get_variable("b", [3, 3], use_resource=True)
    c = tf.get_variable("c", [3, 3], use_resource=as_functions)
    rows = tf.get_variable("rows", [10, 3], partitioner=tf.fixed_size_partitioner(2), use_resource=True)

    def turn(i, t):
        return i + 1, tf.tanh(tf.matmul(t, a) + tf.nn.embedding_lookup(rows, i))

    _, turned = tf.while_loop(lambda i, t: i < 4, turn, [tf.constant(0), x])
    chosen = tf.cond(tf.reduce_sum(x) > 0, lambda: tf.matmul(turned, b), lambda: tf.matmul(turned, c))

    @function.Defun(tf.float32, tf.float32)
    def layer(u, v):
        return tf.nn.relu(tf.matmul(u, v)), tf.reduce_sum(u)

    first, total = layer(chosen, a)
    second, _ = layer(first + total, b)
    outputs = {"out": tf.identity(second, "out"), "turned": tf.identity(turned, "turned")}
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        save(folder, session, {"x": x}, outputs)


def loops_as_functions(folder):
    """As `loops`, with the control flow that came with 1.15."""
    from tensorflow.python.ops import control_flow_util

    if not tf.__version__.startswith("1.15"):
        return
    control_flow_util.ENABLE_CONTROL_FLOW_V2 = True
    try:
        loops(folder, as_functions=True)
    finally:
        control_flow_util.ENABLE_CONTROL_FLOW_V2 = False


def keras(folder):
    layers = tf.keras.layers
    folder.mkdir()
    sequence = layers.Input((7, 4), name="sequence")
    hidden = layers.GRU(4)(layers.LSTM(5, return_sequences=True)(sequence))
    hidden = layers.Dropout(0.5)(layers.BatchNormalization()(hidden))
    model = tf.keras.models.Model(sequence, layers.Dense(3, activation="softmax", name="probabilities")(hidden))
    model.save(str(folder / "recurrent.h5"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
