"""Freezes a graph with functions, variables and tables between the ends that a signature names.

SavedModels and Keras models come here, each with its own way to its graph, its signature and its variables' values.
"""

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from modelmill_worker import graph_def, signature, tensors, weights_beside
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.graph_outputs import FED
from modelmill_worker.plugin_api import Step
from modelmill_worker.signature import Signature, Tensor

from modelmill_freezer._endpoints import fix_input_shapes, refreshed_inputs
from modelmill_freezer._freezing import freeze_graph
from modelmill_freezer._functions import Library
from modelmill_freezer._inlining import Inlined, inline_calls, inline_in_functions, merged, side_effects
from modelmill_freezer._shadow_variables import refuse_shadows
from modelmill_freezer._tables import Vocabularies, keep_tables
from modelmill_freezer._tidying import tidy
from modelmill_freezer._variable_handles import refuse_reads_after_updates


@dataclass(frozen=True)
class Source:
    """A model whose ends are known.

    graph: may be changed. Its resource variables have the keys of their values as their names or shared names.
    initialisers: nodes that prepare the model once, tables among it, when they run.
    values: of the variables, by their keys.
    """

    graph: GraphDef
    ends: Signature
    initialisers: Tuple[str, ...]
    values: Mapping[str, np.ndarray]
    vocabularies: Vocabularies


def freeze_source(step: Step, source: Source) -> Dict[str, Any]:
    """Write the frozen graph into the step's output; the facts of the step."""
    from modelmill_freezer._tensorflow import infer_outputs, library_of

    options = step.options
    refuse_shadows(options.use_moving_averages)
    nodes_before = len(source.graph.node) + sum(len(it.node_def) for it in source.graph.library.function)
    inlined, ends = _without_calls(source, source.ends, library_of(source.graph), options.inline_functions)
    changes = inlined.changes(Dataflow(source.graph).ancestors(_nodes(source.ends.outputs)))
    changes += side_effects(inlined.graph, _nodes(ends.outputs))
    if options.inline_functions:
        changes += inline_in_functions(inlined.graph, _nodes(ends.outputs), library_of(inlined.graph))
    step.progress(0.3, "reading the values")
    refuse_reads_after_updates(inlined.graph, sorted(Dataflow(inlined.graph).ancestors(_nodes(ends.outputs))))
    initialisers = keep_tables(inlined.graph, _nodes(ends.outputs), source.vocabularies, source.values)
    ends = _shaped(inlined.graph, ends, options.input_shapes)
    kept = _nodes(ends.outputs) + _nodes(ends.inputs) + list(initialisers)
    frozen = freeze_graph(
        inlined.graph, source.values, kept, only=options.only_variables, without=options.without_variables
    )
    notes = list(frozen.notes) + tidy(frozen.graph, _nodes(ends.inputs))
    step.progress(0.7, "inferring shapes")
    outputs, told = infer_outputs(frozen.graph, ends.outputs)
    notes += told
    weights_beside.write(step.output, frozen.graph, frozen.contents)
    signature.write(step.output, replace(ends, outputs=outputs, initializers=initialisers, variables=frozen.kept))
    facts = {
        "inputs": [tensor.name for tensor in ends.inputs],
        "outputs": [tensor.name for tensor in outputs],
        "nodes_before": nodes_before,
        "nodes": len(frozen.graph.node),
        "functions": len(frozen.graph.library.function),
        "variables": frozen.variables,
        "parameters": frozen.parameters,
        "initializers": list(initialisers),
        "changes": [change.fact() for change in merged(changes)],
        "notes": notes,
    }
    if frozen.kept:
        facts["kept_variables"] = list(frozen.kept)
    return facts


def wanted_ends(ends: Signature, outputs: Sequence[str], inputs: Sequence[str]) -> Signature:
    """The outputs and inputs that are asked for, by their names in the signature or their tensors; all where none are.

    Raises StepError OUTPUT_NOT_FOUND, INPUT_NOT_FOUND or INPUTS_MISSING.
    """
    fed = _chosen(ends.inputs, inputs, "INPUT_NOT_FOUND", "input")
    missing = [tensor.name for tensor in ends.inputs if tensor not in fed]
    if missing:
        raise StepError(
            "INPUTS_MISSING",
            "The signature has further inputs: {}. Name them too, or none.".format(", ".join(missing)),
            {"missing": missing},
        )
    return replace(ends, inputs=fed, outputs=_chosen(ends.outputs, outputs, "OUTPUT_NOT_FOUND", "output"))


