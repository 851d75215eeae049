"""The freezer's steps."""

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from modelmill_worker import graph_def, meta_graph_signature, signature, source_files, weights_beside
from modelmill_worker.dataflow import Dataflow, prune_in_place
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.graph_stream import Content
from modelmill_worker.options import option
from modelmill_worker.plugin_api import Step
from modelmill_worker.signature import Signature
from modelmill_worker.source_files import SourceFile

from modelmill_freezer._endpoints import fix_input_shapes, refreshed_inputs
from modelmill_freezer._freezing import freeze_graph, variables_of
from modelmill_freezer._inlining import inline_calls, inline_in_functions, keep_name, merged, side_effects
from modelmill_freezer._kept_variables import kept_variables, note_kept
from modelmill_freezer._output_ranges import WITH_CHECKPOINT, WITHOUT_CHECKPOINT, fake_quant_behind
from modelmill_freezer._shadow_variables import refuse_shadows
from modelmill_freezer._tables import VocabulariesAmong, keep_tables
from modelmill_freezer._tidying import tidy
from modelmill_freezer.inference.changes import Change
from modelmill_freezer.inference.inference_graph import InferenceGraph, make_inference_graph

#: Of a graph that was not frozen here.
_UNNAMED = Signature((), ())


@dataclass(frozen=True)
class FreezeOptions:
    """What the frozen graph must compute, and from what."""

    outputs: Tuple[str, ...] = option((), "Nodes or tensors that the graph must compute; found where none are named.")
    inputs: Tuple[str, ...] = option(
        (),
        "What to feed, in this order: placeholders, or any tensors to cut the graph at, as NAME, NAME=1,224,224,3 or "
        "NAME=1,224,224,3:float32; found where none are named.",
    )
    input_shapes: Dict[str, Tuple[int, ...]] = option(  # noqa: RUF009 - option() makes a default_factory of the dict
        {}, "Shapes for placeholders, by name; -1 leaves a dimension open."
    )
    settings: Dict[str, str] = option(  # noqa: RUF009
        {}, "Placeholders that become constants, with values as JSON: is_training=false, keep_prob=1."
    )
    use_moving_averages: bool = option(
        False, "Give variables the values of their moving averages (tf.train.ExponentialMovingAverage)."
    )
    only_variables: Tuple[str, ...] = option(
        (), "The variables that become constants, as names or patterns such as conv*/weights; all where none are named."
    )
    without_variables: Tuple[str, ...] = option(
        (), "Variables that stay variables, as names or patterns such as *_statistics."
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
    nodes_before = len(graph.node)
    inferring = _prepare(graph, step.options, graph_file)
    endpoints = inferring.endpoints
    step.progress(0.3, "reading {}".format(checkpoint.name))
    values = CheckpointValues(checkpoint.prefix)
    initializers = keep_tables(graph, _output_nodes(endpoints), VocabulariesAmong(files).content, values)
    graph, calls = _without_calls(graph, _output_nodes(endpoints) + list(initializers), step.options)
    endpoints = replace(endpoints, initializers=initializers)
    kept = _output_nodes(endpoints) + list(initializers)
    kept += fake_quant_behind(graph, _output_nodes(endpoints), WITH_CHECKPOINT)
    frozen = freeze_graph(
        graph,
        values,
        kept,
        step.options.use_moving_averages,
        step.options.only_variables,
        step.options.without_variables,
    )
    reference = replace(endpoints.reference, averages=frozen.shadows)
    endpoints = replace(endpoints, reference=reference, variables=frozen.kept)
    notes = list(inferring.notes + frozen.notes) + tidy(frozen.graph, _input_nodes(endpoints))
    step.progress(0.7, "inferring shapes")
    outputs, told = infer_outputs(frozen.graph, endpoints.outputs)
    notes += told
    _write(step, frozen.graph, replace(endpoints, outputs=outputs), frozen.contents)
    inferring = replace(inferring, changes=inferring.changes + calls)
    facts = _facts(nodes_before, frozen.graph, inferring, notes)
    facts.update(graph=graph_file.name, variables=frozen.variables, parameters=frozen.parameters)
    if frozen.kept:
        facts.update(kept_variables=list(frozen.kept))
    if step.options.use_moving_averages:
        facts.update(moving_averages=sorted(frozen.shadows), without_moving_average=list(frozen.without_shadow))
    return facts


def normalise(step: Step) -> Dict[str, Any]:
    """A GraphDef without variables, as a user has it, becomes a frozen graph: pruned, and with a signature."""
    return _normalise(step, step.options)


def select(step: Step) -> Dict[str, Any]:
    """A graph that was frozen here keeps its inputs and outputs, and computes what is asked for where it is asked."""
    named = signature.read(step.inputs["model"].path)
    options = step.options
    if options == FreezeOptions():
        graph = graph_def.read(step.inputs["model"].path / weights_beside.GRAPH_FILE)
        _write(step, graph, named, weights_beside.contents(step.inputs["model"].path, graph))
        return _facts(len(graph.node), graph, InferenceGraph(named, (), ()), [])
    return _normalise(step, _by_tensors(options, named), named)


def _by_tensors(options: FreezeOptions, named: Signature) -> FreezeOptions:
    """The options with tensors for the names that a signature has, and what it names where nothing is asked for."""
    tensors = {tensor.name: tensor.tensor for tensor in named.inputs + named.outputs}

    def translated(text: str) -> str:
        name, equals, rest = text.partition("=")
        return tensors.get(name, name) + equals + rest

    return replace(
        options,
        outputs=tuple(map(translated, options.outputs)) or tuple(tensor.tensor for tensor in named.outputs),
        inputs=tuple(map(translated, options.inputs)),
        input_shapes={tensors.get(name, name): shape for name, shape in options.input_shapes.items()},
        settings={tensors.get(name, name): value for name, value in options.settings.items()},
    )


def _with_names(endpoints: Signature, named: Signature) -> Signature:
    """Endpoints under the names that a signature has for their tensors."""
    names = {tensor.tensor: tensor.name for tensor in named.inputs + named.outputs}
    return replace(
        endpoints,
        inputs=tuple(replace(tensor, name=names.get(tensor.tensor, tensor.name)) for tensor in endpoints.inputs),
        outputs=tuple(replace(tensor, name=names.get(tensor.tensor, tensor.name)) for tensor in endpoints.outputs),
    )


def _normalise(step: Step, options: FreezeOptions, named: Signature = _UNNAMED) -> Dict[str, Any]:
    """named: the signature that the graph was frozen with; variables that stayed then may stay now."""
    refuse_shadows(options.use_moving_averages)
    files = source_files.survey(step.inputs["model"])
    graph_file = source_files.choose_graph(files, None)
    graph = graph_def.read(graph_file.path)
    nodes_before = len(graph.node)
    inferring = _prepare(graph, options, graph_file)
    inferring = replace(inferring, endpoints=_with_names(inferring.endpoints, named))
    endpoints = inferring.endpoints
    initializers = keep_tables(graph, _output_nodes(endpoints), VocabulariesAmong(files).content, {})
    endpoints = replace(endpoints, initializers=initializers)
    kept = kept_variables(variables_of(graph), options.only_variables, options.without_variables) | set(named.variables)
    ranges = fake_quant_behind(graph, _output_nodes(endpoints), WITHOUT_CHECKPOINT)
    prune_in_place(graph, _output_nodes(endpoints) + list(initializers) + ranges)
    still = variables_of(graph)
    if not kept.issuperset(still):
        raise StepError(
            "CHECKPOINT_MISSING",
            "The graph {} has variables, and its values are not there. "
            "Give the checkpoint's prefix as the model and the graph with --graph.".format(graph_file.name),
            {"graph": graph_file.name},
        )
    endpoints = replace(endpoints, variables=tuple(still))
    if options.input_shapes:
        endpoints = replace(endpoints, outputs=tuple(replace(tensor, shape=None) for tensor in endpoints.outputs))
    notes = list(inferring.notes + note_kept(still)) + tidy(graph, _input_nodes(endpoints))
    _write(step, graph, endpoints, weights_beside.contents(graph_file.path.parent, graph))
    facts = dict(_facts(nodes_before, graph, inferring, notes), graph=graph_file.name)
    if still:
        facts.update(kept_variables=still)
    return facts


def _prepare(graph: GraphDef, options: FreezeOptions, file: SourceFile) -> InferenceGraph:
    """Make it an inference graph, choose inputs and outputs, and fix the shapes asked for; in place."""
    outputs = options.outputs or meta_graph_signature.read_outputs(file.path)
    inferring = make_inference_graph(graph, outputs, options.inputs, options.settings, fed=tuple(options.input_shapes))
    fix_input_shapes(graph, options.input_shapes)
    endpoints = inferring.endpoints
    return replace(inferring, endpoints=replace(endpoints, inputs=refreshed_inputs(graph, endpoints.inputs)))


def _without_calls(
    graph: GraphDef, needed: Sequence[str], options: FreezeOptions
) -> Tuple[GraphDef, Tuple[Change, ...]]:
    """The graph with its calls of functions inlined, but under their names where they are outputs."""
    from modelmill_freezer._tensorflow import library_of

    if not graph.library.function or not options.inline_functions:
        return graph, ()
    inlined = inline_calls(graph, needed, library_of(graph))
    keep_name(inlined, needed)
    changes = inlined.changes(Dataflow(graph).ancestors(needed)) + side_effects(inlined.graph, needed)
    changes += inline_in_functions(inlined.graph, needed, library_of(inlined.graph))
    return inlined.graph, merged(changes)


def _output_nodes(endpoints: Signature) -> List[str]:
    return [graph_def.node_name(tensor.tensor) for tensor in endpoints.outputs]


def _input_nodes(endpoints: Signature) -> List[str]:
    return [graph_def.node_name(tensor.tensor) for tensor in endpoints.inputs]


def _write(step: Step, graph: GraphDef, endpoints: Signature, contents: Mapping[str, Content]) -> None:
    weights_beside.write(step.output, graph, contents)
    signature.write(step.output, endpoints)


def _facts(nodes_before: int, after: GraphDef, inferring: InferenceGraph, notes: List[str]) -> Dict[str, Any]:
    return {
        "inputs": [tensor.name for tensor in inferring.endpoints.inputs],
        "outputs": [tensor.name for tensor in inferring.endpoints.outputs],
        "nodes_before": nodes_before,
        "nodes": len(after.node),
        "changes": [change.fact() for change in inferring.changes],
        "notes": notes,
    }
