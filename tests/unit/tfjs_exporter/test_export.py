import importlib.util
import json

import pytest
from modelmill_tfjs_exporter import modelmill_plugins
from modelmill_tfjs_exporter.generations import generation_of
from modelmill_tfjs_exporter.tensorflowjs_import import installed_version
from modelmill_worker import Step, StepError, Tree, options
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor


@pytest.fixture
def run_export(tmp_path):
    def run(model, values):
        (plugin,) = modelmill_plugins()
        (edge,) = plugin.edges
        (tmp_path / "output").mkdir()
        tree = Tree("tf.frozen_graph", model, ("graph.pb", "signature.json"))
        return edge.run(Step({"model": tree}, options.parse(edge.options, values), tmp_path / "output", tmp_path))

    return run


def test_refuses_a_shard_size_below_one_byte(run_export, tmp_path):
    with pytest.raises(StepError) as caught:
        run_export(tmp_path, {"shard_size": 0})
    assert caught.value.reason == "INVALID_OPTION"


@pytest.fixture
def generation():
    """The generation of the tensorflowjs that is installed here."""
    # Not `importorskip`: tensorflowjs imports only with the exporter's stand-ins.
    if importlib.util.find_spec("tensorflowjs") is None:
        pytest.skip("needs an environment with tensorflowjs")
    return generation_of(installed_version())


