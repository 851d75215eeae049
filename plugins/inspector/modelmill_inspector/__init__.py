"""The inspector: says what a model is, read as data; nothing of the model is run and TensorFlow is not needed."""

import importlib
import json
from typing import Any, Dict, Iterator

from modelmill_worker.hookspecs import hookimpl
from modelmill_worker.plugin_api import Edge, Plugin, Role, Step

from modelmill_inspector import security
from modelmill_inspector._options import InspectOptions
from modelmill_inspector._picture import NotDrawableError, draw
from modelmill_inspector._recognition import recognise_source

__version__ = "0.1.0"

REPORT_FILE = "report.json"

#: Facts that every report has, with what they are where a format does not tell.
_UNTOLD: Dict[str, Any] = {
    "producer": 0,
    "min_consumer": 0,
    "inputs": [],
    "outputs": [],
    "operations": {},
    "training_only": {},
    "parameters": 0,
    "variables": 0,
    "nodes": 0,
}


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The inspector's description."""
    yield Plugin(
        name="inspector",
        version=__version__,
        summary="Says what a model is: kind, inputs, outputs, operations, size",
        edges=(
            Edge(
                name="inspect",
                role=Role.INSPECT,
                inputs=(("source", "*"),),
                output="report.inspection",
                run=inspect,
                options=InspectOptions,
            ),
        ),
        preload=_preload,
    )


def inspect(step: Step) -> Dict[str, Any]:
    """Recognise the source and write what is known of it as report.json; the facts are the same."""
    recognised = recognise_source(step.inputs["source"], step.options)
    facts = dict(_UNTOLD, **recognised.facts)
    facts["kind"] = recognised.kind
    facts["notes"] = list(recognised.notes)
    facts["security"] = security.scan_tree(
        step.inputs["source"],
        [tensor["tensor"] for tensor in facts["outputs"]],
        facts.get("custom_operators", ()),
        facts.get("flex_operators", ()),
    )
    if step.options.picture:
        try:
            picture = draw(step.inputs["source"], recognised.kind, step.options)
        except NotDrawableError as error:
            facts["notes"].append("The model could not be drawn ({}).".format(error))
        else:
            facts.update({"picture": picture} if picture else {})
    text = json.dumps(facts, indent=2, sort_keys=True)
    beside = step.output / (REPORT_FILE + ".part")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(step.output / REPORT_FILE)
    plain: Dict[str, Any] = json.loads(text)
    return plain


def _preload() -> None:
    """Import the messages that graphs are read with."""
    importlib.import_module("tensorboard.compat.proto.meta_graph_pb2")
