"""A .tflite as nodes and edges, to draw it from."""

from typing import Any, Dict, Iterator, List

from modelmill_inspector.tflite._model import ABSENT, Model, Subgraph, Tensor


def nodes_of(model: Model) -> Iterator[Dict[str, Any]]:
    """{"name", "op", "inputs": names of nodes, "shape", "dtype", "calls"?, "within"?} in the order of the file.

    The inputs of a subgraph and its operators are nodes; constants are none. A node is named after its first output,
    with its index behind the name where a name has been used or is missing. Of subgraphs that others call, `within`
    is "subgraph N"; `calls` names those that an operator runs.
    """
    for number, graph in enumerate(model.subgraphs):
        within = {"within": "subgraph {}".format(number)} if number else {}
        for node in _of_subgraph(graph):
            yield dict(node, **within)


def _of_subgraph(graph: Subgraph) -> Iterator[Dict[str, Any]]:
    names = _names(graph)
    made = {index: index for index in graph.inputs}
    for index in graph.inputs:
        if index != ABSENT:
            yield dict({"name": names[index], "op": "input", "inputs": []}, **_told(graph.tensors[index]))
    for operator in graph.operators:
        outputs = [index for index in operator.outputs if index != ABSENT]
        read = [names[made[index]] for index in operator.inputs if index in made and index != ABSENT]
        name = names[outputs[0]] if outputs else "operator {}".format(operator.index)
        node: Dict[str, Any] = {"name": name, "op": operator.code.name, "inputs": read}
        if outputs:
            node.update(_told(graph.tensors[outputs[0]]))
        if operator.subgraphs:
            node["calls"] = ["subgraph {}".format(called) for called in operator.subgraphs]
        made.update(dict.fromkeys(outputs, outputs[0]))
        yield node


def _told(tensor: Tensor) -> Dict[str, Any]:
    return {"shape": list(tensor.signature), "dtype": tensor.dtype}


def _names(graph: Subgraph) -> List[str]:
    """Of every tensor, each once."""
    used = set()
    names = []
    for tensor in graph.tensors:
        name = tensor.name
        if not name or name in used:
            name = "{} #{}".format(name, tensor.index).strip()
        used.add(name)
        names.append(name)
    return names
