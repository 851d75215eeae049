"""The edges ``run-checkpoint``, ``run-graph`` and ``run-frozen-graph``: a graph run by TensorFlow itself.

A source is run as it is, unfrozen, with code that shares nothing with the freezer: an error of the freezer must
show in the comparison, and would not if the reference had gone through it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Set

from modelmill_worker import (
    Step,
    StepError,
    graph_def,
    installed_tensorflow,
    op_versions,
    source_files,
    unfrozen_variables,
    weights_beside,
)
from modelmill_worker import signature as signatures
from modelmill_worker.reference_run import PLAIN_RUN
from modelmill_worker.signature import Signature

from modelmill_verifier import datasets, sessions, tables
from modelmill_verifier.inference_mode import InferenceMode
from modelmill_verifier.run_results import Arrays, RunResult, run_on_inputs
from modelmill_verifier.variables import Restoration, plan_restoration

#: Why a frozen graph cannot be run by itself.
_UNFROZEN = "The graph was not frozen whole, as asked for: {} stayed variables, without values to run it with."


def run_checkpoint(step: Step) -> Dict[str, Any]:
    """Run a graph with the values of its checkpoint's variables."""
    files = source_files.survey(step.inputs["model"])
    checkpoint = source_files.choose_checkpoint(files)
    return _run(step, None, source_files.choose_graph(files, checkpoint).path, str(checkpoint.prefix))


def run_graph(step: Step) -> Dict[str, Any]:
    """Run a graph without variables, as a user has it."""
    files = source_files.survey(step.inputs["model"])
    return _run(step, None, source_files.choose_graph(files, None).path, None)


def run_frozen_graph(step: Step) -> Dict[str, Any]:
    """Run a frozen graph for the outputs that are compared: of a source, others may have been chosen than it names."""
    model = step.inputs["model"].path
    signature = _asked_for(signatures.read(model), datasets.read(step.inputs["inputs"].path).signature)
    return _run(step, signature, model / "graph.pb", None)


def _asked_for(own: Signature, wanted: Signature) -> Signature:
    """A frozen graph's signature with the inputs and outputs, in their order, that the inputs were made for."""
    fed = {tensor.name: tensor for tensor in own.inputs}
    known = {tensor.name: tensor for tensor in own.outputs}
    return replace(
        own,
        inputs=tuple(fed.get(tensor.name, tensor) for tensor in wanted.inputs),
        outputs=tuple(known.get(tensor.name, tensor) for tensor in wanted.outputs),
    )


def _run(step: Step, signature: Optional[Signature], graph_file: Path, checkpoint: Optional[str]) -> Dict[str, Any]:
    import tensorflow as tf

    def run(described: Signature, inputs: Arrays) -> RunResult:
        mode = InferenceMode(described.reference if signature is None else PLAIN_RUN)
        if mode.unlike:
            return RunResult(skipped=mode.unlike)
        if described.variables and checkpoint is None:
            return RunResult(skipped=_UNFROZEN.format(unfrozen_variables.names_in(described)))
        # Read after TensorFlow's import, so that the message is TensorFlow's own.
        graph = graph_def.read(graph_file)
        contents = weights_beside.contents(graph_file.parent, graph)
        return _compute(graph, contents, described, inputs, checkpoint, step.inputs["model"].path, tf.__version__, mode)

    return run_on_inputs(step, signature, run)


def _compute(
    graph: Any,
    contents: Mapping[str, weights_beside.Content],
    signature: Signature,
    inputs: Arrays,
    checkpoint: Optional[str],
    folder: Path,
    tensorflow: str,
    mode: InferenceMode,
) -> RunResult:
    fetches = {tensor.name: graph_def.tensor_name(tensor.tensor) for tensor in signature.outputs}
    feeds = {mode.tensor_of(tensor): inputs[tensor.name] for tensor in signature.inputs}
    mode.prepare(graph)
    mode.check(graph, list(fetches.values()), list(feeds))
    initializers: Dict[str, Dict[str, Any]] = dict(tables.fillers(graph, signature.initializers, folder, checkpoint))
    needed = _needed_nodes(graph, list(fetches.values()) + list(feeds) + list(initializers) + mode.tensors())
    restoration = plan_restoration(graph, needed, checkpoint, mode.averages)
    needed |= _needed_nodes(graph, list(restoration.own_assignments))
    pruned = _prune(graph, needed, restoration)
    version = op_versions.minor_version(tensorflow)
    note = op_versions.dropped_note(op_versions.drop_default_attributes(pruned, version), version)
    weights = {name + ":0": contents[name]() for name in weights_beside.become_placeholders(pruned)}
    mode.feed_weights(weights)
    initializers = {name: {**prefixes, **weights} for name, prefixes in initializers.items()}
    outputs = _run_in_session(pruned, restoration, initializers, feeds, fetches, mode)
    return RunResult(outputs, facts={"tensorflow": tensorflow}, notes=([note] if note else []) + mode.notes())


def _needed_nodes(graph: Any, references: List[str]) -> Set[str]:
    """The nodes that these nodes or tensors depend on, themselves among them."""
    nodes = graph_def.nodes_by_name(graph)
    needed: Set[str] = set()
    waiting = [graph_def.node_name(reference) for reference in references]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        if name not in nodes:
            raise StepError(
                "NODE_NOT_FOUND",
                "The graph has no node {}. Is it the graph that the outputs were named for?".format(name),
                {"node": name},
            )
        needed.add(name)
        waiting.extend(graph_def.node_name(reference) for reference in nodes[name].input)
    return needed


def _prune(graph: Any, needed: Set[str], restoration: Restoration) -> Any:
    """The needed part of a graph, on no particular device, with the assignments of variables.

    A training graph also holds operations that this TensorFlow may not even know, and names devices
    that this machine has not.
    """
    pruned = graph_def.new_graph()
    pruned.versions.CopyFrom(graph.versions)
    pruned.library.CopyFrom(graph.library)
    pruned.node.extend(node for node in graph.node if node.name in needed)
    for node in pruned.node:
        node.device = ""
        if "_class" in node.attr:  # What it shall lie beside, perhaps a node that is gone.
            del node.attr["_class"]
    pruned.node.extend(restoration.added_nodes)
    return pruned


def _run_in_session(
    graph: Any,
    restoration: Restoration,
    initializers: Dict[str, Dict[str, Any]],
    feeds: Arrays,
    fetches: Dict[str, str],
    mode: InferenceMode,
) -> Arrays:
    import tensorflow as tf

    with tf.Graph().as_default() as imported:
        _import(graph)
        with sessions.open_session(imported) as session:
            for operation, feed in restoration.assignments():
                session.run(operation, feed)
            for operation, feed in initializers.items():
                session.run(operation, feed)
            values = mode.run(session, fetches, feeds)
    return {name: sessions.plain(value) for name, value in values.items()}


def _import(graph: Any) -> None:
    import tensorflow as tf

    try:
        installed_tensorflow.v1().import_graph_def(graph, name="")
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        raise sessions.not_readable(error) from error
