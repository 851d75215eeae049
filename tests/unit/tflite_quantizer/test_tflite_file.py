from collections import Counter

import pytest
from modelmill_tflite_quantizer import tflite_file
from modelmill_tflite_quantizer.builtin_operators import BUILTIN_OPERATORS
from modelmill_worker import StepError


def test_reads_operators_and_ends_of_a_vendor_model(corpus):
    found = tflite_file.read((corpus / "kws-dscnn" / "kws_ref_model_float32.tflite").read_bytes())

    assert Counter(found.operators) == {
        "CONV_2D": 5,
        "DEPTHWISE_CONV_2D": 4,
        "AVERAGE_POOL_2D": 1,
        "RESHAPE": 1,
        "FULLY_CONNECTED": 1,
        "SOFTMAX": 1,
    }
    assert found.inputs == (tflite_file.Tensor("input_1", "float32", (-1, 49, 10, 1)),)
    assert found.outputs == (tflite_file.Tensor("Identity", "float32", (-1, 12)),)


def test_reads_quantised_types(corpus):
    found = tflite_file.read((corpus / "kws-dscnn" / "kws_ref_model.tflite").read_bytes())

    assert (found.inputs[0].dtype, found.outputs[0].dtype) == ("int8", "int8")


def test_names_custom_operators_by_their_own_name(corpus):
    found = tflite_file.read((corpus / "edgetpu-pairs" / "v16" / "dense_256_edgetpu.tflite").read_bytes())

    assert "edgetpu-custom-op" in found.operators


def test_reads_every_model_of_the_corpus(corpus):
    paths = sorted(corpus.rglob("*.tflite"))
    assert paths
    for path in paths:
        found = tflite_file.read(path.read_bytes())
        assert found.operators, path
        assert found.outputs, path


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x00" * 64, b"\x1c\x00\x00\x00TFL2" + b"\x00" * 64])
def test_refuses_what_is_no_tflite(content):
    with pytest.raises(StepError) as caught:
        tflite_file.read(content)
    assert caught.value.reason == "TFLITE_UNREADABLE"


def test_refuses_a_model_cut_short(corpus):
    content = (corpus / "kws-dscnn" / "kws_ref_model_float32.tflite").read_bytes()
    for length in range(0, len(content) // 2, 997):
        with pytest.raises(StepError):
            tflite_file.read(content[:length])


def test_operator_codes_are_those_of_the_schema():
    # A few that schema.fbs has given explicit numbers.
    codes = {"ADD": 0, "CUSTOM": 32, "PRELU": 54, "SPLIT": 49, "WHILE": 119, "BATCH_MATMUL": 126, "GELU": 150}
    assert {name: BUILTIN_OPERATORS.index(name) for name in codes} == codes
