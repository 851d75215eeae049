"""A conversion in small: the first one in a process costs about 0.1 s more than later ones."""

import tempfile
from pathlib import Path

from modelmill_worker.tensorflow_threads import use_one_thread

from modelmill_tflite_quantizer.generations import generation_of
from modelmill_tflite_quantizer.request import Request


def warm_up() -> None:
    """Convert one convolution with the converter that a step would use."""
    import tensorflow as tf

    use_one_thread()
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.pb"
        graph.write_bytes(_convolution())
        generation_of(tf.__version__).convert(
            Request(
                graph=graph,
                input_arrays=("picture",),
                output_arrays=("features",),
                input_shapes={"picture": [1, 4, 4, 3]},
                dynamic_range=False,
                allow_select_tf_ops=False,
                allow_custom_ops=False,
            )
        )


def _convolution() -> bytes:
    """A frozen graph: convolution, bias, ReLU, on four by four pixels."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        picture = tf.compat.v1.placeholder(tf.float32, [1, 4, 4, 3], name="picture")
        weights = tf.constant(0.5, tf.float32, [3, 3, 3, 2])
        convolved = tf.nn.conv2d(picture, weights, strides=[1, 1, 1, 1], padding="SAME")
        tf.nn.relu(tf.nn.bias_add(convolved, tf.constant([0.1, 0.2])), name="features")
        return bytes(graph.as_graph_def().SerializeToString())
