"""Searches graphs: every node of a GraphDef and of its functions, and whatever graph their strings hold."""

from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from modelmill_worker import graph_def
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_inspector.security import _code, _operations, _paths
from modelmill_inspector.security._embedded import (
    Budget,
    Embedded,
    graphs_in,
    may_hold_strings,
    string_content,
    string_elements,
)
from modelmill_inspector.security._findings import SEVERITIES, Finding, Findings, inside, lowered, shortened
from modelmill_inspector.security._operations import Danger
from modelmill_inspector.security._reach import Occasion, Reach, Starts, starts_of_meta_graph, starts_of_outputs

#: How deep a graph may be nested in strings of graphs.
_DEEPEST = 8
#: How deep attributes of attributes are followed; protobuf reads no message that is nested more than 100 deep.
_DEEPEST_ATTRIBUTE = 40
#: How many nodes a value is followed through to tell where it comes from.
_LONGEST_WAY = 50
#: What hands its first input on.
_PASSING_ON = frozenset(["Identity", "PlaceholderWithDefault", "ExpandDims", "Reshape", "StopGradient"])
_STRING = 7


def scan_graph(graph: GraphDef, outputs: Iterable[str] = ()) -> Dict[str, Any]:
    """The fact `security` (see the package) of one GraphDef with its functions; outputs: the tensors it is made for."""
    findings = Findings()
    GraphScan(findings).graph(graph, "", starts_of_outputs(outputs))
    return findings.facts()


