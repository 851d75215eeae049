"""An export in small: the first one in a process costs more than later ones."""

import tempfile
from pathlib import Path

from modelmill_worker import installed_tensorflow
from modelmill_worker.tensorflow_threads import use_one_thread

from modelmill_tfjs_exporter.generations import generation_of
from modelmill_tfjs_exporter.request import Request
from modelmill_tfjs_exporter.tensorflowjs_import import import_converter, installed_version


def warm_up() -> None:
    """Export one convolution."""
    use_one_thread()
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.pb"
        graph.write_bytes(_convolution())
        model = Path(folder) / "model"
        model.mkdir()
        generation = generation_of(installed_version())
        generation.convert(import_converter(generation), Request(graph, ("features:0",), model))


def _convolution() -> bytes:
    """A frozen graph: convolution, bias, ReLU, on four by four pixels."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        v1 = installed_tensorflow.v1()
        picture = v1.placeholder(tf.float32, [1, 4, 4, 3], name="picture")
        weights = tf.constant(0.5, tf.float32, [3, 3, 3, 2])
        convolved = tf.nn.conv2d(picture, weights, strides=[1, 1, 1, 1], padding="SAME")
        tf.nn.relu(tf.nn.bias_add(convolved, tf.constant([0.1, 0.2])), name="features")
        return bytes(graph.as_graph_def().SerializeToString())
