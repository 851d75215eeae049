"""What the rules of each target would change in a graph, found out by running them on a copy that is thrown away."""

from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

from modelmill_worker import graph_def, signature, source_files
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.graph_outputs import find_inputs, find_outputs
from modelmill_worker.plugin_api import Tree

from modelmill_rewriter._tensor import parse_tensor
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules_api import Interface, Report, Target
from modelmill_rewriter.sequences import SEQUENCES, passes_for
from modelmill_rewriter.third_parties import third_party_passes

#: How many nodes are named for one rule.
_NAMED = 10


def preview(tree: Tree, outputs: Sequence[str], progress: Callable[[float, str], None]) -> List[Dict[str, Any]]:
    """An entry for each target and each rule that would do something, or nearly would.

    tree: a tf.frozen_graph, or a tf.graph_def as a user has it.
    outputs: nodes or tensors to take as outputs; else those of the signature, else those that are found.

    `target`, `rule`; `count`: how often it would be applied; `nodes`, with `nodes_count`: what it would be applied to;
    `nearly`, with `nearly_count`: {`node`, `reason`} where the rule is there for the node and leaves it alone.
    Lists have the first ten.

    Raises StepError OUTPUT_NOT_FOUND where there is nothing that a rewrite would have to keep, and what
    `rewriting.rewrite_graph` raises.
    """
    found: List[Dict[str, Any]] = []
    targets = sorted(SEQUENCES)
    for number, name in enumerate(targets):
        progress(number / len(targets), name)
        found.extend(_entries(name, _reports(tree, outputs, name)))
    return found


def _reports(tree: Tree, outputs: Sequence[str], target: str) -> Sequence[Report]:
    """What a rewrite for a target reports. The graph is read anew and let go: rules use it up, and it may be large."""
    graph, interface = _read(tree, outputs)
    return rewrite_graph(graph, interface, passes_for(target, (), (), third_party_passes()), Target(target)).reports


def _read(tree: Tree, outputs: Sequence[str]) -> Tuple[GraphDef, Interface]:
    if signature.FILE_NAME in tree.files:
        named = signature.read(tree.path)
        graph = graph_def.read(tree.path / "graph.pb")
        ends = outputs or [tensor.tensor for tensor in named.outputs]
        starts = [tensor.tensor for tensor in named.inputs]
    else:
        graph = graph_def.read(source_files.choose_graph(source_files.survey(tree), None).path)
        ends = outputs or [tensor.tensor for tensor in find_outputs(graph)]
        _require_nodes(graph, ends)
        starts = [tensor.tensor for tensor in find_inputs(graph, [graph_def.node_name(end) for end in ends])]
    if not ends:
        raise StepError(
            "OUTPUT_NOT_FOUND",
            "Nothing in the graph looks like an output, and without one no node is needed. Name the outputs with "
            "--output-node.",
        )
    return graph, Interface(tuple(map(parse_tensor, starts)), tuple(map(parse_tensor, ends)))


def _require_nodes(graph: GraphDef, ends: Sequence[str]) -> None:
    names = {node.name for node in graph.node}
    for end in ends:
        if graph_def.node_name(end) not in names:
            raise StepError(
                "OUTPUT_NOT_FOUND",
                "The graph has no node {}. Name the outputs that it has.".format(end),
                {"output": end},
            )


def _entries(target: str, reports: Sequence[Report]) -> Iterator[Dict[str, Any]]:
    for report in reports:
        if report.fired or report.refused:
            nodes = list(dict.fromkeys(name for firing in report.fired for name in firing.before))
            yield {
                "target": target,
                "rule": report.rule,
                "count": len(report.fired),
                "nodes_count": len(nodes),
                "nodes": nodes[:_NAMED],
                "nearly_count": len(report.refused),
                "nearly": [{"node": item.node, "reason": item.reason} for item in report.refused[:_NAMED]],
            }
