"""The edge ``compare``: two datasets of outputs become a report."""

import json
from dataclasses import dataclass
from typing import Any, Dict, Optional

from modelmill_worker import Step, StepError, option

from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset
from modelmill_verifier.differences import differ

REPORT = "report.json"


@dataclass(frozen=True)
class Comparison:
    """Options of the edge ``compare``."""

    tolerance: Optional[float] = option(
        None, "Largest error relative to a reference output's range; unset: what the conversion may cost by nature."
    )


def compare(step: Step) -> Dict[str, Any]:
    """Compare the outputs of a converted model with the reference's, output by output, and write ``report.json``."""
    outputs = datasets.read(step.inputs["outputs"].path)
    reference = datasets.read(step.inputs["reference"].path)
    report = compare_datasets(outputs, reference, step.options.tolerance)
    text = json.dumps(report, indent=2, sort_keys=True, allow_nan=False)
    (step.output / REPORT).write_text(text + "\n", encoding="utf-8")
    return report


def compare_datasets(outputs: Dataset, reference: Dataset, tolerance: Optional[float]) -> Dict[str, Any]:
    """The report; with `skipped`, and `passed` None, where one side could not be run.

    Raises StepError INVALID_OPTION for a tolerance below 0.
    """
    if tolerance is None:
        tolerance = max(outputs.signature.expected_error, reference.signature.expected_error)
    if not 0.0 <= tolerance < float("inf"):
        raise StepError(
            "INVALID_OPTION",
            "The option tolerance cannot be {}: give a number from 0 on, such as 0.001.".format(tolerance),
            {"option": "tolerance", "value": repr(tolerance)},
        )
    skipped = outputs.skipped or reference.skipped
    if skipped is not None:
        return {"passed": None, "tolerance": tolerance, "outputs": [], "skipped": skipped}
    differences = [
        differ(tensor.name, outputs.arrays.get(tensor.name), reference.arrays[tensor.name], tolerance)
        for tensor in reference.signature.outputs
    ]
    return {
        "passed": all(difference.passed for difference in differences),
        "tolerance": tolerance,
        "outputs": [difference.facts() for difference in differences],
    }
