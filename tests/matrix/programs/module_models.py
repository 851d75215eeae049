"""The net as TensorFlow 2 code without Keras writes it: a `tf.Module` with a `tf.function`, trained with a tape."""

import os

import numpy as np
import task
import tensorflow as tf


class Net(tf.Module):
    """The same layers as `graph_models` has."""

    def __init__(self):
        super(Net, self).__init__()
        random = np.random.RandomState(1)

        def weights(name, *shape):
            scale = np.sqrt(2.0 / np.prod(shape[:-1]))
            return tf.Variable(random.normal(0, scale, shape).astype(np.float32), name=name)

        def constant(name, value, size, trainable=True):
            return tf.Variable(tf.fill([size], value), name=name, trainable=trainable)

        self.first = weights("first", 3, 3, 3, 8)
        self.gamma, self.beta = constant("gamma", 1.0, 8), constant("beta", 0.0, 8)
        self.mean, self.variance = constant("mean", 0.0, 8, False), constant("variance", 1.0, 8, False)
        self.alpha = constant("alpha", 0.25, 8)
        self.second, self.second_bias = weights("second", 3, 3, 8, 12), constant("second_bias", 0.0, 12)
        self.hidden, self.hidden_bias = weights("hidden", 3 * 3 * 12, 16), constant("hidden_bias", 0.0, 16)
        self.classes, self.classes_bias = weights("classes", 16, 4), constant("classes_bias", 0.0, 4)
        self.shift, self.shift_bias = weights("shift", 16, 2), constant("shift_bias", 0.0, 2)

    def compute(self, images, training):
        """Logits and offsets."""
        x = tf.nn.conv2d(images, self.first, 1, "SAME")
        mean, variance = tf.nn.moments(x, [0, 1, 2]) if training else (self.mean, self.variance)
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * mean)
            self.variance.assign(0.9 * self.variance + 0.1 * variance)
        x = tf.nn.batch_normalization(x, mean, variance, self.beta, self.gamma, 1e-3)
        x = tf.nn.max_pool2d(self.alpha * x + (1.0 - self.alpha) * tf.nn.relu(x), 2, 2, "VALID")
        x = tf.nn.relu6(tf.nn.bias_add(tf.nn.conv2d(x, self.second, 1, "SAME"), self.second_bias))
        x = tf.reshape(tf.nn.max_pool2d(x, 2, 2, "VALID"), [-1, 3 * 3 * 12])
        x = tf.nn.relu(x @ self.hidden + self.hidden_bias)
        return x @ self.classes + self.classes_bias, x @ self.shift + self.shift_bias

    @tf.function(input_signature=[tf.TensorSpec([None, task.SIZE, task.SIZE, 3], tf.float32, name="images")])
    def __call__(self, images):
        """What the model's users call."""
        logits, offsets = self.compute(images, training=False)
        return {"scores": tf.nn.softmax(logits), "offsets": offsets}

    @tf.function
    def learn(self, images, classes, offsets):
        """One step; the loss before it."""
        with tf.GradientTape() as tape:
            logits, shift = self.compute(images, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(classes, logits))
            loss += tf.reduce_mean(tf.square(offsets - shift))
        for variable, gradient in zip(self.trainable_variables, tape.gradient(loss, self.trainable_variables)):
            variable.assign_sub(task.RATE * gradient)
        return loss


def write_saved_model(folder):
    """A SavedModel of TensorFlow 2 with one signature, and `golden.npz`."""
    net = Net()
    data = [tf.constant(array) for array in task.training_data()]
    losses = [float(net.learn(*data)) for _ in range(task.STEPS)]
    assert losses[-1] < losses[0], "the net learns nothing"
    tf.saved_model.save(net, os.path.join(folder, "model"), signatures=net.__call__.get_concrete_function())
    given = task.golden_images()
    computed = net(tf.constant(given))
    arrays = {name: value.numpy() for name, value in computed.items()}
    np.savez(os.path.join(folder, "golden.npz"), images=given, **arrays)
