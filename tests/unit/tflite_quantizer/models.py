"""Small models with two inputs and two outputs of one shape each, so that only names tell them apart."""

import numpy as np
import tensorflow as tf
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

v1 = tf.compat.v1 if hasattr(tf.compat, "v1") else tf
TF2 = tf.__version__.startswith("2.")
SHAPE = (1, 6, 6, 3)

_random = np.random.RandomState(0)
_FIRST, _SECOND = (_random.uniform(-1, 1, (3, 3, 3, 8)).astype("float32") for _ in range(2))
_LAST = _random.uniform(-1, 1, (3, 3, 8, 8)).astype("float32")
FEEDS = {name: _random.uniform(-1, 1, SHAPE).astype("float32") for name in ("right", "left")}


def _net(left, right, first, second, last):
    def convolve(x, weights):
        return tf.nn.conv2d(x, weights, strides=[1, 1, 1, 1], padding="SAME")

    return {
        "alpha": convolve(tf.nn.relu(convolve(left, first)), last),
        "zeta": convolve(tf.nn.relu(convolve(right, second)), last),
    }


def _placeholders():
    return [v1.placeholder(tf.float32, (None, *SHAPE[1:]), name="in/" + name) for name in ("right", "left")]


def frozen_graph(folder):
    """A frozen graph, its outputs asked for against their order in the graph; with what it computes of FEEDS."""
    folder.mkdir()
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        right, left = _placeholders()
        outputs = _net(left, right, _FIRST, _SECOND, _LAST)
        named = {name: tf.identity(outputs[name], name="head/" + name) for name in ("alpha", "zeta")}
        expected = session.run(named, {right: FEEDS["right"], left: FEEDS["left"]})
        (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    shapes = {"dtype": "float32", "shape": (-1, *SHAPE[1:])}
    inputs = tuple(Tensor(name, "in/" + name + ":0", **shapes) for name in ("right", "left"))
    outputs = tuple(Tensor(name, "head/" + name + ":0", "float32", None) for name in ("zeta", "alpha"))
    signatures.write(folder, Signature(inputs, outputs))
    return expected


def saved_model_of_graph(folder):
    """A SavedModel as TensorFlow 1 writes it."""
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        right, left = _placeholders()
        options = {"use_resource": False} if TF2 else {}
        values = {"first": _FIRST, "second": _SECOND, "last": _LAST}
        variables = {name: v1.get_variable(name, initializer=value, **options) for name, value in values.items()}
        session.run(v1.global_variables_initializer())
        outputs = _net(left, right, **variables)
        named = {"zeta": tf.identity(outputs["zeta"], "a"), "alpha": tf.identity(outputs["alpha"], "z")}
        expected = session.run(named, {right: FEEDS["right"], left: FEEDS["left"]})
        info = v1.saved_model.utils.build_tensor_info
        signature = v1.saved_model.signature_def_utils.build_signature_def(
            {"right": info(right), "left": info(left)},
            {name: info(tensor) for name, tensor in named.items()},
            "tensorflow/serving/predict",
        )
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    return expected


def saved_model_of_functions(folder):
    """A SavedModel as TensorFlow 2 writes it."""
    module = tf.Module()
    module.weights = [tf.Variable(value) for value in (_FIRST, _SECOND, _LAST)]
    specs = [tf.TensorSpec((None, *SHAPE[1:]), name=name) for name in ("right", "left")]
    module.call = tf.function(lambda right, left: _net(left, right, *module.weights), input_signature=specs)
    expected = module.call(*[tf.constant(FEEDS[name]) for name in ("right", "left")])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.call})
    return {name: value.numpy() for name, value in expected.items()}


def keras_file(folder, suffix):
    """A Keras model, its outputs against their alphabetical order."""
    folder.mkdir()
    layers = tf.keras.layers
    if not TF2:
        tf.keras.backend.clear_session()
    right, left = (layers.Input(SHAPE[1:], name=name) for name in ("right", "left"))
    zeta = layers.Conv2D(8, 3, name="zeta")(layers.Conv2D(8, 3, activation="relu")(right))
    alpha = layers.Conv2D(8, 3, name="alpha")(layers.Conv2D(8, 3, activation="relu")(left))
    model = tf.keras.models.Model([right, left], [zeta, alpha])
    found = model.predict([FEEDS["right"], FEEDS["left"]])
    model.save(str(folder / ("net" + suffix)))
    return dict(zip(("zeta", "alpha"), found))


def trained_ranges(folder, of_input=True, of_output=True):
    """A frozen graph with fake quantisation, as quantisation-aware training leaves it."""
    folder.mkdir()
    by_numbers = v1.quantization if hasattr(v1, "quantization") else v1
    quantise = getattr(by_numbers, "fake_quant_with_min_max_args", None) or v1.fake_quant_with_min_max_args
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        picture = v1.placeholder(tf.float32, SHAPE, name="x")
        net = quantise(picture, -1.0, 1.0) if of_input else picture
        net = tf.nn.conv2d(net, quantise(tf.constant(_FIRST), -1.0, 1.0), strides=[1, 1, 1, 1], padding="SAME")
        net = tf.nn.relu6(tf.nn.bias_add(net, tf.constant([0.1] * 8)), name="features")
        net = tf.identity(quantise(net, 0.0, 6.0), name="out") if of_output else net
        expected = session.run(net, {picture: FEEDS["left"]})
        (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
        tensor = net.name
    signatures.write(
        folder,
        Signature((Tensor("left", "x:0", "float32", SHAPE),), (Tensor("out", tensor, "float32", None),)),
    )
    return {"out": expected}
