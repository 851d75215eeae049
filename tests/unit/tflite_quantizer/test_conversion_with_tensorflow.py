"""The edges themselves. Runs where TensorFlow is: in an environment of the farm, with this project on PYTHONPATH."""

import numpy as np
import pytest
from modelmill_tflite_quantizer import generations, tflite_file
from modelmill_tflite_quantizer.generations import generation_of
from modelmill_worker import StepError
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
v1 = tf.compat.v1 if hasattr(tf.compat, "v1") else tf
SHAPE = (1, 6, 6, 3)
GENERATION = generation_of(tf.__version__)
FUNCTIONS = generations.SAVED_MODEL_OF_FUNCTIONS in GENERATION.sources


def interpreter_class():
    """TFLite's interpreter; the versions before 1.9 bring none."""
    if hasattr(tf, "lite"):
        return tf.lite.Interpreter
    try:
        from tensorflow.contrib.lite.python import interpreter
    except ImportError:
        return None
    return interpreter.Interpreter


def outputs_of(folder, feeds):
    """What the .tflite computes, by the names of its signature; None where nothing can run it."""
    if interpreter_class() is None:
        return None
    signature = signatures.read(folder)
    interpreter = interpreter_class()(model_path=str(folder / "model.tflite"))
    places = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    if any(-1 in tensor.shape for tensor in signature.inputs):
        for tensor in signature.inputs:
            interpreter.resize_tensor_input(places[tensor.tensor], feeds[tensor.name].shape)
    interpreter.allocate_tensors()
    details = {detail["name"]: detail for detail in interpreter.get_input_details()}
    for tensor in signature.inputs:
        interpreter.set_tensor(places[tensor.tensor], quantised(feeds[tensor.name], details[tensor.tensor]))
    interpreter.invoke()
    found = {detail["name"]: detail for detail in interpreter.get_output_details()}
    return {
        tensor.name: dequantised(interpreter.get_tensor(found[tensor.tensor]["index"]), found[tensor.tensor])
        for tensor in signature.outputs
    }


def quantised(value, detail):
    if detail["dtype"] != np.uint8:
        return value
    scale, zero = detail["quantization"]
    return np.clip(np.round(value / scale) + zero, 0, 255).astype(np.uint8)


def dequantised(value, detail):
    if detail["dtype"] != np.uint8:
        return value
    scale, zero = detail["quantization"]
    return (value.astype(np.float32) - zero) * scale


def check(models, folder, expected, tolerance=1e-5):
    """Names, order and tensors; and the numbers, where an interpreter is there."""
    signature = signatures.read(folder)
    assert {tensor.name for tensor in signature.outputs} == set(expected)
    flatbuffer = tflite_file.read((folder / "model.tflite").read_bytes())
    assert {tensor.tensor for tensor in signature.outputs} == {tensor.name for tensor in flatbuffer.outputs}
    assert {tensor.tensor for tensor in signature.inputs} == {tensor.name for tensor in flatbuffer.inputs}
    found = outputs_of(folder, models.FEEDS)
    for name in found or ():
        assert np.abs(found[name] - expected[name]).max() <= tolerance * np.ptp(expected[name]), name


