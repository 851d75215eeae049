"""How far apart two arrays are: the numbers of a verification, in numpy alone."""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import numpy as np

#: float32 keeps 24 bits: a sum of values of one size is off by units of 2**-23 of that size, however
#: close together the values are. An error of so many units is never held against a conversion; it matters only
#: for outputs whose range is far smaller than their values, such as two nearly equal probabilities.
ROUNDING = 64 * 2.0**-23


@dataclass(frozen=True)
class Difference:
    """One output against its reference.

    max_abs_error: None where there is none to tell (shapes differ, NaN or infinite on one side only, strings).
    reference_range: the largest finite value of the reference less its smallest.
    rms_relative_error: root mean square of the error over that of the reference; None where only the latter is 0.
    reason: why it did not pass, where the numbers alone do not say it.
    """

    output: str
    shape: Tuple[int, ...]
    max_abs_error: Optional[float]
    reference_range: Optional[float]
    rms_relative_error: Optional[float]
    cosine_similarity: Optional[float]
    passed: bool
    reason: Optional[str] = None

    def facts(self) -> Dict[str, Any]:
        """As the report has it; JSON values only."""
        facts = {
            "output": self.output,
            "shape": list(self.shape),
            "max_abs_error": self.max_abs_error,
            "reference_range": self.reference_range,
            "rms_relative_error": self.rms_relative_error,
            "cosine_similarity": self.cosine_similarity,
            "passed": self.passed,
        }
        if self.reason is not None:
            facts["reason"] = self.reason
        return facts


def differ(output: str, actual: Optional[np.ndarray], reference: np.ndarray, tolerance: float) -> Difference:
    """Compare an output with its reference.

    tolerance: the largest error allowed, relative to the reference's range; for a constant reference, relative to
        its absolute value, or absolute where that is 0. Whole numbers and truth values are compared as numbers.
    """
    if actual is None:
        return _failed(output, reference.shape, "the converted model has no such output")
    if actual.shape != reference.shape:
        return _failed(
            output,
            actual.shape,
            "the shape is {}, that of the reference {}".format(list(actual.shape), list(reference.shape)),
        )
    if "S" in (actual.dtype.kind, reference.dtype.kind):
        return _differ_as_text(output, actual, reference)
    return _differas_numbers(output, as_numbers(actual), as_numbers(reference), actual.shape, tolerance)


def _failed(output: str, shape: Tuple[int, ...], reason: str) -> Difference:
    return Difference(output, shape, None, None, None, None, False, reason)


def _differ_as_text(output: str, actual: np.ndarray, reference: np.ndarray) -> Difference:
    same = actual.dtype.kind == reference.dtype.kind and bool(np.array_equal(actual, reference))
    return Difference(output, actual.shape, None, None, None, None, same, None if same else "the texts differ")


def as_numbers(values: np.ndarray) -> np.ndarray:
    """A flat array of float64; a complex number gives its two parts."""
    if values.dtype.kind == "c":
        return np.ascontiguousarray(values, dtype=np.complex128).reshape(-1).view(np.float64)
    return values.astype(np.float64).reshape(-1)


def _differas_numbers(
    output: str, actual: np.ndarray, reference: np.ndarray, shape: Tuple[int, ...], tolerance: float
) -> Difference:
    finite = np.isfinite(reference)
    if not _equal_beyond_numbers(actual[~finite], reference[~finite]) or not np.isfinite(actual[finite]).all():
        spread = _told(_range(reference[finite]))
        reason = "NaN or infinite values are not in the same places as in the reference"
        return Difference(output, shape, None, spread, None, None, False, reason)
    actual, reference = actual[finite], reference[finite]
    error = _largest(actual - reference)
    return Difference(
        output=output,
        shape=shape,
        max_abs_error=_told(error),
        reference_range=_told(_range(reference)),
        rms_relative_error=_rms_relative_error(actual, reference),
        cosine_similarity=_cosine_similarity(actual, reference),
        passed=error <= allowed_error(reference, tolerance),
    )


def _equal_beyond_numbers(actual: np.ndarray, reference: np.ndarray) -> bool:
    """Whether arrays of NaN and infinities are the same, NaN equal to NaN."""
    return bool(np.all((actual == reference) | (np.isnan(actual) & np.isnan(reference))))


def allowed_error(reference: np.ndarray, tolerance: float) -> float:
    """The largest absolute error that passes, for a flat reference of finite values."""
    largest = _largest(reference)
    spread = _range(reference) or largest or 1.0
    return max(tolerance * spread, ROUNDING * largest)


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values))) if values.size else 0.0


def _told(number: float) -> Optional[float]:
    """A number as JSON can hold it: differences of float64's largest values overflow."""
    return number if np.isfinite(number) else None


def _range(values: np.ndarray) -> float:
    return float(np.max(values) - np.min(values)) if values.size else 0.0


def _rms_relative_error(actual: np.ndarray, reference: np.ndarray) -> Optional[float]:
    largest = _largest(reference)
    if largest == 0.0:
        return 0.0 if _largest(actual) == 0.0 else None
    # Scaled first, so that no square overflows where the values do not.
    error = np.linalg.norm(actual / largest - reference / largest)
    return _told(float(error / np.linalg.norm(reference / largest)))


def _cosine_similarity(actual: np.ndarray, reference: np.ndarray) -> float:
    """1 for the same direction; a vector of zeros is like another one (1) and unlike any other (0)."""
    sizes = _largest(actual), _largest(reference)
    if 0.0 in sizes:
        return 1.0 if sizes[0] == sizes[1] else 0.0
    one, other = actual / sizes[0], reference / sizes[1]
    return float(np.clip(np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)), -1.0, 1.0))