class GraphScan:
    """The search of a source's graphs; what it finds goes into `findings`, and one budget holds for all of them."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._budget = Budget()
        self._depth = 0

    def graph(
        self,
        graph: GraphDef,
        where: str,
        starts: Starts,
        assets: Iterable[str] = (),
        lent: bool = True,
        otherwise: Occasion = Occasion.CALLING,
    ) -> None:
        """Search a GraphDef.

        assets: the constants that hold paths of the model's own files.
        otherwise: the occasion on which all of it runs, where nothing is known to start anything.
        lent: whether the graph's holder is reached; where not, its findings are one step less severe.
        """
        self._findings.graphs += 1
        reach = Reach(graph, starts, otherwise)
        known = frozenset(function.signature.name for function in graph.library.function)
        _Scope(self, graph.node, where, known, frozenset(assets), lent).search(reach.of_node)
        for function in graph.library.function:
            occasions = reach.of_function(function.signature.name)
            place = inside(where, "function {}".format(function.signature.name))
            scope = _Scope(self, function.node_def, place, known, frozenset(), lent)
            scope.search(lambda _, occasions=occasions: occasions)  # type: ignore[misc]
            for name, value in function.attr.items():
                scope.attribute("", "", name, value, occasions)

    def meta_graph(self, meta_graph: Any, where: str, outputs: Iterable[str] = (), lent: bool = True) -> None:
        """Search a MetaGraphDef: its graph, and what its collections, assets and objects hold."""
        starts = starts_of_meta_graph(meta_graph, outputs)
        assets = [graph_def.node_name(asset.tensor_info.name) for asset in meta_graph.asset_file_def]
        self.graph(meta_graph.graph_def, where, starts, assets, lent)
        for asset in meta_graph.asset_file_def:
            if _paths.leaves(asset.filename):
                self._findings.add(_outside(asset.filename, where))
        for name, collection in meta_graph.collection_def.items():
            place = inside(where, "collection {}".format(name))
            for item in collection.bytes_list.value:
                self.content(bytes(item), place, "", lent)
            for any_message in collection.any_list.value:
                self.content(any_message.value, place, "", lent)
        self.content(meta_graph.meta_info_def.any_info.value, inside(where, "meta_info_def"), "", lent)

    def content(self, data: bytes, where: str, node: str, lent: bool = True) -> None:
        """Search bytes that a graph, or something beside it, holds; `node` is their holder."""
        if not data:
            return
        self._look_for_code(data, where, node, lent)
        self._budget.met = ""
        for found in graphs_in(data, self._budget):
            self._embedded(found, where, node, lent)
        if self._budget.met:
            self._findings.add(_not_searched(self._budget.met, where, node))

    def _embedded(self, found: Embedded, where: str, node: str, lent: bool) -> None:
        text = "A string holds a whole {}{}: something may run it without its being seen in the graph.".format(
            found.kind, " " + found.how if found.how else ""
        )
        severity = "medium" if lent else lowered("medium")
        self._findings.add(Finding(severity, "GRAPH_IN_STRING", text, node, "", where))
        if self._depth >= _DEEPEST:
            self._findings.add(_not_searched("graphs in it are nested more than {} deep".format(_DEEPEST), where, node))
            return
        self._depth += 1
        for message in found.messages:
            if hasattr(message, "graph_def"):
                self.meta_graph(message, where, lent=lent)
            else:
                self.graph(message, where, {}, lent=lent, otherwise=Occasion.HIDDEN)
        self._depth -= 1

    def _look_for_code(self, data: bytes, where: str, node: str, lent: bool) -> None:
        if _code.is_marshalled(data):
            severity, reason = "medium", "MARSHALLED_CODE"
            text = "A string holds marshalled Python code. Names in it: {}.".format(_listed(_code.names_in(data)))
        else:
            called = _code.pickle_calls(data) if len(data) > 4 else None
            if not called:
                return
            severity, reason = "medium", "PICKLE"
            text = "A string holds a pickle: unpickling it calls {}.".format(_listed(called))
        self._findings.add(Finding(severity if lent else lowered(severity), reason, text, node, "", where))

    def report(self, finding: Finding) -> None:
        """Take a finding in."""
        self._findings.add(finding)

    def count(self, nodes: int) -> None:
        """Count nodes that were searched."""
        self._findings.nodes += nodes


class _Scope:
    """The nodes of a graph itself, or of one function: names mean something only among them."""

    def __init__(
        self,
        scan: GraphScan,
        nodes: Sequence[NodeDef],
        where: str,
        functions: "frozenset[str]",
        assets: "frozenset[str]",
        lent: bool,
    ) -> None:
        self._scan = scan
        self._nodes = nodes
        self._where = where
        self._functions = functions
        self._assets = assets
        self._lent = lent
        self._by_name: Dict[str, NodeDef] = {}

    def search(self, occasions_of: Any) -> None:
        """Search all nodes; occasions_of: when the node of a name runs."""
        self._scan.count(len(self._nodes))
        self._by_name = {node.name: node for node in self._nodes}
        for node in self._nodes:
            # A function of the library under the name of an operation does not replace it.
            own = node.op in self._functions and not _operations.is_known(node.op)
            danger = None if own else _operations.danger_of(node)
            strings = _string_attributes(node)
            if danger is None and not strings:
                continue
            occasions = occasions_of(node.name)
            if danger is not None:
                self._report(node, danger, occasions)
            for name, value in strings:
                self.attribute(node.name, node.op, name, value, occasions)

    def attribute(self, node: str, operation: str, name: str, value: Any, occasions: Sequence[Occasion]) -> None:
        """Search what an attribute holds."""
        constant = operation == "Const" and name == "value"
        place = "constant {}".format(node) if constant else "attribute {} of {}".format(name, node or "the function")
        where = inside(self._where, place)
        lent = self._lent and tuple(occasions) != (Occasion.NEVER_KNOWN,)
        for content in _contents(value):
            self._scan.content(content, where, node, lent)

    def _report(self, node: NodeDef, danger: Danger, occasions: Sequence[Occasion]) -> None:
        """Report a node by the worst occasion on which it runs."""
        path = self._path_of(node) if danger.reason in _AT_A_PATH else None
        judged = [(self._severity(node, danger, occasion, path), occasion) for occasion in occasions]
        severity, occasion = max((found for found in judged if found[0]), default=("", None), key=_by_severity)
        if occasion is None:
            return
        said = "The operation {} {}{}. {}".format(node.op, danger.text, _said(path), occasion.value)
        self._scan.report(Finding(severity, danger.reason, shortened(said), node.name, node.op, self._where))

    def _severity(self, node: NodeDef, danger: Danger, occasion: Occasion, path: Optional[bytes]) -> str:
        """How bad a danger is on an occasion; empty where there is none."""
        if node.op.startswith("CacheDataset") and path == b"":
            return ""
        if danger.reason == "READS_VOCABULARY" and path is not None:
            return self._lent_severity("low" if self._is_asset(node) else "high")
        if danger.saver:
            expected = {"save": (Occasion.SAVING,), "restore": (Occasion.SAVING, Occasion.RESTORING)}[danger.saver]
            if occasion in expected or occasion is Occasion.NEVER_KNOWN:
                return "low"
        severity = self._lent_severity(danger.severity)
        return lowered(severity) if occasion is Occasion.NEVER_KNOWN else severity

    def _lent_severity(self, severity: str) -> str:
        return severity if self._lent else lowered(severity)

    def _is_asset(self, node: NodeDef) -> bool:
        origin = self._origin(node.input[1]) if len(node.input) > 1 else None
        return origin is not None and origin.name in self._assets

    def _path_of(self, node: NodeDef) -> Optional[bytes]:
        """The path or address that a feared node is given, where it is a constant; None where it is computed."""
        if node.op == "PrintV2":
            return bytes(node.attr["output_stream"].s)
        for attribute in _PATH_ATTRIBUTES:
            if attribute in node.attr and node.attr[attribute].s:
                return bytes(node.attr[attribute].s)
        position = _PATH_INPUTS.get(node.op, 0)
        inputs = graph_def.data_inputs(node)
        origin = self._origin(inputs[position]) if position < len(inputs) else None
        if origin is None or origin.op != "Const":
            return None
        tensor = origin.attr["value"].tensor
        return string_content(tensor) if tensor.dtype == _STRING else None

    def _origin(self, reference: str) -> Optional[NodeDef]:
        """The node that a value comes from, past those that only hand it on."""
        node = self._by_name.get(graph_def.node_name(reference))
        for _ in range(_LONGEST_WAY):
            if node is None or node.op not in _PASSING_ON or not node.input:
                return node
            node = self._by_name.get(graph_def.node_name(node.input[0]))
        return None


#: Dangers of which a sentence names the path or address.
_AT_A_PATH = frozenset(
    ["SAVES_CHECKPOINT", "RESTORES_CHECKPOINT", "WRITES_FILES", "READS_FILES", "READS_VOCABULARY", "OPENS_NETWORK"]
)
#: Which input holds the path, where it is not the first.
_PATH_INPUTS = {
    "InitializeTableFromTextFile": 1,
    "InitializeTableFromTextFileV2": 1,
    "MergeV2Checkpoints": 1,
    "CacheDataset": 1,
    "CacheDatasetV2": 1,
    "SaveDataset": 1,
    "SaveDatasetV2": 1,
    "SnapshotDataset": 1,
    "SnapshotDatasetV2": 1,
    "DatasetToTFRecord": 1,
    "CreateSummaryFileWriter": 1,
    "CreateSummaryDbWriter": 1,
}
_PATH_ATTRIBUTES = ("vocab_file", "file_name", "file_pattern", "memory_region_name", "output_file_path", "filename")


def _string_attributes(node: NodeDef) -> List[Tuple[str, Any]]:
    """The attributes of a node that may hold strings; those that every node has are not worth a look."""
    found = []
    for name, value in node.attr.items():
        kind = value.WhichOneof("value")
        if kind == "tensor":
            if may_hold_strings(value.tensor):
                found.append((name, value))
        elif kind in ("s", "list", "func"):
            found.append((name, value))
    return found


def _contents(value: Any, depth: int = 0) -> Iterator[bytes]:
    """The strings in an attribute's value, whatever their length."""
    kind = value.WhichOneof("value")
    if kind == "s":
        yield value.s
    elif kind == "tensor":
        yield from _strings_of(value.tensor)
    elif kind == "list":
        yield from value.list.s
        for tensor in value.list.tensor:
            yield from _strings_of(tensor)
        for function in value.list.func:
            yield from _strings_in_function(function, depth)
    elif kind == "func":
        yield from _strings_in_function(value.func, depth)


def _strings_in_function(function: Any, depth: int) -> Iterator[bytes]:
    if depth < _DEEPEST_ATTRIBUTE:
        for inner in function.attr.values():
            yield from _contents(inner, depth + 1)


def _strings_of(tensor: Any) -> Iterator[bytes]:
    if may_hold_strings(tensor):
        yield from string_elements(tensor)


def _by_severity(judged: Tuple[str, Optional[Occasion]]) -> int:
    return SEVERITIES.index(judged[0]) if judged[0] else 0


def _said(path: Optional[bytes]) -> str:
    """A constant path as a part of a sentence."""
    if not path:
        return ""
    return ": {}".format(shortened(repr(path.decode("utf-8", "replace"))))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shortened(name) for name in names) if names else "nothing that can be told"


def _outside(path: str, where: str) -> Finding:
    text = "The asset {!r} lies outside of the model's folder: loading the model reads that file.".format(
        shortened(path)
    )
    return Finding("high", "ASSET_OUTSIDE", text, "", "", where)


def _not_searched(bound: str, where: str, node: str) -> Finding:
    text = "Not all of this was searched: {}. Do not take what was not found for absent.".format(bound)
    return Finding("medium", "SEARCH_BOUND_MET", text, node, "", where)
