import pytest
from modelmill_tflite_quantizer import generations
from modelmill_tflite_quantizer.availability import (
    check_quantization,
    check_select_ops,
    check_source,
    choose_converter,
)
from modelmill_tflite_quantizer.generations import GENERATIONS, generation_of
from modelmill_worker import StepError


@pytest.mark.parametrize(
    ("version", "api", "converter"),
    [
        ("1.5.0", "contrib.lite.toco_convert", "toco"),
        ("1.8.0", "contrib.lite.toco_convert", "toco"),
        ("1.9.0", "contrib.lite.TocoConverter", "toco"),
        ("1.12.3", "contrib.lite.TFLiteConverter", "toco"),
        ("1.13.2", "lite.TFLiteConverter", "toco"),
        ("1.15.5", "lite.TFLiteConverter", "toco"),
        ("2.1.0", "compat.v1.lite.TFLiteConverter", "toco"),
        ("2.2.0", "compat.v1.lite.TFLiteConverter", "mlir"),
        ("2.21.0", "compat.v1.lite.TFLiteConverter", "mlir"),
    ],
)
def test_finds_the_generation_of_a_version(version, api, converter):
    generation = generation_of(version)
    assert (generation.api, choose_converter(generation, "auto", "float")) == (api, converter)


@pytest.mark.parametrize("version", ["1.4.1", "2.22.0", "3.0.0"])
def test_refuses_versions_without_a_row(version):
    with pytest.raises(StepError) as caught:
        generation_of(version)
    assert caught.value.reason == "TENSORFLOW_UNSUPPORTED"


def test_rows_follow_each_other_without_hole_or_overlap():
    for earlier, later in zip(GENERATIONS, GENERATIONS[1:]):
        assert earlier.until == later.since


@pytest.mark.parametrize(("version", "converter"), [("1.14.0", "mlir"), ("2.0.4", "mlir"), ("2.18.1", "toco")])
def test_refuses_a_converter_that_a_version_does_not_have(version, converter):
    with pytest.raises(StepError) as caught:
        choose_converter(generation_of(version), converter, "float")
    assert caught.value.reason == "CONVERTER_NOT_AVAILABLE"
    having = {"mlir": "TensorFlow 1.15 to below 2.0 or 2.1 to below 2.22", "toco": "TensorFlow 1.5 to below 2.18"}
    assert having[converter] in caught.value.message


@pytest.mark.parametrize(("version", "converter"), [("1.15.5", "mlir"), ("2.1.4", "mlir"), ("2.17.1", "toco")])
def test_takes_a_converter_that_a_version_has(version, converter):
    assert choose_converter(generation_of(version), converter, "float") == converter


def test_trained_ranges_are_for_toco():
    assert choose_converter(generation_of("2.15.1"), "auto", "qat_uint8") == "toco"
    with pytest.raises(StepError) as caught:
        choose_converter(generation_of("2.15.1"), "mlir", "qat_uint8")
    assert caught.value.reason == "INVALID_OPTION"


@pytest.mark.parametrize(
    ("version", "quantization"), [("1.9.0", "dynamic_range"), ("1.5.0", "qat_uint8"), ("2.18.1", "qat_uint8")]
)
def test_refuses_a_quantization_that_a_version_does_not_have(version, quantization):
    with pytest.raises(StepError) as caught:
        check_quantization(generation_of(version), quantization)
    assert caught.value.reason == "QUANTIZATION_NOT_AVAILABLE"


@pytest.mark.parametrize(
    ("version", "source"),
    [
        ("1.15.5", generations.SAVED_MODEL_OF_FUNCTIONS),
        ("1.10.1", generations.KERAS_H5),
        ("2.11.1", generations.KERAS_V3),
    ],
)
def test_refuses_a_source_that_a_version_does_not_convert(version, source):
    check_source(generation_of("2.15.1"), source)
    with pytest.raises(StepError) as caught:
        check_source(generation_of(version), source)
    assert caught.value.reason == "SOURCE_NOT_AVAILABLE"


def test_refuses_tensorflow_operators_before_they_could_be_kept():
    check_select_ops(generation_of("1.12.3"))
    with pytest.raises(StepError) as caught:
        check_select_ops(generation_of("1.11.0"))
    assert caught.value.reason == "OPTION_NOT_AVAILABLE"
