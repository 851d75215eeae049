"""The freezer's two steps."""

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Tuple

from modelmill_worker import graph_def, signature, source_files
from modelmill_worker.dataflow import prune
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.options import option
from modelmill_worker.plugin_api import Step
from modelmill_worker.signature import Signature

from modelmill_freezer._endpoints import choose_endpoints, fix_input_shapes, refreshed_inputs
from modelmill_freezer._freezing import freeze_graph, has_variables
from modelmill_freezer._tidying import tidy

GRAPH_FILE = "graph.pb"


@dataclass(frozen=True)
class FreezeOptions:
    """What the frozen graph must compute, and from what."""

    outputs: Tuple[str, ...] = option((), "Nodes or tensors that the graph must compute; found where none are named.")
    inputs: Tuple[str, ...] = option((), "Placeholders to feed, in this order; found where none are named.")
    input_shapes: Dict[str, Tuple[int, ...]] = option(  # noqa: RUF009 - option() makes a default_factory of the dict
        {}, "Shapes for placeholders, by name; -1 leaves a dimension open."
    )
    inline_functions: bool = option(
        True, "Replace calls of functions by what they do, which most of what reads frozen graphs needs."
    )


def freeze(step: Step) -> Dict[str, Any]:
    """A checkpoint and its graph become a frozen graph; the variables' values are read straight from the checkpoint."""
    from modelmill_freezer._tensorflow import CheckpointValues, infer_outputs

    files = source_files.survey(step.inputs["model"])
    checkpoint = source_files.choose_checkpoint(files)
    graph_file = source_files.choose_graph(files, checkpoint)
    step.progress(0.0, "reading {}".format(graph_file.name))
    graph = graph_def.read(graph_file.path)
    endpoints = _prepare(graph, step.options)
    step.progress(0.3, "reading {}".format(checkpoint.name))
    frozen = freeze_graph(graph, CheckpointValues(checkpoint.prefix), _output_nodes(endpoints))
    notes = list(frozen.notes) + tidy(frozen.graph, _input_nodes(endpoints))
    step.progress(0.7, "inferring shapes")
    outputs, told = infer_outputs(frozen.graph, endpoints.outputs)
    notes += told
    _write(step, frozen.graph, replace(endpoints, outputs=outputs))
    facts = _facts(graph, frozen.graph, endpoints, notes)
    facts.update(graph=graph_file.name, variables=frozen.variables, parameters=frozen.parameters)
    return facts


def normalise(step: Step) -> Dict[str, Any]:
    """A GraphDef without variables, as a user has it, becomes a frozen graph: pruned, and with a signature."""
    files = source_files.survey(step.inputs["model"])
    graph_file = source_files.choose_graph(files, None)
    graph = graph_def.read(graph_file.path)
    endpoints = _prepare(graph, step.options)
    pruned = prune(graph, _output_nodes(endpoints))
    if has_variables(pruned):
        raise StepError(
            "CHECKPOINT_MISSING",
            "The graph {} has variables, and its values are not there. "
            "Give the checkpoint's prefix as the model and the graph with --graph.".format(graph_file.name),
            {"graph": graph_file.name},
        )
    if step.options.input_shapes:
        endpoints = replace(endpoints, outputs=tuple(replace(tensor, shape=None) for tensor in endpoints.outputs))
    notes = tidy(pruned, _input_nodes(endpoints))
    _write(step, pruned, endpoints)
    return dict(_facts(graph, pruned, endpoints, notes), graph=graph_file.name)


def _prepare(graph: GraphDef, options: FreezeOptions) -> Signature:
    """Choose inputs and outputs, and fix the shapes asked for."""
    endpoints = choose_endpoints(graph, options.outputs, options.inputs)
    fix_input_shapes(graph, options.input_shapes)
    return replace(endpoints, inputs=refreshed_inputs(graph, endpoints.inputs))


def _output_nodes(endpoints: Signature) -> List[str]:
    return [graph_def.node_name(tensor.tensor) for tensor in endpoints.outputs]


def _input_nodes(endpoints: Signature) -> List[str]:
    return [graph_def.node_name(tensor.tensor) for tensor in endpoints.inputs]


def _write(step: Step, graph: GraphDef, endpoints: Signature) -> None:
    graph_def.write(step.output / GRAPH_FILE, graph)
    signature.write(step.output, endpoints)


def _facts(before: GraphDef, after: GraphDef, endpoints: Signature, notes: List[str]) -> Dict[str, Any]:
    return {
        "inputs": _input_nodes(endpoints),
        "outputs": [tensor.name for tensor in endpoints.outputs],
        "nodes_before": len(before.node),
        "nodes": len(after.node),
        "notes": notes,
    }
