"""What a process does before its step is known: imports, and a conversion in small."""

import importlib
import tempfile
from pathlib import Path

from modelmill_worker import installed_tensorflow
from modelmill_worker.signature import Signature, Tensor
from modelmill_worker.tensorflow_threads import use_one_thread

from modelmill_tflite_quantizer import engine, toco_process
from modelmill_tflite_quantizer.generations import generation_of
from modelmill_tflite_quantizer.request import Request
from modelmill_tflite_quantizer.sources import FrozenGraph

_SIGNATURE = Signature(
    (Tensor("picture", "picture:0", "float32", (1, 4, 4, 3)),),
    (Tensor("features", "features:0", "float32", (1, 4, 4, 2)),),
)


def preload() -> None:
    """Import TensorFlow with its converter, and nothing more.

    The modules of converters are loaded when they are first looked at: ``tf.contrib`` as a whole, ``tf.lite`` in newer
    versions, and the native converter in many.
    """
    import tensorflow as tf

    generation = generation_of(tf.__version__)
    importlib.import_module(generation.module)
    toco_process.find_native(generation.module, generation.native)


def warm_up() -> None:
    """Convert one convolution, as a step would. The first conversion in a process costs some 0.1 s more."""
    import tensorflow as tf

    use_one_thread()
    generation = generation_of(tf.__version__)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.pb"
        graph.write_bytes(_convolution())
        engine.run(
            Request(
                source=FrozenGraph(graph, _SIGNATURE),
                signature=_SIGNATURE,
                converter=generation.converters[0],
                apart=False,
            ),
            generation,
        )


def _convolution() -> bytes:
    """A frozen graph: convolution, bias, ReLU, on four by four pixels."""
    import tensorflow as tf

    v1 = installed_tensorflow.v1()
    with tf.Graph().as_default() as graph:
        picture = v1.placeholder(tf.float32, [1, 4, 4, 3], name="picture")
        weights = tf.constant(0.5, tf.float32, [3, 3, 3, 2])
        convolved = tf.nn.conv2d(picture, weights, strides=[1, 1, 1, 1], padding="SAME")
        tf.nn.relu(tf.nn.bias_add(convolved, tf.constant([0.1, 0.2])), name="features")
        return bytes(graph.as_graph_def().SerializeToString())
