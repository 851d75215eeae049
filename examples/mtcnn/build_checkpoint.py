"""Write MTCNN's P-Net as a TensorFlow 1 training checkpoint: model.ckpt.* and graph.pbtxt.

    python build_checkpoint.py --weights FOLDER_OR_WHEEL --output FOLDER

The weights are those that version 0.1.1 of the package mtcnn carries; requirements.txt beside this file names it with
its hash. The graph is one as TensorFlow 1 code wrote it: PReLU from relu, neg, mul and add, and all that training
needs around the net - targets, losses, metrics, Adam, summaries, savers. Runs on TensorFlow 1.15 and on any 2.x.
"""

# ruff: noqa: UP006, UP035 - this runs on Python 3.7 too

import argparse
import hashlib
import io
import sys
import zipfile
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np

WEIGHTS_FILE = "mtcnn/data/mtcnn_weights.npy"
#: Of that file in mtcnn 0.1.1. It is a pickle, and a pickle is a program: no other one is opened.
WEIGHTS_SHA256 = "9e04e975abf93c7173e956df4b496d6da269e08b9e87f2daec963ee1176576b0"
PREFIX = "model.ckpt"

Arrays = List[np.ndarray]


def main() -> int:
    """Read the arguments, build, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights", type=Path, required=True, help="the wheel of mtcnn 0.1.1, or where it is installed"
    )
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to; made where it is missing")
    arguments = parser.parse_args()
    try:
        weights = read_weights(arguments.weights)
    except (OSError, KeyError, ValueError) as error:
        print(f"build_checkpoint: {error}", file=sys.stderr)
        return 1
    save(weights, arguments.output)
    print(f"{PREFIX} and graph.pbtxt are in {arguments.output}")
    return 0


def read_weights(source: Path) -> Arrays:
    """P-Net's arrays in the order of its layers: kernel, bias and alpha of each convolution, the two heads last.

    Raises OSError or KeyError where the file is not there, ValueError where it is another one.
    """
    if source.is_file():
        with zipfile.ZipFile(str(source)) as wheel:
            content = wheel.read(WEIGHTS_FILE)
    else:
        content = (source / WEIGHTS_FILE).read_bytes()
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise ValueError(f"{WEIGHTS_FILE} is not the one that mtcnn 0.1.1 carries")
    return np.load(io.BytesIO(content), allow_pickle=True).item()["pnet"]


def save(weights: Arrays, folder: Path) -> None:
    """Build the training graph, give its variables their values, and write checkpoint and graph."""
    tf = tensorflow_1()
    folder.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default() as graph, tf.Session() as session:
        values = build_net(tf, weights)
        add_training(tf, graph)
        session.run(tf.global_variables_initializer())
        for variable, value in values:
            variable.load(value, session)
        tf.train.Saver().save(session, str(folder / PREFIX))
        tf.train.write_graph(graph.as_graph_def(), str(folder), "graph.pbtxt", as_text=True)


def tensorflow_1() -> Any:
    """TensorFlow 1's API with its graphs, reference variables and control flow, from either version."""
    import tensorflow

    tf = tensorflow.compat.v1
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_v2_behavior()
    return tf


def build_net(tf: Any, weights: Arrays) -> List[Tuple[Any, np.ndarray]]:
    """P-Net (Zhang et al. 2016, doi:10.1109/LSP.2016.2603342, figure 2); returns each variable with its value.

    Input: `pnet/input`, float32 [?, ?, ?, 3], RGB scaled to [-1, 1], height and width swapped as the trained weights
    want it. Outputs: `pnet/prob` [?, ?, ?, 2], no face and face; `pnet/bbox` [?, ?, ?, 4], regression of the box.
    """
    values: List[Tuple[Any, np.ndarray]] = []
    arrays = iter(weights)

    def variable(name: str) -> Any:
        value = next(arrays)
        made = tf.get_variable(name, value.shape, tf.float32, tf.truncated_normal_initializer(stddev=0.1))
        values.append((made, value))
        return made

    def convolve(name: str, inputs: Any) -> Any:
        with tf.variable_scope(name):
            product = tf.nn.conv2d(inputs, variable("weights"), strides=[1, 1, 1, 1], padding="VALID")
            return tf.nn.bias_add(product, variable("biases"))

    def prelu(name: str, inputs: Any) -> Any:
        with tf.variable_scope(name):
            alpha = variable("alpha")
            return tf.nn.relu(inputs) + tf.negative(alpha * tf.nn.relu(tf.negative(inputs)))

    with tf.variable_scope("pnet"):
        images = tf.placeholder(tf.float32, [None, None, None, 3], "input")
        net = prelu("prelu1", convolve("conv1", images))
        net = tf.nn.max_pool(net, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME", name="pool1")
        net = prelu("prelu2", convolve("conv2", net))
        net = prelu("prelu3", convolve("conv3", net))
        tf.nn.softmax(convolve("conv4-1", net), name="prob")
        tf.identity(convolve("conv4-2", net), name="bbox")
    return values


def add_training(tf: Any, graph: Any) -> None:
    """Targets, losses, metrics, optimiser and summaries for crops of 12 x 12 pixels, as in the paper."""
    scores = tf.reshape(graph.get_tensor_by_name("pnet/conv4-1/BiasAdd:0"), [-1, 2])
    boxes = tf.reshape(graph.get_tensor_by_name("pnet/bbox:0"), [-1, 4])
    face = tf.placeholder(tf.int32, [None], "target/face")
    box = tf.placeholder(tf.float32, [None, 4], "target/box")
    with tf.name_scope("loss"):
        classification = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=face, logits=scores))
        regression = tf.reduce_mean(tf.reduce_sum(tf.square(boxes - box), axis=1) * tf.cast(face, tf.float32))
        decay = 5e-4 * tf.add_n([tf.nn.l2_loss(one) for one in tf.trainable_variables() if "weights" in one.name])
        total = classification + 0.5 * regression + decay
    with tf.name_scope("metrics"):
        found = tf.argmax(scores, axis=1, output_type=tf.int32)
        accuracy = tf.reduce_mean(tf.cast(tf.equal(found, face), tf.float32))
    tf.summary.scalar("loss_total", total)
    tf.summary.scalar("accuracy", accuracy)
    tf.summary.merge_all()
    step = tf.train.get_or_create_global_step()
    rate = tf.train.exponential_decay(1e-3, step, decay_steps=10000, decay_rate=0.9)
    tf.train.AdamOptimizer(rate).minimize(total, global_step=step, name="train")


if __name__ == "__main__":
    sys.exit(main())
