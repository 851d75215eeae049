"""The edge ``contrast``: how far the outputs of any number of models are from each other, pair by pair.

For one output, the difference of two models is the largest absolute one of two numbers in the same place. Of the range
means: relative to the largest value less the smallest, of both models' outputs together, so that 1 is as far apart
as the two can be. Of several outputs, that one is told in which the difference is largest for its range.
"""

import json
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Dict, List, Union

import numpy as np
from modelmill_worker import Step

from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset
from modelmill_verifier.differences import as_numbers

REPORT = "report.json"


@dataclass(frozen=True)
class Contrast:
    """How far two models are apart.

    max_abs_difference, of_range: of the output in which they are the farthest apart for its range.
    """

    output: str
    max_abs_difference: float
    of_range: float

    def facts(self) -> Dict[str, Any]:
        """As the report has it."""
        return {"max_abs_difference": self.max_abs_difference, "of_range": self.of_range, "output": self.output}


@dataclass(frozen=True)
class Incomparable:
    """Why there is no number for two models, as a sentence."""

    reason: str


def contrast(step: Step) -> Dict[str, Any]:
    """Compare each dataset of outputs with each other one, and write ``report.json``; the facts are the same."""
    report = contrast_datasets({label: datasets.read(tree.path) for label, tree in sorted(step.inputs.items())})
    text = json.dumps(report, indent=2, sort_keys=True, allow_nan=False)
    (step.output / REPORT).write_text(text + "\n", encoding="utf-8")
    return report


def contrast_datasets(given: Dict[str, Dataset]) -> Dict[str, Any]:
    """The report for datasets by label; the difference of two is told under both.

    differences: without those that were skipped, and without pairs that have no number, which `incomparable` has.
    """
    notes = [
        "{} is not compared with the others: {}".format(label, dataset.skipped)
        for label, dataset in sorted(given.items())
        if dataset.skipped is not None
    ]
    outputs = {label: _Outputs(dataset) for label, dataset in given.items() if dataset.skipped is None}
    differences: Dict[str, Dict[str, Any]] = {label: {} for label in outputs}
    incomparable: Dict[str, Dict[str, str]] = {}
    for one, other in combinations(sorted(outputs), 2):
        found = outputs[one].differ(outputs[other])
        for label, beside in ((one, other), (other, one)):
            if isinstance(found, Incomparable):
                incomparable.setdefault(label, {})[beside] = found.reason
            else:
                differences[label][beside] = found.facts()
        if isinstance(found, Incomparable):
            notes.append("{} and {} cannot be compared: {}".format(one, other, found.reason))
    return {"differences": differences, "incomparable": incomparable, "notes": notes}


class _Output:
    """One output as flat numbers, with what every comparison needs of it alone."""

    def __init__(self, values: np.ndarray) -> None:
        self.shape = values.shape
        self.is_text = values.dtype.kind in "SU"
        self.numbers = values if self.is_text else as_numbers(values)
        self.finite = None if self.is_text or np.isfinite(self.numbers).all() else np.isfinite(self.numbers)
        finite = self.numbers if self.finite is None else self.numbers[self.finite]
        self.limits = (0.0, 0.0) if self.is_text or not finite.size else (float(finite.min()), float(finite.max()))

    def difference(self, other: "_Output") -> Union[float, Incomparable]:
        """The largest absolute difference."""
        if self.shape != other.shape:
            return Incomparable("the shapes are {} and {}".format(list(self.shape), list(other.shape)))
        if self.is_text or other.is_text:
            same = self.is_text and other.is_text and bool(np.array_equal(self.numbers, other.numbers))
            return 0.0 if same else Incomparable("the texts differ")
        if self.finite is None and other.finite is None:
            return _largest(self.numbers, other.numbers)
        return self._difference_where_finite(other)

    def _difference_where_finite(self, other: "_Output") -> Union[float, Incomparable]:
        finite = np.isfinite(self.numbers)
        one, two = self.numbers[~finite], other.numbers[~finite]
        if not np.all((one == two) | (np.isnan(one) & np.isnan(two))) or not np.isfinite(other.numbers[finite]).all():
            return Incomparable("NaN or infinite values are not in the same places")
        return _largest(self.numbers[finite], other.numbers[finite])

    def range_with(self, other: "_Output") -> float:
        """The largest value of both less the smallest."""
        return max(self.limits[1], other.limits[1]) - min(self.limits[0], other.limits[0])


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.max(np.abs(one - other))) if one.size else 0.0


class _Outputs:
    """All outputs of one model."""

    def __init__(self, dataset: Dataset) -> None:
        self._names = tuple(tensor.name for tensor in dataset.signature.outputs)
        self._by_name = {name: _Output(values) for name, values in dataset.arrays.items()}

    def differ(self, other: "_Outputs") -> Union[Contrast, Incomparable]:
        """Where the two are the farthest apart, for the output's range; or the first output that has no number."""
        names = self._names + tuple(name for name in other._names if name not in self._names)
        found: List[Contrast] = []
        for name in names:
            made = self._differ_in(name, other)
            if isinstance(made, Incomparable):
                return Incomparable("in the output {}, {}".format(name, made.reason))
            found.append(made)
        return max(found, key=lambda contrast: contrast.of_range) if found else Incomparable("there are no outputs")

    def _differ_in(self, name: str, other: "_Outputs") -> Union[Contrast, Incomparable]:
        one, two = self._by_name.get(name), other._by_name.get(name)
        if one is None or two is None:
            return Incomparable("which only one of them has, there is nothing to compare")
        difference = one.difference(two)
        if isinstance(difference, Incomparable):
            return difference
        spread = one.range_with(two)
        if not np.isfinite(difference) or not np.isfinite(spread):
            return Incomparable("the difference is larger than a number can tell")
        return Contrast(name, difference, difference / spread if spread else 0.0)
