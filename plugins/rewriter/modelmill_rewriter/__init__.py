"""modelmill plug-in: rules that rewrite a GraphDef and explain themselves, without TensorFlow."""

import importlib
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Tuple

from modelmill_worker import signature
from modelmill_worker.hookspecs import hookimpl
from modelmill_worker.options import option
from modelmill_worker.plugin_api import Edge, Plugin, Role, Step

__version__ = "0.1.0"


@dataclass(frozen=True)
class RewriteOptions:
    """Which rules run, and for whom."""

    target: str = option("", "The target that the graph is for, whose rules run; none means the rules for any target.")
    rewrite: Tuple[str, ...] = option((), "Run exactly these rules, in this order.")
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
            Edge(
                name="rewrite",
                role=Role.REWRITE,
                inputs=(("model", "tf.frozen_graph"),),
                output="tf.frozen_graph",
                run=run_rewrite,
                options=RewriteOptions,
            ),
            *(
                Edge(
                    name="preview-" + kind.split(".")[1].replace("_", "-"),
                    role=Role.INSPECT,
                    inputs=(("model", kind),),
                    output="report.rewrites",
                    run=run_preview,
                    options=PreviewOptions,
                )
                for kind in ("tf.frozen_graph", "tf.graph_def")
            ),
        ),
        preload=_preload,
    )


def _preload() -> None:
    """Import the messages that graphs are read with, and the rules."""
    importlib.import_module("tensorboard.compat.proto.graph_pb2")
    importlib.import_module("modelmill_rewriter.previewing")
    importlib.import_module("modelmill_rewriter.rewriting")
    importlib.import_module("modelmill_rewriter.sequences")


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
    """Rewrite ``graph.pb`` and pass the signature on as it is; the facts tell what every rule did.

    Raises StepError UNKNOWN_RULE and INVALID_OPTION, and what `rewriting.rewrite_graph` raises.
    """
    from modelmill_worker import graph_def, weights_beside

    from modelmill_rewriter._target import Target, parse_version
    from modelmill_rewriter.interfaces import interface_of, signature_after
    from modelmill_rewriter.rewriting import rewrite_graph
    from modelmill_rewriter.sequences import passes_for
    from modelmill_rewriter.third_parties import third_party_passes

    options = step.options
    passes = passes_for(options.target, options.rewrite, options.no_rewrite, third_party_passes())
    target = Target(options.target, parse_version(options.tensorflow))
    model = step.inputs["model"].path
    named = signature.read(model)
    graph = graph_def.read(model / weights_beside.GRAPH_FILE)
    rewritten = rewrite_graph(graph, interface_of(named), passes, target, step.progress)
    weights_beside.write(step.output, rewritten.graph, weights_beside.contents(model, rewritten.graph))
    signature.write(step.output, signature_after(named, rewritten.index))
    return {
        "rules": [report.to_json() for report in rewritten.reports],
        "notes": [report.note for report in rewritten.reports if report.note],
    }
