"""Graphs written down as text GraphDefs, and what became of them."""

import pytest
from google.protobuf import text_format
from modelmill_worker import graph_def


@pytest.fixture
def graph():
    """Read a graph of lines such as `y = Mul(x, w:1, ^c) T=DT_FLOAT`, or of whole text nodes in braces."""

    def read(text):
        made = graph_def.new_graph()
        made.versions.producer = 27
        for line in filter(None, (line.strip() for line in text.splitlines())):
            text_format.Merge(_node(line), made)
        return made

    return read


def _node(line):
    name, _, rest = line.partition(" = ")
    operation, _, rest = rest.partition("(")
    inputs, _, attributes = rest.partition(")")
    listed = "".join(f' input: "{item.strip()}"' for item in inputs.split(",") if item.strip())
    attrs = "".join(_attribute(item) for item in attributes.split())
    return f'node {{ name: "{name}" op: "{operation}"{listed}{attrs} }}'


def _attribute(item):
    key, _, value = item.partition("=")
    if value.startswith("DT_"):
        field = f"type: {value}"
    elif value in ("true", "false"):
        field = f"b: {value}"
    elif value.startswith("["):
        field = _shape(value)
    elif value.startswith("const:"):
        field = f"tensor {{ {_tensor(value[6:])} }}"
    elif value.startswith("types:"):
        field = "list { " + " ".join(f"type: {kind}" for kind in value[6:].split(",")) + " }"
    elif value.startswith("shapes:"):
        field = "list { " + " ".join(_shape(one) for one in value[7:].split(";")) + " }"
    else:
        field = f's: "{value}"'
    return f' attr {{ key: "{key}" value {{ {field} }} }}'


def _shape(text):
    """`[-1,3]`, `[]`, or `?` for an unknown rank."""
    if text == "?":
        return "shape { unknown_rank: true }"
    sizes = [size for size in text.strip("[]").split(",") if size]
    return "shape { " + " ".join(f"dim {{ size: {size} }}" for size in sizes) + " }"


def _tensor(text):
    """`false`, `0.5`, `3` or `i[32,-1]`: the value of a constant."""
    if text in ("true", "false"):
        return f"dtype: DT_BOOL tensor_shape {{ }} bool_val: {text}"
    if text.startswith("i["):
        values = text[2:-1].split(",")
        listed = " ".join(f"int_val: {value}" for value in values)
        return f"dtype: DT_INT32 tensor_shape {{ dim {{ size: {len(values)} }} }} {listed}"
    if "." in text:
        return f"dtype: DT_FLOAT tensor_shape {{ }} float_val: {text}"
    return f"dtype: DT_INT32 tensor_shape {{ }} int_val: {text}"


@pytest.fixture
def lines():
    """A graph as `name = Operation(inputs)`, by name."""

    def write(made):
        return {node.name: "{}({})".format(node.op, ", ".join(node.input)) for node in made.node}

    return write
