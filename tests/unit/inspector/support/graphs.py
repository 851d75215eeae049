"""Small graphs to judge, written in text."""

from google.protobuf import text_format
from modelmill_inspector.graphs import describe_graph, find_endpoints
from modelmill_worker import graph_def

INPUT = """
node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "shape" value { shape { dim { size: 2 } dim { size: 4 } } } } }
"""


def graph_of(text: str):
    graph = graph_def.new_graph()
    graph.versions.producer = 134
    text_format.Parse(text, graph)
    return graph


def operation(name: str, op: str, *inputs: str, more: str = "") -> str:
    """A node of float32."""
    listed = " ".join(f'input: "{feeder}"' for feeder in inputs)
    return f'node {{ name: "{name}" op: "{op}" {listed} attr {{ key: "T" value {{ type: DT_FLOAT }} }} {more} }}\n'


def constant(name: str, op_type: str = "DT_FLOAT", values: str = "float_val: 1") -> str:
    return (
        f'node {{ name: "{name}" op: "Const" attr {{ key: "dtype" value {{ type: {op_type} }} }} '
        f'attr {{ key: "value" value {{ tensor {{ dtype: {op_type} tensor_shape {{ }} {values} }} }} }} }}\n'
    )


def support_of(text: str, **shapes):
    """The fact `support` of a graph, by the endpoints that are found in it."""
    graph = graph_of(text)
    return describe_graph(graph, find_endpoints(graph), input_shapes=shapes)["support"]


def verdict(support, target: str, version: str):
    (found,) = [entry for entry in support["targets"] if entry["target"] == target and version in entry["versions"]]
    return found
