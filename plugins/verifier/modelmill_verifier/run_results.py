"""What every RUN edge does around the run itself: reads the inputs, passes on what was skipped, writes the outputs."""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional

import numpy as np
from modelmill_worker import Step, StepError
from modelmill_worker.errors import TOOL
from modelmill_worker.signature import Signature

from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset

Arrays = Dict[str, np.ndarray]

_LONGEST_LINE = 200


@dataclass(frozen=True)
class RunResult:
    """What a run gave: outputs by name, or why it was not made.

    facts: what to tell about the run, such as the version of what ran it.
    """

    outputs: Arrays = field(default_factory=dict)
    skipped: Optional[str] = None
    facts: Dict[str, Any] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)


def run_on_inputs(
    step: Step, signature: Optional[Signature], run: Callable[[Signature, Arrays], RunResult]
) -> Dict[str, Any]:
    """Run a model on the inputs of a step, and write its outputs as a dataset with the model's signature.

    signature: the model's own; None for a source as users have it, which the inputs' signature describes.
    """
    inputs = datasets.read(step.inputs["inputs"].path)
    signature = inputs.signature if signature is None else signature
    if inputs.skipped is not None:
        result = RunResult(skipped=inputs.skipped)
    else:
        result = run(signature, _of_signature(inputs.arrays, signature))
    datasets.write(step.output, Dataset(signature, result.outputs, result.skipped))
    return _facts(result)


def run_failed(what: str, error: BaseException) -> StepError:
    """A model that `what` could not run on these inputs."""
    line = first_line(error)
    return StepError(
        "MODEL_RUN_FAILED",
        "{} could not run the model: {}. If it needs other inputs, give input shapes or a dataset.".format(
            what, line.rstrip(".")
        ),
        {"line": line, "exception": type(error).__name__},
        TOOL,
        str(error),
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's text, cut where it becomes a definition that nobody reads; the log has it all."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " [...]"


def _of_signature(arrays: Arrays, signature: Signature) -> Arrays:
    missing = [tensor.name for tensor in signature.inputs if tensor.name not in arrays]
    if missing:
        raise StepError(
            "INPUT_MISMATCH",
            "The dataset was made for another model: it has no array for {}.".format(", ".join(missing)),
            {"missing": missing, "arrays": sorted(arrays)},
        )
    return {tensor.name: arrays[tensor.name] for tensor in signature.inputs}


def _facts(result: RunResult) -> Dict[str, Any]:
    facts = dict(result.facts)
    facts["outputs"] = [
        {"name": name, "dtype": values.dtype.name, "shape": list(values.shape)}
        for name, values in sorted(result.outputs.items())
    ]
    if result.skipped is not None:
        facts["skipped"] = result.skipped
    if result.notes:
        facts["notes"] = list(result.notes)
    return facts
