import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from modelmill_verifier.differences import ROUNDING, allowed_error, differ

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)
VECTORS = hnp.arrays(np.float32, st.integers(1, 20), elements=FINITE)
ANY_VECTORS = hnp.arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32))


@given(ANY_VECTORS)
def test_anything_equals_itself(values):
    found = differ("x", values, values.copy(), tolerance=0.0)

    assert found.passed
    assert found.max_abs_error == 0.0
    assert found.cosine_similarity == pytest.approx(1.0)  # Three sums of up to 20 rounded products.


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@given(st.lists(st.tuples(st.floats(), st.floats()), min_size=1, max_size=20), st.floats(0, 1e3))
def test_facts_are_json_whatever_the_values(pairs, tolerance):
    actual, reference = np.array(pairs, dtype=np.float64).T
    json.dumps(differ("x", actual, reference, tolerance).facts(), allow_nan=False)


@given(VECTORS, VECTORS)
def test_the_cosine_lies_between_minus_one_and_one(actual, reference):
    size = min(len(actual), len(reference))
    found = differ("x", actual[:size], reference[:size], 0.1)
    assert -1.0 <= found.cosine_similarity <= 1.0


@given(VECTORS, st.floats(1e-3, 1.0))
def test_an_error_passes_up_to_the_tolerance_and_not_beyond(reference, tolerance):
    allowed = allowed_error(reference.astype(np.float64), tolerance)
    below, above = reference.astype(np.float64), reference.astype(np.float64)
    # A float64 of the reference's size cannot say the error to more than 16 digits; a float32 would round it away.
    slack = 1e-12 * float(np.abs(reference).max())
    below[0] += 0.999 * allowed - slack if 0.999 * allowed > slack else 0.0
    above[0] += 1.001 * allowed + slack
    assert differ("x", below, reference, tolerance).passed
    assert differ("x", above, reference, tolerance).passed == (above[0] - np.float64(reference[0]) <= allowed)
    if allowed > 0:
        assert not differ("x", above, reference, tolerance).passed


def test_tells_the_numbers_of_an_error():
    reference = np.array([0.0, 1.0, 2.0, 4.0], dtype=np.float32)
    found = differ("x", reference + np.float32([0, 0, 0, 0.5]), reference, tolerance=0.1)

    assert found.max_abs_error == 0.5
    assert found.reference_range == 4.0
    assert found.rms_relative_error == pytest.approx(0.5 / math.sqrt(21), rel=1e-12)
    assert found.cosine_similarity == pytest.approx(23 / math.sqrt(21 * 25.25), rel=1e-12)
    assert not found.passed
    assert differ("x", reference + 0.3, reference, tolerance=0.1).passed


def test_a_missing_output_fails_with_a_reason():
    found = differ("x", None, np.zeros(3), 0.1)
    assert not found.passed
    assert "no such output" in found.reason


def test_another_shape_fails_with_a_reason():
    found = differ("x", np.zeros((1, 3)), np.zeros((3, 1)), 0.1)
    assert not found.passed
    assert "[1, 3]" in found.reason
    assert found.max_abs_error is None


def test_nan_and_infinities_in_the_same_places_are_equal():
    values = np.array([np.nan, np.inf, -np.inf, 1.0, 2.0])
    found = differ("x", values, values, 0.0)
    assert found.passed
    assert found.reference_range == 1.0


@pytest.mark.parametrize(
    ("actual", "reference"),
    [([np.nan, 1], [0, 1]), ([0, 1], [np.nan, 1]), ([np.inf, 1], [-np.inf, 1]), ([np.inf, 1], [np.nan, 1])],
)
def test_nan_and_infinities_in_other_places_fail(actual, reference):
    found = differ("x", np.array(actual, dtype=float), np.array(reference, dtype=float), 1e9)
    assert not found.passed
    assert found.max_abs_error is None
    assert "NaN" in found.reason


def test_a_constant_reference_is_measured_by_its_value():
    reference = np.full(3, 10.0)
    assert differ("x", reference + 0.9, reference, 0.1).passed
    assert not differ("x", reference + 1.1, reference, 0.1).passed
    assert differ("x", reference, reference, 0.1).reference_range == 0.0


def test_a_reference_of_zeros_is_measured_absolutely():
    zeros = np.zeros(3)
    assert differ("x", zeros + 0.09, zeros, 0.1).passed
    found = differ("x", zeros + 0.11, zeros, 0.1)
    assert not found.passed
    assert found.rms_relative_error is None
    assert found.cosine_similarity == 0.0


def test_rounding_of_large_values_close_together_passes():
    # Two nearly equal probabilities: range 2e-6, and float32 cannot say 0.5 closer than 6e-8.
    reference = np.float32([0.500001, 0.499999])
    assert differ("x", reference + np.float32(1e-6), reference, 1e-4).passed
    assert not differ("x", reference + np.float32(2 * ROUNDING), reference, 1e-4).passed


def test_whole_numbers_and_truth_values_are_compared_as_numbers():
    assert differ("x", np.array([1, 2], dtype=np.int64), np.array([1, 2], dtype=np.int32), 0.0).passed
    assert not differ("x", np.array([1, 4], dtype=np.int64), np.array([1, 2], dtype=np.int32), 0.5).passed
    assert differ("x", np.array([0, 1], dtype=np.uint8), np.array([False, True]), 0.0).passed
    assert not differ("x", np.array([True, True]), np.array([False, True]), 0.5).passed


def test_unsigned_numbers_do_not_wrap():
    found = differ("x", np.array([0, 10], dtype=np.uint8), np.array([1, 10], dtype=np.uint8), 1.0)
    assert found.max_abs_error == 1.0


def test_complex_numbers_are_compared_by_their_parts():
    reference = np.array([1 + 2j, 3 - 1j], dtype=np.complex64)
    found = differ("x", reference + 0.25j, reference, 0.1)
    assert found.max_abs_error == 0.25
    assert found.reference_range == 4.0


def test_texts_must_be_equal():
    assert differ("x", np.array([b"cat"]), np.array([b"cat"]), 0.0).passed
    assert not differ("x", np.array([b"cat"]), np.array([b"dog"]), 0.0).passed
    assert not differ("x", np.array([1.0]), np.array([b"1"]), 0.0).passed


def test_an_empty_output_passes():
    assert differ("x", np.zeros((0, 4)), np.zeros((0, 4)), 0.0).passed