@pytest.fixture
def save(tmp_path):
    """Write a frozen graph and its signature into a folder: save(graph, [Tensor], [Tensor]) -> folder."""

    def write(graph, inputs, outputs):
        folder = tmp_path / "frozen"
        folder.mkdir()
        (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
        signatures.write(folder, Signature(tuple(inputs), tuple(outputs)))
        return folder

    return write


def placeholder(dtype, shape, name):
    import tensorflow as tf

    v1 = tf.compat.v1 if hasattr(tf.compat, "v1") else tf
    return v1.placeholder(dtype, shape, name=name)


@pytest.fixture
def convolution(generation, save):
    """A frozen graph with an image of bytes, two outputs and 1 kB of weights."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        image = placeholder(tf.uint8, [None, 8, 8, 3], "image")
        filters = tf.constant([[[[0.5] * 84] * 3]])
        first = tf.nn.conv2d(tf.cast(image, tf.float32), filters, strides=[1, 1, 1, 1], padding="SAME")
        _, high = tf.split(tf.nn.bias_add(first, [0.1] * 84), 2, axis=3, name="halves")
        tf.nn.relu(high, name="relu")
    outputs = (
        Tensor("high", "relu:0", "float32", (-1, 8, 8, 42)),
        Tensor("raw", "halves:1", "float32", (-1, 8, 8, 42)),
    )
    return save(graph, [Tensor("image", "image:0", "uint8", (-1, 8, 8, 3))], outputs)


def test_exports_a_graph_model_with_its_signature(convolution, generation, run_export, tmp_path):
    facts = run_export(convolution, {"shard_size": 500})

    assert facts["fused"] == ({} if "fused operators" in generation.lacks else {"_FusedConv2D(BiasAdd)": 1})
    assert facts["shards"] == 3
    assert facts["converter"] == f"TensorFlow.js Converter v{installed_version()}"
    assert bool(facts["notes"]) == bool(generation.lacks)
    made = signatures.read(tmp_path / "output")
    assert [one.tensor for one in made.outputs] == ["relu:0", "halves:1"]
    assert made.inputs[0].dtype == "int32"
    assert made.expected_error == 1e-4


def test_refuses_a_graph_whose_weights_lie_beside_it(convolution, run_export):
    (convolution / "graph.weights").write_bytes(bytes(64))
    with pytest.raises(StepError) as caught:
        run_export(convolution, {})
    assert caught.value.reason == "GRAPH_TOO_LARGE"
    assert "choose outputs" in caught.value.message


def weights(folder):
    (group,) = json.loads((folder / "model.json").read_text())["weightsManifest"]
    return {weight["name"]: weight for weight in group["weights"]}


@pytest.mark.parametrize(("chosen", "width"), [("uint8", 1), ("uint16", 2), ("float16", 2)])
def test_quantised_weights_are_smaller_and_cost_more(chosen, width, convolution, generation, run_export, tmp_path):
    if chosen not in generation.weight_quantizations:
        with pytest.raises(StepError) as caught:
            run_export(convolution, {"weight_quantization": chosen})
        assert caught.value.reason == "INVALID_OPTION"
        assert "4.22" in caught.value.message
        return
    facts = run_export(convolution, {"weight_quantization": chosen})

    shards = [path.stat().st_size for path in (tmp_path / "output").iterdir() if path.name.startswith("group")]
    assert 336 * width <= sum(shards) < 336 * width + 100
    assert facts["weight_quantization"] == chosen
    assert signatures.read(tmp_path / "output").expected_error > 1e-2


def test_quantising_leaves_whole_numbers_alone(generation, save, run_export, tmp_path):
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        x = placeholder(tf.float32, [4, 1000], "x")
        product = tf.matmul(tf.reshape(x, [1000, 4], name="reshape"), tf.constant([[0.1, 0.9]] * 4), name="product")
        tf.tanh(product, name="y")
    x, y = Tensor("x", "x:0", "float32", (4, 1000)), Tensor("y", "y:0", "float32", (1000, 2))
    run_export(save(graph, [x], [y]), {"weight_quantization": "uint8"})

    quantised = {weight["dtype"]: "quantization" in weight for weight in weights(tmp_path / "output").values()}
    assert quantised == {"float32": True, "int32": False}


def test_an_operation_that_tensorflowjs_lacks_is_named_with_its_nodes(generation, save, run_export):
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.linalg.det(placeholder(tf.float32, [3, 3], "x"), name="y")
    x, y = Tensor("x", "x:0", "float32", (3, 3)), Tensor("y", "y:0", "float32", ())
    with pytest.raises(StepError) as caught:
        run_export(save(graph, [x], [y]), {})
    assert caught.value.reason == "UNSUPPORTED_OPERATION"
    assert caught.value.details["nodes"] == [{"node": "y", "operation": "MatrixDeterminant"}]


@pytest.fixture
def prelu(generation, save):
    """A convolution, PReLU and tanh, with the outputs given: prelu("end", "x") -> folder."""
    import tensorflow as tf

    def write(*outputs):
        graph = tf.Graph()
        with graph.as_default():
            image = placeholder(tf.float32, [1, 4, 4, 3], "image")
            convolved = tf.nn.conv2d(image, tf.constant([[[[0.5] * 3] * 3]]), strides=[1, 1, 1, 1], padding="SAME")
            x = tf.nn.bias_add(convolved, [0.1, -0.2, 0.3], name="x")
            negative = tf.multiply(tf.constant([[[-0.2, -0.3, -0.1]]]), tf.nn.relu(tf.negative(x)))
            tf.tanh(tf.add(tf.nn.relu(x), negative, name="sum"), name="end")
        tensors = [Tensor(name, name + ":0", "float32", (1, 4, 4, 3)) for name in ("image", *outputs)]
        return save(graph, tensors[:1], tensors[1:])

    return write


def test_makes_one_operator_of_convolution_and_prelu(prelu, generation, run_export):
    facts = run_export(prelu("end"), {})
    fused = {} if "fused operators" in generation.lacks else {"_FusedConv2D(BiasAdd, Prelu)": 1}
    assert facts["fused"] == fused


@pytest.mark.parametrize("outputs", [("sum",), ("end", "x")])
def test_leaves_a_prelu_alone_whose_parts_are_outputs(outputs, prelu, run_export):
    facts = run_export(prelu(*outputs), {})
    assert facts["operators"]["Neg"] == 1
    assert facts["operators"]["Relu"] == 2


def test_a_constant_that_is_no_slope_keeps_its_sign(generation, save, run_export, tmp_path):
    """relu(a) + constant * b: 1.7 changes the constant's sign as it would for a PReLU."""
    import numpy as np
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        a, b = placeholder(tf.float32, [3], "a"), placeholder(tf.float32, [3], "b")
        tf.add(tf.nn.relu(a, name="relu"), tf.multiply(tf.constant([0.5, 0.25, 2.0]), b, name="scaled"), name="y")
    inputs = [Tensor(name, name + ":0", "float32", (3,)) for name in ("a", "b")]
    run_export(save(graph, inputs, [Tensor("y", "y:0", "float32", (3,))]), {})

    (shard,) = (tmp_path / "output").glob("group*")
    assert np.frombuffer(shard.read_bytes(), "<f4").tolist() == [0.5, 0.25, 2.0]


def test_a_depthwise_convolution_may_end_the_model(generation, save, run_export):
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        image = placeholder(tf.float32, [1, 4, 4, 3], "image")
        filters = tf.constant([[[[0.5], [0.2], [0.1]]]])
        convolved = tf.nn.depthwise_conv2d(image, filters, strides=[1, 1, 1, 1], padding="SAME")
        tf.nn.relu6(tf.nn.bias_add(convolved, [0.1, -0.2, 0.3], name="x"), name="y")
    tensors = [Tensor(name, name + ":0", "float32", (1, 4, 4, 3)) for name in ("image", "x", "y")]
    facts = run_export(save(graph, tensors[:1], tensors[1:]), {})

    assert facts["operators"]["BiasAdd"] == 1
    assert facts["operators"]["Relu6"] == 1
