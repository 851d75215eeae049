import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError


def proto_of(array, dtype=None):
    return graph_def.new_constant("c", array, dtype).attr["value"].tensor


@pytest.mark.parametrize(
    "name",
    [
        "float32",
        "float64",
        "float16",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "bool",
        "complex64",
        "complex128",
    ],
)
@given(shape=st.lists(st.integers(0, 3), max_size=3))
def test_encoded_arrays_come_back(name, shape):
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2).astype(name)
    decoded = tensors.decode(proto_of(array))
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded, array)


def test_strings_come_back_as_bytes():
    decoded = tensors.decode(proto_of(np.array([["a", "b"]], dtype=object)))
    assert decoded.tolist() == [[b"a", b"b"]]


def test_one_value_stands_for_the_rest():
    proto = proto_of(np.zeros((2, 3), np.float32))
    proto.tensor_content = b""
    proto.float_val.extend([1.0, 2.0])
    assert tensors.decode(proto).tolist() == [[1, 2, 2], [2, 2, 2]]


def test_no_value_means_zeros():
    proto = proto_of(np.ones(3, np.int32))
    proto.tensor_content = b""
    assert tensors.decode(proto).tolist() == [0, 0, 0]


def test_reads_half_floats_from_their_bits():
    proto = proto_of(np.zeros(2, np.float16))
    proto.tensor_content = b""
    proto.half_val.extend(int(bits) for bits in np.array([1.5, -2.0], np.float16).view(np.uint16))
    assert tensors.decode(proto).tolist() == [1.5, -2.0]


def test_bfloat16_is_rounded_to_the_nearest_and_read_as_float32():
    # 1 + 2**-8 lies half-way between 1 and the next bfloat16; ties go to the even one, which is 1.
    values = np.array([1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, -3.0, np.inf], np.float32)
    proto = proto_of(values, tensors.BFLOAT16)
    assert proto.dtype == 14
    assert tensors.decode(proto).tolist() == [1.0, 1.0, 1 + 2 * 2.0**-7, -3.0, np.inf]


def test_complex_values_come_in_pairs():
    proto = proto_of(np.zeros(2, np.complex64))
    proto.tensor_content = b""
    proto.scomplex_val.extend([1, 2, 3, 4])
    assert tensors.decode(proto).tolist() == [1 + 2j, 3 + 4j]


@pytest.mark.parametrize("content", [b"\0" * 7, b"\0" * 8])
def test_refuses_bytes_that_do_not_fit_the_shape(content):
    proto = proto_of(np.zeros(3, np.float32))
    proto.tensor_content = content
    with pytest.raises(StepError) as caught:
        tensors.decode(proto)
    assert caught.value.reason == "TENSOR_MALFORMED"


def test_refuses_more_values_than_elements():
    proto = proto_of(np.zeros(1, np.float32))
    proto.tensor_content = b""
    proto.float_val.extend([1, 2])
    with pytest.raises(StepError, match="2 values"):
        tensors.decode(proto)


def test_reference_types_are_their_value_types():
    assert tensors.data_type(101) is tensors.data_type(1)


def test_refuses_an_unknown_type():
    with pytest.raises(StepError) as caught:
        tensors.data_type(77)
    assert caught.value.reason == "DTYPE_UNKNOWN"


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        (None, (1, 2), True),
        ((-1, 3), (8, 3), True),
        ((8, 3), (-1, 3), True),
        ((-1, 3), (8, 4), False),
        ((3,), (3, 1), False),
        ((), (), True),
    ],
)
def test_open_dimensions_agree_with_any(first, second, agree):
    assert tensors.shapes_agree(first, second) is agree


def test_every_constant_of_real_graphs_can_be_read(corpus):
    for name in ("posenet/frozen.pb", "kws-tf1-frozen/CRNN_S.pb", "mtcnn/tf1.9.0/onet/frozen.pb"):
        constants = [node for node in graph_def.read(corpus / name).node if node.op == "Const"]
        assert constants
        for node in constants:
            value = graph_def.constant_value(node)
            assert value.shape == tensors.decode_shape(node.attr["value"].tensor.tensor_shape)
