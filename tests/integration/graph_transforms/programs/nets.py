"""Random frozen nets with what the Graph Transform Tool's transforms are there for, each the same for the same seed.

Every net takes `x`, float32 [batch, 8, 8, 4], and gives `y`. Layers of the kinds that a net is asked for come in random
order; around them there are Identity and CheckNumerics nodes, control dependencies, devices, constants computed of
constants, the same computation twice, and nodes that no output needs.
"""

import functools
import random

import numpy as np
import tensorflow as tf

IMAGE = (8, 8, 4)


class Net:
    """A graph in the making.

    value: the tensor that the next layer reads; always of rank 4.
    """

    def __init__(self, seed, kinds, layers, batch):
        self.batch = batch
        self._choice = random.Random(seed)
        self._values = np.random.RandomState(seed)
        #: FusedBatchNorm nodes that become BatchNormWithGlobalNormalization.
        self.old_batch_norms = []
        with tf.Graph().as_default() as self._graph:
            self.value = tf.compat.v1.placeholder(tf.float32, (batch, *IMAGE), "x")
            for index in range(layers):
                with tf.name_scope(f"layer{index}"):
                    LAYERS[kinds[index] if index < len(kinds) else self._choice.choice(kinds)](self)
                    self._add_clutter()
            tf.identity(self.value, "y")

    def graph_def(self):
        """The graph. TensorFlow makes no BatchNormWithGlobalNormalization any more; it reads it in old graphs only."""
        graph = self._graph.as_graph_def()
        for node in graph.node:
            if node.name in self.old_batch_norms:
                _become_old(node)
                graph.versions.producer, graph.versions.min_consumer = 8, 0
        return graph

    @property
    def channels(self):
        return int(self.value.shape[-1])

    def constant(self, *shape, low=-1.0, high=1.0, name="weights"):
        """A constant as freezing leaves it: behind an Identity."""
        made = tf.constant(self._values.uniform(low, high, shape).astype(np.float32), name=name)
        return tf.identity(made, name + "/read")

    def bare_constant(self, *shape, low=-1.0, high=1.0):
        return tf.constant(self._values.uniform(low, high, shape).astype(np.float32))

    def pick(self, *choices):
        return self._choice.choice(choices)

    def filters(self, size, inputs, outputs):
        """Filters of a convolution that keep the size of what passes through."""
        return self.constant(size, size, inputs, outputs) * tf.constant(1.0 / (size * inputs**0.5))

    def _add_clutter(self):
        """What training leaves behind."""
        kind = self._choice.randrange(6)
        if kind == 0:
            self.value = tf.identity(self.value)
        elif kind == 1:
            self.value = tf.compat.v1.check_numerics(self.value, "not finite")
        elif kind == 2:
            with tf.control_dependencies([tf.no_op()]):
                self.value = tf.identity(self.value)
        elif kind == 3:
            tf.reduce_mean(tf.square(self.value), name="loss")
        elif kind == 4:
            with tf.device("/device:CPU:0"):
                self.value = tf.nn.relu(self.value)
        else:
            self.value = tf.stop_gradient(self.value)


def _become_old(node):
    value, scale, offset, mean, variance = node.input
    epsilon = node.attr["epsilon"].f
    node.op = "BatchNormWithGlobalNormalization"
    node.input[:] = [value, mean, variance, offset, scale]
    node.attr.clear()
    node.attr["T"].type = tf.float32.as_datatype_enum
    node.attr["variance_epsilon"].f = epsilon
    node.attr["scale_after_normalization"].b = True


def convolution(net):
    size, outputs = net.pick(1, 3), net.pick(4, 6, 8)
    filters = net.filters(size, net.channels, outputs)
    net.value = tf.nn.conv2d(net.value, filters, 1, net.pick("SAME", "VALID") if size == 1 else "SAME")
    net.value = tf.nn.bias_add(net.value, net.constant(outputs, name="biases"))
    net.value = tf.nn.relu(net.value)