@pytest.fixture
def inverse(tmp_path):
    folder = tmp_path / "frozen"
    folder.mkdir()
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [1, 4, 4], name="x")
        (tf.linalg.inv if hasattr(tf.linalg, "inv") else tf.matrix_inverse)(x, name="scope/inverse")
    (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    tensors = (
        (Tensor("x", "x:0", "float32", (1, 4, 4)),),
        (Tensor("y", "scope/inverse:0", "float32", (1, 4, 4)),),
    )
    signatures.write(folder, Signature(*tensors))
    return folder


@pytest.mark.parametrize("converter", ["auto", *GENERATION.converters])
def test_a_frozen_graph(models, run_convert, tmp_path, converter):
    expected = models.frozen_graph(tmp_path / "frozen")

    facts = run_convert(tmp_path / "frozen", {"converter": converter})

    made = signatures.read(tmp_path / "output")
    assert [tensor.name for tensor in made.inputs] == ["right", "left"]
    assert [tensor.name for tensor in made.outputs] == ["zeta", "alpha"]
    check(models, tmp_path / "output", expected)
    assert facts["converter"] == (GENERATION.converters[0] if converter == "auto" else converter).upper()
    assert facts["api"].startswith("tf.")
    assert facts["operators"]["CONV_2D"] == 4
    assert facts["size"] == (tmp_path / "output" / "model.tflite").stat().st_size


def test_a_converter_that_is_not_there_is_refused_before_anything_is_converted(models, run_convert, tmp_path):
    missing = [name for name in ("toco", "mlir") if name not in GENERATION.converters]
    models.frozen_graph(tmp_path / "frozen")
    for name in missing:
        with pytest.raises(StepError) as caught:
            run_convert(tmp_path / "frozen", {"converter": name})
        assert caught.value.reason == "CONVERTER_NOT_AVAILABLE"
        assert not list((tmp_path / "output").iterdir())


def test_refuses_a_graph_whose_weights_lie_beside_it(models, run_convert, tmp_path):
    models.frozen_graph(tmp_path / "frozen")
    (tmp_path / "frozen" / "graph.weights").write_bytes(bytes(64))
    with pytest.raises(StepError) as caught:
        run_convert(tmp_path / "frozen", {})
    assert caught.value.reason == "GRAPH_TOO_LARGE"
    assert "choose outputs" in caught.value.message


def test_dynamic_range_costs_more_and_says_so(models, run_convert, tmp_path):
    expected = models.frozen_graph(tmp_path / "frozen")
    if "dynamic_range" not in GENERATION.quantizations:
        with pytest.raises(StepError) as caught:
            run_convert(tmp_path / "frozen", {"quantization": "dynamic_range"})
        assert caught.value.reason == "QUANTIZATION_NOT_AVAILABLE"
        return
    run_convert(tmp_path / "frozen", {"quantization": "dynamic_range"})

    assert signatures.read(tmp_path / "output").expected_error > 1e-3
    check(models, tmp_path / "output", expected, 0.1)


def test_trained_ranges_give_a_uint8_model(models, run_convert, tmp_path):
    expected = models.trained_ranges(tmp_path / "frozen")
    if "qat_uint8" not in GENERATION.quantizations:
        with pytest.raises(StepError) as caught:
            run_convert(tmp_path / "frozen", {"quantization": "qat_uint8"})
        assert caught.value.reason == "QUANTIZATION_NOT_AVAILABLE"
        return
    facts = run_convert(tmp_path / "frozen", {"quantization": "qat_uint8"})

    assert facts["converter"] == "TOCO"
    made = signatures.read(tmp_path / "output")
    assert (made.inputs[0].dtype, made.outputs[0].dtype) == ("uint8", "uint8")
    check(models, tmp_path / "output", expected, made.expected_error)


@pytest.mark.parametrize(
    ("of_input", "of_output", "reason"),
    [(False, True, "INPUT_STATS_MISSING"), (True, False, "MISSING_QUANTIZATION_RANGES")],
)
def test_ranges_that_are_missing_are_named(models, run_convert, tmp_path, of_input, of_output, reason):
    models.trained_ranges(tmp_path / "frozen", of_input, of_output)
    with pytest.raises(StepError) as caught:
        run_convert(tmp_path / "frozen", {"quantization": "qat_uint8"})
    there = "qat_uint8" in GENERATION.quantizations
    assert caught.value.reason == (reason if there else "QUANTIZATION_NOT_AVAILABLE")


@pytest.mark.parametrize("shapes", [{}, {"right": SHAPE, "left": SHAPE}])
def test_a_saved_model_of_a_graph(models, run_edge, tmp_path, shapes):
    expected = models.saved_model_of_graph(tmp_path / "model")

    run_edge("convert-saved-model", tmp_path / "model", {"input_shapes": shapes})

    check(models, tmp_path / "output", expected)


@pytest.mark.parametrize("options", [{}, {"input_shapes": {"right": SHAPE}}, {"converter": "toco"}])
def test_a_saved_model_of_functions(models, run_edge, tmp_path, options):
    if not FUNCTIONS:
        assert GENERATION.since < (2, 0)
        return
    expected = models.saved_model_of_functions(tmp_path / "model")
    if options.get("converter", "mlir") not in (*GENERATION.converters, "mlir"):
        options = {}
    run_edge("convert-saved-model", tmp_path / "model", options)

    check(models, tmp_path / "output", expected)


@pytest.mark.parametrize(
    ("kind", "suffix", "edge"),
    [(generations.KERAS_H5, ".h5", "convert-keras-h5"), (generations.KERAS_V3, ".keras", "convert-keras")],
)
@pytest.mark.parametrize("shapes", [{}, {"right": SHAPE}])
def test_a_keras_model(models, run_edge, tmp_path, kind, suffix, edge, shapes):
    if kind not in GENERATION.sources:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "net").write_bytes(b"any")
        with pytest.raises(StepError) as caught:
            run_edge(edge, tmp_path / "model", {})
        assert caught.value.reason == "SOURCE_NOT_AVAILABLE"
        return
    expected = models.keras_file(tmp_path / "model", suffix)

    run_edge(edge, tmp_path / "model", {"input_shapes": shapes})

    check(models, tmp_path / "output", expected)


