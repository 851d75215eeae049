"""Trains a net for uint8 with `tf.contrib.quantize`: `train_quantised.py FOLDER OUTPUT`, in TensorFlow 1.12 to 1.15.

OUTPUT "scores" is a classifier's: a convolution, then a softmax. OUTPUT "offsets" is a regression net whose output is
a Relu6 itself, which TensorFlow leaves without a range. FOLDER gets `model.ckpt`, `graph.pb` and `golden.npz`: images
that the net has not seen, the answers of this TensorFlow's session with the rounding that training made up (FakeQuant),
and what would be right (`classes` or `offsets`).
"""

import os
import sys

import numpy as np
import task
import tensorflow as tf

STEPS = 600
#: Steps without rounding, while weights still move a lot.
DELAY = 200


def net(images, output):
    """One of the two nets; in both every layer but the last has a ReLU6, whose range is known."""
    x = tf.layers.conv2d(images, 8, 3, padding="same", activation=tf.nn.relu6, name="first")
    x = tf.layers.max_pooling2d(x, 2, 2)
    x = tf.layers.conv2d(x, 12, 3, padding="same", activation=tf.nn.relu6, name="second")
    x = tf.layers.max_pooling2d(x, 2, 2)
    x = tf.layers.conv2d(x, 16, 3, padding="valid", activation=tf.nn.relu6, name="third")
    if output == "scores":
        x = tf.layers.conv2d(x, task.CLASSES, 1, activation=None, name="classes")
        return tf.reshape(x, [-1, task.CLASSES])
    x = tf.layers.conv2d(x, task.OFFSETS, 1, bias_initializer=tf.constant_initializer(3.0), name="shift")
    return tf.nn.relu6(x, name="offsets")


def train(prefix, output):
    """The path of the trained checkpoint."""
    images, classes, offsets = task.training_data()
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.set_random_seed(2)
        answers = net(tf.constant(images), output)
        if output == "scores":
            loss = tf.losses.softmax_cross_entropy(classes, answers)
        else:
            loss = tf.losses.mean_squared_error(offsets + 3, tf.reshape(answers, [-1, task.OFFSETS]))
        tf.contrib.quantize.create_training_graph(graph, quant_delay=DELAY)
        tf.train.get_or_create_global_step()
        step = tf.train.AdamOptimizer(0.005).minimize(loss, global_step=tf.train.get_global_step())
        session.run(tf.global_variables_initializer())
        for _ in range(STEPS):
            session.run(step)
        return tf.train.Saver().save(session, prefix)


def main(folder, output):
    prefix = train(os.path.join(folder, "model.ckpt"), output)
    given, classes, offsets = task.unseen_data()
    with tf.Graph().as_default() as graph, tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, task.SIZE, task.SIZE, 3], name="images")
        answers = net(images, output)
        answers = tf.nn.softmax(answers, name=output) if output == "scores" else answers
        tf.contrib.quantize.create_eval_graph(graph)
        tf.train.Saver().restore(session, prefix)
        tf.train.write_graph(graph.as_graph_def(), folder, "graph.pb", as_text=False)
        right = {"classes": classes} if output == "scores" else {"offsets": offsets + 3}
        computed = session.run(answers, {images: given})
    np.savez(os.path.join(folder, "golden.npz"), images=given, answers=computed, **right)


main(sys.argv[1], sys.argv[2])
