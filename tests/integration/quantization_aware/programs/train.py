"""Train a small regression net for quantisation with TensorFlow 1's own tools, and save it as its author would.

The net tells where in an image a bright spot is: two numbers from 0 to 6, by a relu6 that is the output itself. What is
saved is the checkpoint with the graph that create_eval_graph made for inference. Usage: train.py NET FOLDER, where NET
is `plain`, or `apart`, whose first convolution has an identity between it and its relu6.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

SIZE = 12
STEPS = 1500
#: From here on the ranges are trained, and numbers rounded.
DELAY = 500
BATCH = 64
RATE = 2e-3


def main(kind, folder):
    folder.mkdir(parents=True, exist_ok=True)
    tf.logging.set_verbosity("ERROR")
    checkpoint = str(folder / "model.ckpt")
    images, places = spots(3000, seed=1)
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(7)
        given, wanted, loss = build(kind)
        tf.contrib.quantize.create_training_graph(graph, quant_delay=DELAY)
        train = tf.train.AdamOptimizer(RATE).minimize(loss)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            random = np.random.RandomState(3)
            for _ in range(STEPS):
                chosen = random.randint(0, len(images), BATCH)
                session.run(train, {given: images[chosen], wanted: places[chosen]})
            tf.train.Saver().save(session, checkpoint, write_meta_graph=False)
    with tf.Graph().as_default() as graph:
        build(kind)
        tf.contrib.quantize.create_eval_graph(graph)
        tf.train.write_graph(graph, str(folder), "graph.pb", as_text=False)
    unseen, where = spots(500, seed=2)
    np.savez(str(folder / "unseen.npz"), images=unseen, places=where)


def spots(count, seed):
    """Images [count, 12, 12, 1] from -1 to 1 with noise and a spot, and the spots' rows and columns in half pixels."""
    random = np.random.RandomState(seed)
    places = random.uniform(0.25, 5.25, (count, 2)).astype(np.float32)
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    apart = (rows - 2 * places[:, :1, None]) ** 2 + (columns - 2 * places[:, 1:, None]) ** 2
    images = 1.8 * np.exp(-apart / 4) - 0.9 + random.normal(0, 0.05, apart.shape)
    return np.clip(images, -1, 1)[..., None].astype(np.float32), places


def build(kind):
    slim = tf.contrib.slim
    given = tf.placeholder(tf.float32, [None, SIZE, SIZE, 1], name="image")
    net = slim.conv2d(given, 8, [3, 3], activation_fn=None if kind == "apart" else tf.nn.relu6, scope="conv1")
    if kind == "apart":
        net = tf.nn.relu6(tf.identity(net), name="activation")
    net = slim.conv2d(net, 16, [3, 3], stride=2, activation_fn=tf.nn.relu6, scope="conv2")
    net = slim.fully_connected(slim.flatten(net), 32, activation_fn=tf.nn.relu6, scope="hidden")
    net = slim.fully_connected(
        net, 2, activation_fn=None, biases_initializer=tf.constant_initializer(3.0), scope="last"
    )
    output = tf.nn.relu6(net, name="output")
    wanted = tf.placeholder(tf.float32, [None, 2], name="places")
    return given, wanted, tf.losses.mean_squared_error(wanted, output)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
