import pytest
from modelmill_tfjs_exporter import modelmill_plugins
from modelmill_tfjs_exporter.export import unsupported_operations
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


@pytest.mark.parametrize("when", ["before", "after"])
def test_lists_the_operations_that_tensorflowjs_lacks(when):
    text = f"Unsupported Ops in the model {when} optimization\nSvd, MatrixInverse"
    assert unsupported_operations(text) == ["MatrixInverse", "Svd"]


def test_other_texts_list_nothing():
    assert unsupported_operations("KeyError: 'no such node'") == []


def test_refuses_a_shard_size_below_one_byte(run_export, tmp_path):
    with pytest.raises(StepError) as caught:
        run_export(tmp_path, {"shard_size": 0})
    assert caught.value.reason == "INVALID_OPTION"


@pytest.fixture
def convolution(tmp_path):
    """A frozen graph with an image of bytes, two outputs and 1 kB of weights."""
    tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
    pytest.importorskip("tf_keras", reason="needs an environment with tensorflowjs")
    folder = tmp_path / "frozen"
    folder.mkdir()
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.uint8, [None, 8, 8, 3], name="image")
        filters = tf.constant([[[[0.5] * 84] * 3]])
        first = tf.nn.conv2d(tf.cast(image, tf.float32), filters, strides=1, padding="SAME")
        _, high = tf.split(tf.nn.bias_add(first, [0.1] * 84), 2, axis=3, name="halves")
        tf.nn.relu(high, name="relu")
    (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    outputs = (
        Tensor("high", "relu:0", "float32", (-1, 8, 8, 42)),
        Tensor("raw", "halves:1", "float32", (-1, 8, 8, 42)),
    )
    signatures.write(folder, Signature((Tensor("image", "image:0", "uint8", (-1, 8, 8, 3)),), outputs))
    return folder


def test_exports_a_graph_model_with_its_signature(convolution, run_export, tmp_path):
    facts = run_export(convolution, {"shard_size": 500})

    assert facts["fused"] == {"_FusedConv2D(BiasAdd)": 1}
    assert facts["shards"] == 3
    made = signatures.read(tmp_path / "output")
    assert [one.tensor for one in made.outputs] == ["relu:0", "halves:1"]
    assert made.inputs[0].dtype == "int32"
    assert made.expected_error == 1e-4


def test_quantised_weights_are_smaller_and_cost_more(convolution, run_export, tmp_path):
    run_export(convolution, {"weight_quantization": "uint8"})

    assert (tmp_path / "output" / "group1-shard1of1.bin").stat().st_size < 500
    assert signatures.read(tmp_path / "output").expected_error > 1e-2
