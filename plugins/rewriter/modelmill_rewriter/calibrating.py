"""Calibration: the smallest and the largest values of tensors that lack a range, over a dataset.

What is written is an edit that gives them to `repair_min_max`.
"""

from typing import Callable, Dict, Iterator, List, Mapping, Tuple

import numpy as np
from modelmill_worker import graph_def, installed_tensorflow
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.signature import Signature

from modelmill_rewriter.interfaces import interface_of
from modelmill_rewriter.rules.quantization.repair_min_max import tensors_without_range
from modelmill_rewriter.rules_api import GraphIndex, Tensor

Arrays = Mapping[str, np.ndarray]
Progress = Callable[[float, str], None]
#: By a tensor's name.
Ranges = Dict[str, Tuple[float, float]]
#: Rows that are run at once, where the model takes any number.
_BATCH = 32


def measure_ranges(
    graph: GraphDef, named: Signature, dataset: Arrays, progress: Progress
) -> Dict[str, Tuple[float, float]]:
    """The range of each tensor that lacks one, by its name; 0 is always in it.

    dataset: an array for each input, by its name or its tensor's, whose rows are examples: [n, ...].

    Raises StepError CALIBRATION_INPUT_MISSING, CALIBRATION_FAILED, or CALIBRATION_NOT_FINITE.
    """
    index = GraphIndex(graph, interface_of(named))
    wanted = tensors_without_range(index)
    ranges = {str(tensor): (0.0, 0.0) for tensor in wanted}
    batches = list(_batches(named, dataset))
    if not wanted or not batches:
        return ranges
    graph = index.to_graph_def()
    for number, values in enumerate(_run(graph, wanted, batches, named.initializers)):
        progress(number / len(batches), "batch {} of {}".format(number + 1, len(batches)))
        for name, value in zip(ranges, values):
            if not np.all(np.isfinite(value)):
                raise StepError(
                    "CALIBRATION_NOT_FINITE",
                    "{} is not finite for batch {} of the dataset. Leave out the examples that the model cannot "
                    "take.".format(name, number + 1),
                    {"tensor": name, "batch": number + 1},
                )
            low, high = ranges[name]
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max()))) if value.size else (low, high)
    return ranges


def as_edit(ranges: Ranges, examples: int) -> str:
    """The text of an edit with these ranges; a tensor that was always 0 gets none."""
    told = ['range="{}:{!r}:{!r}"'.format(name, low, high) for name, (low, high) in ranges.items() if low < high]
    lines = ["# The smallest and the largest values over {:,} examples; give this file with --edits.".format(examples)]
    return "\n".join([*lines, "repair_min_max({})".format(",\n    ".join(told))]) + "\n"


def _batches(named: Signature, dataset: Arrays) -> Iterator[Dict[str, np.ndarray]]:
    """What to feed, by tensors: as many rows at once as the model takes; a rest that is too few is left out."""
    feeds: Dict[str, np.ndarray] = {}
    sizes: List[int] = []
    for entry in named.inputs:
        array = next((dataset[name] for name in (entry.name, entry.tensor) if name in dataset), None)
        if array is None or not array.ndim:
            raise StepError(
                "CALIBRATION_INPUT_MISSING",
                "The dataset has no array {!r} with a row for each example; it has {}.".format(
                    entry.name, ", ".join(sorted(dataset)) or "none"
                ),
                {"input": entry.name, "arrays": sorted(dataset)},
            )
        feeds[entry.tensor] = array
        sizes.append(entry.shape[0] if entry.shape and entry.shape[0] > 0 else _BATCH)
    step, rows = min(sizes, default=_BATCH), min((len(array) for array in feeds.values()), default=0)
    fixed = any(entry.shape and entry.shape[0] > 0 for entry in named.inputs)
    for start in range(0, rows, step):
        if start + step <= rows or not fixed:
            yield {tensor: array[start : start + step] for tensor, array in feeds.items()}


def _run(
    graph: GraphDef, wanted: Tuple[Tensor, ...], batches: List[Dict[str, np.ndarray]], initializers: Tuple[str, ...]
) -> Iterator[List[np.ndarray]]:
    import tensorflow as tf

    v1 = installed_tensorflow.v1()
    opened = tf.Graph()
    fetches = ["{}:{}".format(*tensor) for tensor in wanted]
    try:
        with opened.as_default():
            v1.import_graph_def(graph_def.copy(graph), name="")
        with v1.Session(graph=opened) as session:
            for name in initializers:
                session.run(opened.get_operation_by_name(name))
            for feeds in batches:
                yield session.run(fetches, feeds)
    except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
        line = (str(error).strip().splitlines() or [repr(error)])[0].rstrip(".")
        raise StepError(
            "CALIBRATION_FAILED",
            "The model cannot be run on the dataset: {}. Give an array [examples, ...] for each input.".format(line),
            {"error": line},
        ) from error
