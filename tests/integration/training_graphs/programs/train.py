"""Train one of the graphs on the digits, and save it as its author would: the checkpoint with the training graph.

What is expected of it is computed as the framework's users do: the same net is built for inference in a graph of its
own, and the checkpoint is restored into it. Usage: train.py GRAPH FOLDER, with MNIST in the environment.
"""

import sys
from pathlib import Path

import digits
import numpy as np
import tensorflow as tf

if tf.__version__.startswith("2"):
    tf = tf.compat.v1
    tf.disable_v2_behavior()

STEPS = 150
#: For the net whose accuracy is looked at.
LONGER = 500
BATCH = 32
RATE = 0.005
DECAY = 0.95


def main(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    tf.logging.set_verbosity("ERROR")
    tf.set_random_seed(7)
    GRAPHS[name](folder)


def slim_net(images, training, fused=None):
    """Convolutions and a dense layer with batch normalisation and dropout: `training` is a bool or a tensor."""
    slim = tf.contrib.slim
    normalised = {"is_training": training, "decay": 0.9, "scale": True, "fused": fused}
    with slim.arg_scope(
        [slim.conv2d, slim.fully_connected], normalizer_fn=slim.batch_norm, normalizer_params=normalised
    ):
        net = slim.conv2d(images, 8, [3, 3], stride=2, scope="conv1")
        net = slim.conv2d(net, 16, [3, 3], stride=2, scope="conv2")
        net = slim.flatten(net)
        net = slim.fully_connected(net, 32, scope="hidden")
        net = slim.dropout(net, 0.7, is_training=training, scope="dropout")
    logits = slim.fully_connected(net, digits.CLASSES, activation_fn=None, scope="logits")
    return logits, tf.nn.softmax(logits, name="predictions")


def layers_net(images, training):
    """The same of tf.layers."""
    net = tf.layers.conv2d(images, 8, 3, strides=2, name="conv1", use_bias=False)
    net = tf.nn.relu(tf.layers.batch_normalization(net, training=training, momentum=0.9, name="bn1"))
    net = tf.layers.flatten(net)
    net = tf.layers.dense(net, 32, name="hidden")
    net = tf.nn.relu(tf.layers.batch_normalization(net, training=training, momentum=0.9, name="bn2"))
    net = tf.layers.dropout(net, 0.3, training=training)
    logits = tf.layers.dense(net, digits.CLASSES, name="logits")
    return logits, tf.nn.softmax(logits, name="predictions")


def preprocessed(images):
    """What nets of this kind do to their images, one or many."""
    return tf.multiply(tf.subtract(tf.cast(images, tf.float32) / 255.0, 0.5), 2.0)


def train_op(logits, labels, averages=False):
    """A step of learning, as slim and the estimators make it: with updates, a global step, metrics and summaries."""
    step = tf.train.get_or_create_global_step()
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    total = tf.losses.get_total_loss()
    tf.summary.scalar("loss", total)
    tf.summary.histogram("logits", logits)
    checked = tf.check_numerics(total, "the loss is not finite")
    _, counted = tf.metrics.accuracy(labels, tf.argmax(logits, 1))
    tf.summary.scalar("accuracy", counted)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.control_dependencies(updates):
        applied = tf.train.AdamOptimizer(RATE).minimize(checked, global_step=step)
    if averages:
        average = tf.train.ExponentialMovingAverage(DECAY, step)
        with tf.control_dependencies([applied]):
            applied = average.apply(tf.trainable_variables())
    del loss
    with tf.control_dependencies([applied, tf.Assert(tf.reduce_all(tf.is_finite(total)), [total])]):
        return tf.identity(total, name="train_loss")


def run_training(folder, step, feed=None, steps=STEPS):
    """Run the steps, with the queues where there are any, and save."""
    saver = tf.train.Saver()
    merged = tf.summary.merge_all()
    with session_of() as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        coordinator = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(session, coordinator)
        for number in range(steps):
            session.run(step, feed(number) if feed else None)
        del merged
        coordinator.request_stop()
        coordinator.join(threads, stop_grace_period_secs=5, ignore_live_threads=True)
        saver.save(session, str(folder / "model.ckpt"))
    tf.train.write_graph(tf.get_default_graph(), str(folder), "graph.pbtxt")


def session_of():
    return tf.Session(config=tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1))