def test_a_signature_that_is_not_there_is_refused_with_those_that_are(models, run_edge, tmp_path):
    models.saved_model_of_graph(tmp_path / "model")
    with pytest.raises(StepError) as caught:
        run_edge("convert-saved-model", tmp_path / "model", {"signature_key": "classify"})
    assert (caught.value.reason, caught.value.details["known"]) == ("SIGNATURE_NOT_FOUND", ["serving_default"])


def test_options_for_saved_models_are_refused_elsewhere(models, run_convert, tmp_path):
    models.frozen_graph(tmp_path / "frozen")
    with pytest.raises(StepError) as caught:
        run_convert(tmp_path / "frozen", {"signature_key": "serving_default"})
    assert caught.value.reason == "INVALID_OPTION"


@pytest.mark.parametrize("converter", GENERATION.converters)
def test_refuses_unsupported_operations_with_their_nodes(inverse, run_convert, tmp_path, converter):
    with pytest.raises(StepError) as caught:
        run_convert(inverse, {"converter": converter})
    assert caught.value.reason == "UNSUPPORTED_OPERATION"
    assert caught.value.details["nodes"] == [{"node": "scope/inverse", "operation": "MatrixInverse"}]
    assert not list((tmp_path / "output").iterdir())


def test_custom_operations_are_kept_where_allowed(inverse, run_convert):
    if GENERATION.api.endswith("toco_convert") and GENERATION.since == (1, 6):
        return  # 1.8 refuses them, 1.6 and 1.7 do not
    assert list(run_convert(inverse, {"allow_custom_ops": True})["operators"].values()) == [1]


def test_tensorflow_operations_are_kept_where_allowed(inverse, run_convert):
    if GENERATION.since == (1, 12) or GENERATION.since >= (2, 5):
        assert run_convert(inverse, {"allow_select_tf_ops": True})["operators"] == {"FlexMatrixInverse": 1}
    elif GENERATION.since < (2, 2):
        # From 1.13 on few of TensorFlow's operators were let through, until 2.4.
        reason = "UNSUPPORTED_OPERATION" if GENERATION.select_ops_switch else "OPTION_NOT_AVAILABLE"
        with pytest.raises(StepError) as caught:
            run_convert(inverse, {"allow_select_tf_ops": True})
        assert caught.value.reason == reason


def test_a_graph_that_is_none_is_refused(models, run_convert, tmp_path):
    models.frozen_graph(tmp_path / "frozen")
    (tmp_path / "frozen" / "graph.pb").write_bytes(b"\x0a\x05hello")
    with pytest.raises(StepError):
        run_convert(tmp_path / "frozen", {})
