"""The rewriter's steps: a model's files in, a model's files or facts out."""

import functools
import json
from pathlib import Path
from typing import Any, Dict, Sequence

from modelmill_worker import arrays, graph_def, signature, weights_beside
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Step

from modelmill_rewriter._target import Target, parse_version
from modelmill_rewriter.calibrating import as_edit, measure_ranges
from modelmill_rewriter.interfaces import interface_of, signature_after
from modelmill_rewriter.proving import prove
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules_api import Pass
from modelmill_rewriter.sequences import passes_for
from modelmill_rewriter.third_parties import third_party_passes

#: The list in an artifact of kind "graph.edits"; the files that it names lie beside it.
EDITS_FILE = "edits.txt"


def rewrite(step: Step) -> Dict[str, Any]:
    """The edge `rewrite`."""
    return _rewrite(step, _chosen(step), _target(step))


def edit(step: Step) -> Dict[str, Any]:
    """The edge `edit`."""
    return _rewrite(step, _edits(step), Target())


def prove_rewrite(step: Step) -> Dict[str, Any]:
    """The edge `prove`."""
    return _prove(step, _chosen(step), _target(step))


def prove_edits(step: Step) -> Dict[str, Any]:
    """The edge `prove-edits`."""
    return _prove(step, _edits(step), Target())


def calibrate(step: Step) -> Dict[str, Any]:
    """The edge `measure-ranges`."""
    import tensorflow  # noqa: F401 - so that graphs are read as TensorFlow's own messages

    model = step.inputs["model"].path
    weights_beside.refuse(model, "ranges are measured", "Measure those of a part.")
    dataset = arrays.read(step.inputs["inputs"].path / "arrays.npz")
    graph = graph_def.read(model / weights_beside.GRAPH_FILE)
    ranges = measure_ranges(graph, signature.read(model), dataset, step.progress)
    examples = min((len(array) for array in dataset.values() if array.ndim), default=0)
    text = as_edit(ranges, examples) if any(low < high for low, high in ranges.values()) else "# No range is lacking.\n"
    (step.output / "ranges.txt").write_text(text, encoding="utf-8")
    return {"ranges": {name: list(span) for name, span in ranges.items()}, "examples": examples}


def _target(step: Step) -> Target:
    return Target(step.options.target, parse_version(step.options.tensorflow))


def _chosen(step: Step) -> Sequence[Pass]:
    options = step.options
    passes = passes_for(options.target, options.rewrite, options.no_rewrite, third_party_passes())
    for item in passes:
        if item.changes_interface:
            raise StepError(
                "RULE_IS_AN_EDIT",
                "The rule {0} may change the model's inputs and outputs, so that nothing could be compared with the "
                "source. Give it with --edit {0!r} instead of --rewrite.".format(item.name),
                {"rule": item.name},
            )
    return passes


def _edits(step: Step) -> Sequence[Pass]:
    folder = step.inputs["edits"].path
    path = folder / EDITS_FILE
    if not path.is_file():
        raise StepError(
            "EDITS_MISSING",
            "Edits are a file {} with a rule on each line; there is {}.".format(
                EDITS_FILE, ", ".join(step.inputs["edits"].files) or "none"
            ),
            {"files": list(step.inputs["edits"].files)},
        )
    return passes_for("", [read_edits(path)], [], third_party_passes(), folder, or_sequence=False)


def read_edits(path: Path) -> str:
    """The text of a list of edits. Raises StepError EDITS_UNREADABLE."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StepError(
            "EDITS_UNREADABLE",
            "{} is no UTF-8 text ({}). Give a text file with an edit on each line.".format(path.name, error),
            {"file": path.name},
        ) from error


def _rewrite(step: Step, passes: Sequence[Pass], target: Target) -> Dict[str, Any]:
    model = step.inputs["model"].path
    named = signature.read(model)
    graph = graph_def.read(model / weights_beside.GRAPH_FILE)
    rewritten = rewrite_graph(graph, interface_of(named), passes, target, step.progress)
    weights_beside.write(step.output, rewritten.graph, weights_beside.contents(model, rewritten.graph))
    fired = {report.rule for report in rewritten.reports if report.fired}
    cost = max((item.expected_error for item in passes if item.name in fired), default=0.0)
    signature.write(step.output, signature_after(named, rewritten.index).costing(cost))
    return {
        "rules": [report.to_json() for report in rewritten.reports],
        "notes": [report.note for report in rewritten.reports if report.note],
    }


def _prove(step: Step, passes: Sequence[Pass], target: Target) -> Dict[str, Any]:
    import tensorflow  # noqa: F401 - so that graphs are read as TensorFlow's own messages

    model = step.inputs["model"].path
    proof = prove(
        functools.partial(graph_def.read, model / weights_beside.GRAPH_FILE),
        signature.read(model),
        passes,
        target,
        arrays.read(step.inputs["inputs"].path / "arrays.npz"),
        functools.partial(weights_beside.contents, model),
        step.progress,
    )
    facts = {"proof": proof}
    (step.output / "report.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return facts