def expect(folder, net, averages=False):
    """What the checkpoint answers for the unseen digits, in a graph built for inference."""
    images, labels = digits.unseen_data()
    found = {}
    for key in ["probabilities"] + ["averaged"] * averages:
        with tf.Graph().as_default(), session_of() as session:
            given = tf.placeholder(tf.uint8, [None, digits.SIZE, digits.SIZE, 1])
            wanted = net(preprocessed(given), False)[1]
            restored = None
            if key == "averaged":
                restored = tf.train.ExponentialMovingAverage(DECAY).variables_to_restore()
            tf.train.Saver(restored).restore(session, tf.train.latest_checkpoint(str(folder)))
            found[key] = session.run(wanted, {given: images})
    for key, probabilities in found.items():
        print(key, "accuracy", np.mean(np.argmax(probabilities, 1) == labels))
    np.savez(str(folder / "expected.npz"), images=images, labels=labels, **found)


def queue_of_slices():
    """Single digits from a queue, made ready one by one, and batched by another: as slim's data providers do."""
    images, labels = digits.training_data()
    image, label = tf.train.slice_input_producer([tf.constant(images), tf.constant(labels)], seed=1)
    return tf.train.shuffle_batch([preprocessed(image), label], BATCH, 2000, 1000, seed=1, num_threads=1)


def slim_queue(folder):
    """slim's training script: everything fixed for training, the images from queues, moving averages kept."""
    images, labels = queue_of_slices()
    logits, _ = slim_net(images, True)
    run_training(folder, train_op(logits, labels, averages=True), steps=LONGER)
    expect(folder, slim_net, averages=True)


def slim_placeholder(folder):
    """A FIFOQueue that was filled by hand, `is_training` fed, batch normalisation neither fused nor fixed."""
    queue = tf.FIFOQueue(500, [tf.uint8, tf.int64], [[digits.SIZE, digits.SIZE, 1], []])
    all_images, all_labels = digits.training_data()
    enqueue = queue.enqueue_many([tf.constant(all_images), tf.constant(all_labels)])
    tf.train.add_queue_runner(tf.train.QueueRunner(queue, [enqueue]))
    images, labels = queue.dequeue_many(BATCH)
    training = tf.placeholder(tf.bool, [], name="is_training")
    logits, _ = slim_net(preprocessed(images), training, fused=False)
    run_training(folder, train_op(logits, labels), lambda number: {training: True})
    expect(folder, lambda images, training: slim_net(images, training, fused=False))


def data_iterator(folder):
    """tf.data, with preprocessing in a map function and a fixed training mode of tf.layers."""
    images, labels = digits.training_data()
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(1500, seed=1).repeat()
    data = data.map(lambda image, label: (preprocessed(image), label)).batch(BATCH)
    batch, answers = data.make_one_shot_iterator().get_next()
    logits, _ = layers_net(batch, True)
    run_training(folder, train_op(logits, answers))
    expect(folder, layers_net)


def layers_placeholder(folder):
    """Placeholders for the images, the labels and the mode."""
    images = tf.placeholder(tf.uint8, [None, digits.SIZE, digits.SIZE, 1], name="images")
    labels = tf.placeholder(tf.int64, [None], name="labels")
    training = tf.placeholder_with_default(False, [], name="training")
    logits, _ = layers_net(preprocessed(images), training)
    all_images, all_labels = digits.training_data()

    def feed(number):
        chosen = np.random.RandomState(number).randint(0, len(all_images), BATCH)
        return {images: all_images[chosen], labels: all_labels[chosen], training: True}

    run_training(folder, train_op(logits, labels), feed)
    expect(folder, layers_net)


def conditions_of_2(folder):
    """The same with TensorFlow 2's conditions, whose branches are functions."""
    tf.compat.v1.enable_control_flow_v2()
    tf.compat.v1.enable_resource_variables()
    layers_placeholder(folder)


def averaged_by_hand(folder):
    """Batch normalisation as it was written before there were layers: moments, and an average of them."""

    def normalised(net, training):
        mean, variance = tf.nn.moments(net, [0, 1, 2], name="moments")
        average = tf.train.ExponentialMovingAverage(0.9)
        with tf.control_dependencies([average.apply([mean, variance])]):
            learnt = tf.identity(mean), tf.identity(variance)
        used = learnt if training else (average.average(mean), average.average(variance))
        scale = tf.get_variable("scale", [net.shape[-1]], initializer=tf.ones_initializer())
        shift = tf.get_variable("shift", [net.shape[-1]], initializer=tf.zeros_initializer())
        return tf.nn.batch_normalization(net, used[0], used[1], shift, scale, 1e-3)

    def net(images, training):
        net = tf.nn.relu(normalised(tf.layers.conv2d(images, 8, 3, strides=2, name="conv1"), training))
        logits = tf.layers.dense(tf.layers.flatten(net), digits.CLASSES, name="logits")
        return logits, tf.nn.softmax(logits, name="predictions")

    images, labels = queue_of_slices()
    run_training(folder, train_op(net(images, True)[0], labels))
    expect(folder, net)


