"""Graphs and models that do harm, written down as messages; none of them is ever run."""

import pytest
from modelmill_inspector.security import scan_graph, scan_tree
from modelmill_worker import graph_def, tensors
from modelmill_worker.plugin_api import Tree


def add_nodes(nodes, *described):
    """Add nodes to a graph or a function: (name, operation, *inputs), and (name, "Const", bytes) for a string."""
    for name, operation, *inputs in described:
        node = nodes.add()
        node.name, node.op = name, operation
        if operation == "Const":
            node.attr["dtype"].type = tensors.STRING.number
            node.attr["value"].tensor.dtype = tensors.STRING.number
            node.attr["value"].tensor.string_val.append(inputs[0])
        else:
            node.input.extend(inputs)


@pytest.fixture
def graph_of():
    """Make a GraphDef of nodes as `add_nodes` takes them."""

    def make(*described):
        graph = graph_def.new_graph()
        graph.versions.producer = 1087
        add_nodes(graph.node, *described)
        return graph

    return make


@pytest.fixture
def function_of():
    """Add a function to a graph's library."""

    def add(graph, name, *described):
        function = graph.library.function.add()
        function.signature.name = name
        add_nodes(function.node_def, *described)
        return function

    return add


@pytest.fixture
def writer(graph_of):
    """A graph that writes a file when its node `out` is asked for."""
    return graph_of(
        ("path", "Const", b"/tmp/taken"),
        ("content", "Const", b"!"),
        ("write", "WriteFile", "path", "content"),
        ("out", "Identity", "content", "^write"),
    )


@pytest.fixture
def saved_model(tmp_path):
    """Write a SavedModel's folder of MetaGraphDefs, and give its tree."""

    def write(*meta_graphs):
        content = b"\x08\x01"  # saved_model_schema_version: 1
        for meta_graph in meta_graphs:
            message = meta_graph.SerializeToString()
            size, length = len(message), b""
            while size > 127:
                length += bytes([size & 127 | 128])
                size >>= 7
            content += b"\x12" + length + bytes([size]) + message
        (tmp_path / "saved_model.pb").write_bytes(content)
        return Tree("source", tmp_path, ("saved_model.pb",))

    return write


@pytest.fixture
def meta_graph_of():
    """Make a MetaGraphDef of a graph, with a signature that returns a tensor."""

    def make(graph, output="", key="serving_default"):
        meta_graph = graph_def.meta_graph_class()()
        meta_graph.meta_info_def.tags.append("serve")
        meta_graph.graph_def.ParseFromString(graph.SerializeToString())
        if output:
            meta_graph.signature_def[key].outputs["y"].name = output
        return meta_graph

    return make


@pytest.fixture
def found():
    """The findings of a graph or a tree, as (severity, reason, node); `whole` gives them whole."""

    def scan(source, outputs=(), whole=False):
        facts = scan_tree(source, outputs) if isinstance(source, Tree) else scan_graph(source, outputs)
        assert facts["highest"] == (facts["findings"][0]["severity"] if facts["findings"] else "none")
        if whole:
            return facts["findings"]
        return [(one["severity"], one["reason"], one["node"]) for one in facts["findings"]]

    return scan
