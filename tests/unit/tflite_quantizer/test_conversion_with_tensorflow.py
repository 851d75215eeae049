"""The edge itself. Runs where TensorFlow is: in an environment of the farm, with this project on PYTHONPATH."""

import numpy as np
import pytest
from modelmill_tflite_quantizer.generations import generation_of
from modelmill_worker import StepError
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
TOCO = generation_of(tf.__version__).engine == "TOCO"


@pytest.fixture
def two_outputs(tmp_path):
    """x -> relu (of 4) and softmax (of 3); asked for in the order softmax, relu, under other names."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 5], name="x")
        weights = np.random.RandomState(0).uniform(-1, 1, (5, 7)).astype("float32")
        tf.nn.relu(tf.matmul(x, weights[:, :4]), name="head/relu")
        tf.nn.softmax(tf.matmul(x, weights[:, 4:]), name="head/softmax")
    (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    outputs = (
        Tensor("probabilities", "head/softmax:0", "float32", (-1, 3)),
        Tensor("features", "head/relu:0", "float32", (-1, 4)),
    )
    signatures.write(folder, Signature((Tensor("picture", "x:0", "float32", (-1, 5)),), outputs))
    return folder


@pytest.fixture
def inverse(tmp_path):
    folder = tmp_path / "frozen"
    folder.mkdir()
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [1, 4, 4], name="x")
        tf.linalg.inv(x, name="scope/inverse")
    (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    tensors = (
        (Tensor("x", "x:0", "float32", (1, 4, 4)),),
        (Tensor("y", "scope/inverse:0", "float32", (1, 4, 4)),),
    )
    signatures.write(folder, Signature(*tensors))
    return folder


def test_outputs_keep_their_names_and_order(two_outputs, run_convert, tmp_path):
    facts = run_convert(two_outputs, {})

    made = signatures.read(tmp_path / "output")
    assert [(one.name, one.shape[-1]) for one in made.outputs] == [("probabilities", 3), ("features", 4)]
    interpreter = tf.lite.Interpreter(model_path=str(tmp_path / "output" / "model.tflite"))
    known = {detail["name"]: tuple(detail["shape"])[-1] for detail in interpreter.get_output_details()}
    assert [(one.tensor, known[one.tensor]) for one in made.outputs] == [("head/softmax", 3), ("head/relu", 4)]
    assert [one.tensor for one in made.inputs] == [interpreter.get_input_details()[0]["name"]]
    assert facts["converter"] == ("TOCO" if TOCO else "MLIR")
    assert facts["api"].startswith("tf.")
    assert facts["operators"]["SOFTMAX"] == 1
    assert facts["size"] == (tmp_path / "output" / "model.tflite").stat().st_size


def test_dynamic_range_costs_more_and_says_so(two_outputs, run_convert, tmp_path):
    run_convert(two_outputs, {"quantization": "dynamic_range"})

    assert signatures.read(tmp_path / "output").expected_error > 1e-3


def test_refuses_unsupported_operations_with_their_nodes(inverse, run_convert, tmp_path):
    with pytest.raises(StepError) as caught:
        run_convert(inverse, {})
    assert caught.value.reason == "UNSUPPORTED_OPERATION"
    assert caught.value.details["nodes"] == [{"node": "scope/inverse", "operation": "MatrixInverse"}]
    assert not list((tmp_path / "output").iterdir())


def test_custom_operations_are_kept_where_allowed(inverse, run_convert):
    assert run_convert(inverse, {"allow_custom_ops": True})["operators"] == {"MatrixInverse": 1}


@pytest.mark.skipif(TOCO, reason="TOCO knows few TensorFlow operators")
def test_tensorflow_operations_are_kept_where_allowed(inverse, run_convert):
    assert run_convert(inverse, {"allow_select_tf_ops": True})["operators"] == {"FlexMatrixInverse": 1}


def test_a_graph_that_is_none_is_refused(two_outputs, run_convert):
    (two_outputs / "graph.pb").write_bytes(b"\x0a\x05hello")
    with pytest.raises(StepError) as caught:
        run_convert(two_outputs, {})
    assert caught.value.reason == "CONVERTER_REFUSED"
