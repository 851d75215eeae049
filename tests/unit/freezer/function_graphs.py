"""GraphDefs with functions, as a TensorFlow that writes them would write them."""

from google.protobuf import text_format
from modelmill_worker import graph_def

FLOAT, RESOURCE, BOOL = "DT_FLOAT", "DT_RESOURCE", "DT_BOOL"


def new_graph(nodes, functions=()):
    """A graph of nodes, each as `node` makes it, and of functions, each as `function` makes it."""
    graph = graph_def.new_graph()
    text = "\n".join(nodes) + "library { " + "\n".join(functions) + " } versions { producer: 134 }"
    return text_format.Parse(text, graph)


def node(name, operation, *inputs, field="node", **attributes):
    """Attributes: a type's name, a function's name as "f()", text for a list as "list { ... }", or an AttrValue."""
    fed = " ".join(f'input: "{reference}"' for reference in inputs)
    return f'{field} {{ name: "{name}" op: "{operation}" {fed} {_attributes(attributes)} }}'


def function(name, arguments, results, *nodes):
    """arguments: name to type; results: name to (reference in the function's own spelling, type)."""
    taken = " ".join(f'input_arg {{ name: "{it}" type: {kind} }}' for it, kind in arguments.items())
    given = " ".join(f'output_arg {{ name: "{it}" type: {kind} }}' for it, (_, kind) in results.items())
    returned = " ".join(f'ret {{ key: "{it}" value: "{reference}" }}' for it, (reference, _) in results.items())
    body = " ".join(text.replace("node {", "node_def {", 1) for text in nodes)
    return f'function {{ signature {{ name: "{name}" {taken} {given} }} {body} {returned} }}'


def _attributes(attributes):
    return " ".join(f'attr {{ key: "{name}" value {{ {_value(value)} }} }}' for name, value in attributes.items())


def _value(value):
    if isinstance(value, list):
        return "list { " + " ".join(f"type: {kind}" for kind in value) + " }"
    if value.endswith("()"):
        return f'func {{ name: "{value[:-2]}" }}'
    return f"type: {value}" if value.startswith("DT_") else value
