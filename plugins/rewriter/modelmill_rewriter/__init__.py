"""modelmill plug-in: rules that rewrite a GraphDef and explain themselves, without TensorFlow."""

import importlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Tuple

from modelmill_worker import installed_tensorflow
from modelmill_worker.hookspecs import hookimpl
from modelmill_worker.options import option
from modelmill_worker.plugin_api import Edge, NoOptions, Plugin, Preference, Role, Step, Target

__version__ = "0.1.0"

_MODEL_KIND = "tf.frozen_graph"
_MODEL = ("model", _MODEL_KIND)
_EDITS = ("edits", "graph.edits")
_INPUTS = ("inputs", "dataset")


@dataclass(frozen=True)
class RewriteOptions:
    """Which rules run, and for whom."""

    target: str = option("", "The target that the graph is for, whose rules run; none means the rules for any target.")
    rewrite: Tuple[str, ...] = option((), "Run exactly these rules, in this order; default stands for the target's.")
    no_rewrite: Tuple[str, ...] = option((), "Do not run these rules.")
    tensorflow: str = option("", "The TensorFlow version that will convert the graph; none means a current one.")


@dataclass(frozen=True)
class PreviewOptions:
    """What is previewed; the inspector's option of the same name."""

    outputs: Tuple[str, ...] = option((), "Nodes or tensors to take as outputs; found where none are named.")


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The rewriter: it rewrites, and says beforehand what it would rewrite."""
    yield Plugin(
        name="rewriter",
        version=__version__,
        summary="Rewrites a frozen graph into what a target computes best, and says what it left alone and why.",
        edges=(
            Edge("rewrite", Role.REWRITE, (_MODEL,), _MODEL_KIND, run_rewrite, RewriteOptions),
            Edge("edit", Role.EDIT, (_MODEL, _EDITS), _MODEL_KIND, run_edit),
            _running("prove", Role.PROVE, (_MODEL, _INPUTS), "report.proof", run_prove, RewriteOptions),
            _running("prove-edits", Role.PROVE, (_MODEL, _EDITS, _INPUTS), "report.proof", run_prove_edits),
            _running("measure-ranges", Role.CONVERT, (_MODEL, _INPUTS), "graph.ranges", run_measure_ranges),
            *(
                Edge(name, Role.INSPECT, (("model", kind),), "report.rewrites", run_preview, PreviewOptions)
                for name, kind in (("preview-frozen-graph", _MODEL_KIND), ("preview-graph-def", "tf.graph_def"))
            ),
        ),
        targets=(
            Target(
                name="ranges",
                kind="graph.ranges",
                summary="The ranges that a conversion to uint8 lacks, measured over a dataset: an edit that gives them",
                edge="measure-ranges",
            ),
        ),
        preload=_preload,
    )


def _running(
    name: str,
    role: Role,
    inputs: Tuple[Tuple[str, str], ...],
    output: str,
    run: Callable[[Step], Dict[str, Any]],
    options: type = NoOptions,
) -> Edge:
    """An edge that runs the model itself, in the TensorFlow that wrote it or the next one that there is."""
    return Edge(name, role, inputs, output, run, options, ("tensorflow>=1.5",), Preference.WRITER)


def _preload() -> None:
    """Import what graphs are read with, TensorFlow itself where proofs are run, and the rules."""
    messages = "tensorflow" if installed_tensorflow.is_installed() else "tensorboard.compat.proto.graph_pb2"
    importlib.import_module(messages)
    importlib.import_module("modelmill_rewriter.previewing")
    importlib.import_module("modelmill_rewriter.steps")


def run_preview(step: Step) -> Dict[str, Any]:
    """Say what each target's rules would change in a graph, and write it as report.json; the graph stays as it is.

    Raises what `previewing.preview` raises.
    """
    import json

    from modelmill_rewriter.previewing import preview

    facts = {"rewrites": preview(step.inputs["model"], step.options.outputs, step.progress)}
    (step.output / "report.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return facts


def run_rewrite(step: Step) -> Dict[str, Any]:
    """Rewrite ``graph.pb`` and pass the signature on; the facts tell what every rule did.

    Raises StepError UNKNOWN_RULE, INVALID_OPTION and RULE_IS_AN_EDIT, and what `rewriting.rewrite_graph` raises.
    """
    from modelmill_rewriter.steps import rewrite

    return rewrite(step)


def run_edit(step: Step) -> Dict[str, Any]:
    """As `run_rewrite`, with the rules that a user's list of edits names: any, with files that they read.

    Raises StepError EDITS_MISSING and what `run_rewrite` raises.
    """
    from modelmill_rewriter.steps import edit

    return edit(step)


def run_prove(step: Step) -> Dict[str, Any]:
    """Run a model before and after each rule; see `proving.prove` for the fact `proof` and what it raises."""
    from modelmill_rewriter.steps import prove_rewrite

    return prove_rewrite(step)


def run_prove_edits(step: Step) -> Dict[str, Any]:
    """As `run_prove`, of edits."""
    from modelmill_rewriter.steps import prove_edits

    return prove_edits(step)


def run_measure_ranges(step: Step) -> Dict[str, Any]:
    """Write the ranges that tensors lack, over a dataset, as an edit; see `calibrating.measure_ranges`."""
    from modelmill_rewriter.steps import calibrate

    return calibrate(step)