def plain_convolution(net, outputs=None):
    """Nothing between the constant and the convolution, as after fold_constants and remove_nodes."""
    outputs = outputs or net.pick(4, 8)
    filters = net.bare_constant(3, 3, net.channels, outputs, low=-0.3, high=0.3)
    net.value = tf.nn.conv2d(net.value, filters, 1, "SAME")


def scaled_convolution(net):
    """What fold_batch_norms is for."""
    plain_convolution(net)
    net.value = net.value * net.bare_constant(net.channels, low=0.5, high=1.5)
    net.value = tf.nn.relu(net.value)


def scaled_depthwise(net):
    net.value = tf.nn.depthwise_conv2d(net.value, net.bare_constant(3, 3, net.channels, 1), [1, 1, 1, 1], "SAME")
    net.value = net.value * net.bare_constant(net.channels, low=0.5, high=1.5)


def scaled_product(net):
    height, width, channels = [int(size) for size in net.value.shape[1:]]
    rows = tf.reshape(net.value, [-1, channels])
    rows = tf.matmul(rows, net.bare_constant(channels, channels)) * net.bare_constant(channels, low=0.5, high=1.5)
    net.value = tf.reshape(tf.tanh(rows), [net.batch, height, width, channels])


def _statistics(net, constant):
    count = net.channels
    return constant(count), constant(count, low=0.5, high=2.0), constant(count), constant(count, low=0.5, high=1.5)


def batch_norm_of_operations(net):
    """tf.nn.batch_normalization: Add, Rsqrt, Mul, Mul, Mul, Sub, Add, most of it of constants."""
    plain_convolution(net)
    mean, variance, offset, scale = _statistics(net, net.constant)
    net.value = tf.nn.batch_normalization(net.value, mean, variance, offset, scale, 0.001)
    net.value = tf.nn.relu(net.value)


def old_batch_norm(net):
    """BatchNormWithGlobalNormalization, the oldest form."""
    plain_convolution(net)
    mean, variance, offset, scale = _statistics(net, net.bare_constant)
    net.value = normalised(net, "FusedBatchNorm", mean, variance, offset, scale)
    net.old_batch_norms.append(net.value.op.name)


def normalised(net, operation, mean, variance, offset, scale):
    make = getattr(tf.raw_ops, operation)
    made = make(x=net.value, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=0.001, is_training=False)
    return made.y


