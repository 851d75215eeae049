"""The layers of a net as graph code that TensorFlow 2 still runs writes them: variables by hand, and `tf.nn`."""

import tensorflow as tf

v1 = tf.compat.v1


def convolution(images, filters, name):
    """3 x 3, with a bias."""
    with v1.variable_scope(name):
        kernel = v1.get_variable("kernel", [3, 3, int(images.shape[-1]), filters])
        bias = v1.get_variable("bias", [filters], initializer=v1.zeros_initializer())
    return tf.nn.bias_add(tf.nn.conv2d(images, kernel, strides=1, padding="SAME"), bias)


def normalisation(images, training, name):
    """By the batch while it trains, else by what was learnt; the updates are in the graph's UPDATE_OPS."""
    shape = [int(images.shape[-1])]
    zeros, ones = v1.zeros_initializer(), v1.ones_initializer()
    with v1.variable_scope(name):
        gamma = v1.get_variable("gamma", shape, initializer=ones)
        beta = v1.get_variable("beta", shape, initializer=zeros)
        mean = v1.get_variable("moving_mean", shape, initializer=zeros, trainable=False)
        variance = v1.get_variable("moving_variance", shape, initializer=ones, trainable=False)
    if not training:
        return v1.nn.fused_batch_norm(images, gamma, beta, mean, variance, is_training=False)[0]
    normal, batch_mean, batch_variance = v1.nn.fused_batch_norm(images, gamma, beta)
    for moving, of_batch in ((mean, batch_mean), (variance, batch_variance)):
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, moving.assign(0.9 * moving + 0.1 * of_batch))
    return normal


def product(rows, units, name):
    """A matrix product, with a bias."""
    with v1.variable_scope(name):
        kernel = v1.get_variable("kernel", [int(rows.shape[-1]), units])
        bias = v1.get_variable("bias", [units], initializer=v1.zeros_initializer())
    return tf.matmul(rows, kernel) + bias


def pooled(images):
    """The largest of each 2 x 2."""
    return tf.nn.max_pool2d(images, 2, 2, "VALID")
