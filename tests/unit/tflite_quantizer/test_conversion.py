import pytest
from modelmill_tflite_quantizer import modelmill_plugins
from modelmill_tflite_quantizer.conversion import Conversion, shape_inputs
from modelmill_tflite_quantizer.generations import generation_of
from modelmill_worker import StepError
from modelmill_worker.signature import Signature, Tensor

TOCO = (generation_of("1.15.5"), "toco")
MLIR = (generation_of("2.15.1"), "mlir")


def signature_of(shape):
    return Signature((Tensor("image", "image:0", "float32", shape),), (Tensor("out", "out:0", "float32", None),))


def shape_of(signature):
    return signature.inputs[0].shape


def test_mlir_keeps_unknown_dimensions():
    assert shape_of(shape_inputs(signature_of((-1, -1, -1, 3)), {}, *MLIR)) == (-1, -1, -1, 3)


def test_toco_takes_a_batch_of_one_where_it_is_unknown():
    assert shape_of(shape_inputs(signature_of((-1, 24, 24, 3)), {}, *TOCO)) == (1, 24, 24, 3)


def test_toco_refuses_other_unknown_dimensions_and_names_the_input_and_the_option():
    with pytest.raises(StepError) as caught:
        shape_inputs(signature_of((-1, -1, -1, 3)), {}, *TOCO)
    assert caught.value.reason == "DYNAMIC_SHAPE"
    assert caught.value.details["input"] == "image"
    assert 'input_shapes, such as {"image": [1, 64, 64, 3]}' in caught.value.message


def test_the_option_fixes_unknown_dimensions():
    fixed = shape_inputs(signature_of((-1, -1, -1, 3)), {"image": (1, 48, 48, 3)}, *TOCO)
    assert shape_of(fixed) == (1, 48, 48, 3)


@pytest.mark.parametrize("generation", [TOCO, MLIR])
def test_refuses_an_unknown_rank(generation):
    with pytest.raises(StepError) as caught:
        shape_inputs(signature_of(None), {}, *generation)
    assert caught.value.reason == "DYNAMIC_SHAPE"


@pytest.mark.parametrize("shapes", [{"picture": (1, 48, 48, 3)}, {"image": (48, 48, 3)}, {"image": (1, 48, 48, 1)}])
def test_refuses_shapes_that_do_not_fit_the_model(shapes):
    with pytest.raises(StepError) as caught:
        shape_inputs(signature_of((-1, -1, -1, 3)), shapes, *MLIR)
    assert caught.value.reason == "INVALID_OPTION"
    assert caught.value.details["option"] == "input_shapes"


def test_toco_of_a_newer_version_wants_static_shapes_as_well():
    with pytest.raises(StepError) as caught:
        shape_inputs(signature_of((-1, -1, -1, 3)), {}, generation_of("2.15.1"), "toco")
    assert caught.value.reason == "DYNAMIC_SHAPE"


def test_one_schema_describes_the_target_whichever_edge_makes_it():
    (plugin,) = modelmill_plugins()

    assert {edge.options for edge in plugin.edges if edge.output == "tflite"} == {Conversion}
