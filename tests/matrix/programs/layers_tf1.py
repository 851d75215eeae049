"""The layers of a net as TensorFlow 1 code writes them: `tf.layers`, which keeps its variables in a graph."""

import tensorflow as tf

#: Every name of TensorFlow 1; `tf.compat.v1` has them all from 1.13 on.
v1 = tf if int(tf.__version__.split(".")[1]) < 13 else tf.compat.v1


def convolution(images, filters, name):
    """3 x 3, with a bias."""
    return v1.layers.conv2d(images, filters, 3, padding="same", name=name)


def normalisation(images, training, name):
    """By the batch while it trains, else by what was learnt; the updates are in the graph's UPDATE_OPS."""
    return v1.layers.batch_normalization(images, momentum=0.9, training=training, name=name)


def product(rows, units, name):
    """A matrix product, with a bias."""
    return v1.layers.dense(rows, units, name=name)


def pooled(images):
    """The largest of each 2 x 2."""
    return v1.layers.max_pooling2d(images, 2, 2)