def _chosen(known: Tuple[Tensor, ...], names: Sequence[str], reason: str, what: str) -> Tuple[Tensor, ...]:
    if not names:
        return known
    chosen = []
    for name in names:
        found = [tensor for tensor in known if name in (tensor.name, tensor.tensor, graph_def.node_name(tensor.tensor))]
        if not found:
            raise StepError(
                reason,
                "The signature has no {} {}. It has: {}.".format(what, name, ", ".join(it.name for it in known)),
                {"name": name, "candidates": [it.name for it in known]},
            )
        chosen.append(found[0])
    return tuple(chosen)


def _without_calls(source: Source, ends: Signature, library: Library, inline: bool) -> Tuple[Inlined, Signature]:
    """The part of the graph that matters, without calls, and its ends where they are then.

    Calls that initialise are inlined in any case: what fills a table must be known.
    """
    keep = [] if inline else sorted(Dataflow(source.graph).ancestors(_nodes(ends.outputs)))
    roots = _nodes(ends.outputs) + _nodes(ends.inputs) + list(source.initialisers)
    inlined = inline_calls(source.graph, roots, library, keep)
    inputs = tuple(replace(tensor, tensor=inlined.tensor(tensor.tensor)) for tensor in ends.inputs)
    outputs = tuple(replace(tensor, tensor=inlined.tensor(tensor.tensor)) for tensor in ends.outputs)
    return inlined, replace(ends, inputs=inputs, outputs=_apart(inlined.graph, inputs, outputs))


def _apart(graph: GraphDef, inputs: Tuple[Tensor, ...], outputs: Tuple[Tensor, ...]) -> Tuple[Tensor, ...]:
    """The outputs, each a tensor of its own and none an input: what several names share gets Identity nodes."""
    taken = {node.name for node in graph.node}
    used = {tensor.tensor for tensor in inputs}
    apart: List[Tensor] = []
    for tensor in outputs:
        if tensor.tensor in used:
            name = "output/" + "".join(letter if letter.isalnum() else "_" for letter in tensor.name)
            while name in taken:
                name += "_"
            taken.add(name)
            node = graph.node.add(name=name, op="Identity", input=[tensor.tensor])
            node.attr["T"].type = tensors.data_type_named(tensor.dtype).number
        else:
            name = tensor.tensor
        used.add(tensor.tensor)
        apart.append(replace(tensor, tensor=graph_def.tensor_name(name)))
    return tuple(apart)


def _shaped(graph: GraphDef, ends: Signature, shapes: Mapping[str, Tuple[int, ...]]) -> Signature:
    """The ends with placeholders as inputs, in the shapes asked for."""
    nodes = graph_def.nodes_by_name(graph)
    for tensor in ends.inputs:
        node = nodes[graph_def.node_name(tensor.tensor)]
        if node.op not in FED:
            _become_placeholder(graph, node.name, tensor)
    names = {tensor.name: graph_def.node_name(tensor.tensor) for tensor in ends.inputs}
    fix_input_shapes(graph, {names.get(name, name): shape for name, shape in shapes.items()})
    inputs = refreshed_inputs(graph, ends.inputs)
    outputs = ends.outputs
    if shapes:
        outputs = tuple(replace(tensor, shape=None) for tensor in outputs)
    return replace(ends, inputs=inputs, outputs=outputs)


def _become_placeholder(graph: GraphDef, name: str, tensor: Tensor) -> None:
    """Cut the graph at an input that is computed in it, such as a decoded image. Raises StepError INPUT_NOT_FOUND."""
    used = {graph_def.tensor_name(it) for node in graph.node for it in graph_def.data_inputs(node)}
    others = [it for it in used if graph_def.node_name(it) == name and it != tensor.tensor]
    if others or graph_def.output_index(tensor.tensor):
        raise StepError(
            "INPUT_NOT_FOUND",
            "The input {} is one of several outputs of {}, where the graph cannot be cut.".format(tensor.name, name),
            {"name": tensor.name, "tensor": tensor.tensor},
        )
    placeholder = graph_def.new_node(name, "Placeholder")
    placeholder.attr["dtype"].type = tensors.data_type_named(tensor.dtype).number
    tensors.encode_shape(tensor.shape, placeholder.attr["shape"].shape)
    graph_def.nodes_by_name(graph)[name].ParseFromString(placeholder.SerializeToString())


def _nodes(ends: Sequence[Tensor]) -> List[str]:
    return [graph_def.node_name(tensor.tensor) for tensor in ends]
