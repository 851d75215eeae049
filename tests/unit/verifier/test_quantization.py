import numpy as np
import pytest
from modelmill_verifier.quantization import Quantization, quantization_of


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point"), [("uint8", 0.0078125, 128), ("int8", 0.5, -128), ("int16", 1e-4, 0)]
)
def test_every_whole_number_comes_back(dtype, scale, zero_point):
    limits = np.iinfo(dtype)
    stored = np.arange(limits.min, limits.max + 1).astype(dtype)
    quantization = Quantization(dtype, scale, zero_point)
    assert np.array_equal(quantization.quantise(quantization.dequantise(stored)), stored)


def test_reals_go_to_the_nearest_number_and_stop_at_the_ends():
    quantization = Quantization("uint8", 0.5, 10)
    stored = quantization.quantise(np.float32([0.0, 0.3, -0.2, 1e9, -1e9, 122.5]))
    assert stored.dtype == np.uint8
    assert stored.tolist() == [10, 11, 10, 255, 0, 255]
    assert quantization.dequantise(stored).tolist() == [0.0, 0.5, 0.0, 122.5, -5.0, 122.5]


def test_real_bytes_of_an_image_are_shifted_for_int8():
    assert Quantization("int8", 1.0, -128).quantise(np.uint8([0, 128, 255])).tolist() == [-128, 0, 127]


@pytest.mark.parametrize(
    ("dtype", "told", "expected"),
    [
        (np.uint8, (0.5, 3), Quantization("uint8", 0.5, 3)),
        (np.int16, (0.25, 0), Quantization("int16", 0.25, 0)),
        (np.uint8, (0.0, 0), None),
        (np.float32, (0.0, 0), None),
        (np.int32, (0.5, 0), None),
    ],
)
def test_knows_what_is_quantised(dtype, told, expected):
    assert quantization_of({"dtype": dtype, "quantization": told}) == expected