def fused_batch_norm(net, operation=None):
    plain_convolution(net)
    operation = operation or net.pick("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
    net.value = normalised(net, operation, *_statistics(net, net.bare_constant))


def fused_batch_norm_in_space(net):
    """Batch normalisation behind a dilated convolution: SpaceToBatchND, Conv2D, BatchToSpaceND, normalisation."""
    filters = net.bare_constant(3, 3, net.channels, 4, low=-0.3, high=0.3)
    spaced = tf.space_to_batch_nd(net.value, [2, 2], [[2, 2], [2, 2]])
    net.value = tf.batch_to_space_nd(tf.nn.conv2d(spaced, filters, 1, "VALID"), [2, 2], [[0, 0], [0, 0]])
    net.value = normalised(net, "FusedBatchNorm", *_statistics(net, net.bare_constant))


def fused_batch_norm_of_two(net):
    """Batch normalisation behind the concatenation of two convolutions."""
    source, parts = net.value, []
    for _ in range(2):
        net.value = source
        plain_convolution(net, 4)
        parts.append(net.value)
    net.value = tf.concat(parts, 3)
    net.value = normalised(net, "FusedBatchNorm", *_statistics(net, net.bare_constant))


def atrous(net):
    filters = net.bare_constant(3, 3, net.channels, 4, low=-0.3, high=0.3)
    spaced = tf.space_to_batch_nd(net.value, [2, 2], [[2, 2], [2, 2]])
    net.value = tf.batch_to_space_nd(tf.nn.conv2d(spaced, filters, 1, "VALID"), [2, 2], [[0, 0], [0, 0]])


def computed_constants(net):
    """A bias that is computed of constants only, over several operations."""
    parts = tf.stack([net.constant(net.channels), net.constant(net.channels)])
    net.value = net.value + tf.reduce_mean(tf.exp(parts) * 0.5, axis=0) - tf.sqrt(net.constant(1, low=1, high=2))


def duplicates(net):
    """The same twice: constants, and what is computed of them."""
    factor = net._values.uniform(-1, 1, net.channels).astype(np.float32)
    sides = [tf.sigmoid(net.value * tf.constant(factor)) for _ in range(2)]
    net.value = sides[0] * 0.5 + sides[1]


def padded_convolution(net):
    net.value = tf.pad(net.value, [[0, 0], [1, 1], [1, 1], [0, 0]], net.pick("REFLECT", "SYMMETRIC"))
    net.value = tf.nn.conv2d(net.value, net.bare_constant(3, 3, net.channels, 4, low=-0.3, high=0.3), 1, "VALID")


def resized_convolution(net):
    net.value = tf.compat.v1.image.resize_bilinear(net.value, [10, 10])
    net.value = tf.nn.conv2d(net.value, net.bare_constant(3, 3, net.channels, 4, low=-0.3, high=0.3), 1, "VALID")


def resized_padded_convolution(net):
    net.value = tf.compat.v1.image.resize_bilinear(net.value, [8, 8])
    padded_convolution(net)


def gather(net):
    """Rows of a table that is mostly zeros, at places that the net's values choose."""
    table = net._values.uniform(-1, 1, (32, 1)).astype(np.float32) * (net._values.uniform(size=(32, 1)) < 0.3)
    indices = tf.clip_by_value(tf.cast(tf.abs(net.value[:, 0, 0, 0]) * 16, tf.int64), 0, 31)
    rows = tf.raw_ops.GatherV2(params=tf.identity(tf.constant(table)), indices=indices, axis=tf.constant(0))
    net.value = net.value + tf.reshape(rows, [net.batch, 1, 1, 1])


def concatenation(net):
    net.value = tf.concat([net.value, tf.nn.relu(net.value)], 3)[:, :, :, :4]


def loop(net):
    """A TensorFlow 1 loop that writes a TensorArray and stacks it."""
    start = net.value
    array = tf.TensorArray(tf.float32, 3, element_shape=start.shape)
    _, array = tf.while_loop(
        lambda step, written: step < 3,
        lambda step, written: (step + 1, written.write(step, start * tf.cast(step + 1, tf.float32))),
        [tf.constant(0), array],
    )
    net.value = tf.reduce_mean(array.stack(), axis=0)


def pooling(net):
    net.value = tf.nn.max_pool2d(net.value, 2, 1, "SAME")


def relu6(net):
    net.value = tf.nn.relu6(net.value)


LAYERS = {
    layer.__name__: layer
    for layer in (
        convolution,
        plain_convolution,
        scaled_convolution,
        scaled_depthwise,
        scaled_product,
        batch_norm_of_operations,
        old_batch_norm,
        fused_batch_norm,
        fused_batch_norm_in_space,
        fused_batch_norm_of_two,
        atrous,
        computed_constants,
        duplicates,
        padded_convolution,
        resized_convolution,
        resized_padded_convolution,
        gather,
        concatenation,
        loop,
        pooling,
        relu6,
    )
}
LAYERS.update(
    (operation, functools.partial(fused_batch_norm, operation=operation))
    for operation in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
)


def build(seed, kinds, layers, batch):
    """The GraphDef of a net: first one layer of each of these kinds, then of any of them, up to so many layers."""
    tf.compat.v1.disable_v2_behavior()
    return Net(seed, kinds, max(layers, len(kinds)), batch).graph_def()