def dropout_fed(folder):
    """The nets of the tutorials: `keep_prob` is a placeholder, and nothing normalises."""

    def net(images, keep):
        net = tf.layers.flatten(images)
        net = tf.layers.dense(net, 64, tf.nn.relu, name="hidden")
        net = tf.nn.dropout(net, keep)
        logits = tf.layers.dense(net, digits.CLASSES, name="logits")
        return logits, tf.nn.softmax(logits, name="predictions")

    images = tf.placeholder(tf.float32, [None, digits.SIZE, digits.SIZE, 1], name="images")
    labels = tf.placeholder(tf.int64, [None], name="labels")
    keep = tf.placeholder(tf.float32, name="keep_prob")
    logits, _ = net(images / 127.5 - 1.0, keep)
    all_images, all_labels = digits.training_data()

    def feed(number):
        chosen = np.random.RandomState(number).randint(0, len(all_images), BATCH)
        return {images: all_images[chosen], labels: all_labels[chosen], keep: 0.5}

    run_training(folder, train_op(logits, labels), feed)
    expect(folder, lambda images, _: net(images, 1.0))


def keras_net(images):
    """tf.keras layers in a TensorFlow 1 graph, which ask the learning phase how to behave."""
    keras = tf.keras.layers
    net = keras.Conv2D(8, 3, strides=2, name="conv1")(images)
    net = keras.Activation("relu")(keras.BatchNormalization(momentum=0.9, name="bn1")(net))
    net = keras.Dense(32, name="hidden")(keras.Flatten()(net))
    net = keras.Activation("relu")(keras.BatchNormalization(momentum=0.9, name="bn2")(net))
    net = keras.Dropout(0.3)(net)
    return keras.Dense(digits.CLASSES, name="logits")(net)


def learning_phase(folder):
    """tf.keras fitted, and its session saved, as the first Keras users of TensorFlow 1 did."""
    tf.keras.backend.set_session(session_of())
    images = tf.keras.layers.Input([digits.SIZE, digits.SIZE, 1], name="images")
    probabilities = tf.keras.layers.Activation("softmax", name="probabilities")(keras_net(images))
    model = tf.keras.Model(images, probabilities)
    model.compile("adam", "sparse_categorical_crossentropy")
    given, answers = digits.training_data()
    model.fit(given / 127.5 - 1.0, answers, epochs=4, batch_size=BATCH, verbose=0)
    session = tf.keras.backend.get_session()
    tf.train.Saver().save(session, str(folder / "model.ckpt"))
    unseen, labels = digits.unseen_data()
    answered = model.predict(unseen / 127.5 - 1.0)
    print("accuracy", np.mean(np.argmax(answered, 1) == labels))
    np.savez(str(folder / "expected.npz"), images=unseen, labels=labels, probabilities=answered)


def estimator(folder):
    """tf.estimator: an input function, hooks, metrics, and the folder that it leaves behind."""

    def model_fn(features, labels, mode):
        training = mode == tf.estimator.ModeKeys.TRAIN
        logits, probabilities = layers_net(preprocessed(features["image"]), training)
        if mode == tf.estimator.ModeKeys.PREDICT:
            return tf.estimator.EstimatorSpec(mode, {"probabilities": probabilities})
        loss = train_op(logits, labels)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=loss)

    images, labels = digits.training_data()
    train = tf.estimator.inputs.numpy_input_fn({"image": images}, labels, BATCH, num_epochs=None, shuffle=True)
    made = tf.estimator.Estimator(model_fn, str(folder), tf.estimator.RunConfig(tf_random_seed=7))
    made.train(train, steps=STEPS)
    expect(folder, layers_net)


GRAPHS = {
    function.__name__: function
    for function in (
        slim_queue,
        slim_placeholder,
        data_iterator,
        layers_placeholder,
        conditions_of_2,
        averaged_by_hand,
        dropout_fed,
        learning_phase,
        estimator,
    )
}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
