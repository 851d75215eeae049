"""Writes a net with a PReLU as TensorFlow 1 code often spells it: `write_prelu.py FOLDER RANK`, in TensorFlow 1.

The operations are neg, relu, mul, neg, add: `relu(x) + neg(alpha * relu(neg(x)))`. The input is `images`
[1, 12, 12, 3], the output `answers`. Weights are seeded constants; RANK is that of alpha, 1 for [8] and 3 for
[1, 1, 8]. FOLDER gets `graph.pb` and `golden.npz`: images, and the answers of this TensorFlow's session.
"""

import os
import sys

import numpy as np
import task
import tensorflow as tf

folder, rank = sys.argv[1], int(sys.argv[2])
random = np.random.RandomState(9)


def weights(*shape):
    return tf.constant((random.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32))


alpha = tf.constant(random.uniform(0.5, 1.5, (1,) * (rank - 1) + (8,)).astype(np.float32))
images = tf.placeholder(tf.float32, [1, 12, 12, 3], name="images")
x = tf.nn.bias_add(tf.nn.conv2d(images, weights(3, 3, 3, 8), [1, 1, 1, 1], "SAME"), weights(8))
x = tf.add(tf.nn.relu(x), tf.negative(alpha * tf.nn.relu(tf.negative(x))), name="prelu")
x = tf.nn.conv2d(x, weights(3, 3, 8, 4), [1, 1, 1, 1], "VALID")
answers = tf.nn.bias_add(x, weights(4), name="answers")
tf.train.write_graph(tf.get_default_graph().as_graph_def(), folder, "graph.pb", as_text=False)
given = task.golden_images()
with tf.Session() as session:
    computed = [session.run(answers, {images: image[np.newaxis]}) for image in given]
np.savez(os.path.join(folder, "golden.npz"), images=given, answers=np.concatenate(computed))
