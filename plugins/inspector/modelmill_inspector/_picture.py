"""A model as nodes and edges, to draw it from."""

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from modelmill_worker import graph_def, graph_outline, saved_model, signature, source_files, tensors
from modelmill_worker.file_formats import FileFormat
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.plugin_api import Tree
from modelmill_worker.shapes import infer
from modelmill_worker.source_files import SourceFile

from modelmill_inspector import _keras_file
from modelmill_inspector._options import InspectOptions
from modelmill_inspector.tflite import draw_tflite

#: What a picture has at most, in nodes and in characters of JSON: all facts together may be 8 MiB.
MOST_NODES = 20000
_MOST_CHARACTERS = 5 << 20

#: Attributes that hold a node's output shape.
_SHAPES = ("shape", "_output_shapes")

Node = Dict[str, Any]


class NotDrawableError(Exception):
    """A model is described well enough, and is not of the form that its nodes are read from."""


def draw(tree: Tree, kind: str, options: InspectOptions) -> Optional[Dict[str, Any]]:
    """The picture of a model that was recognised as of this kind; None where there is nothing to draw.

    `nodes`: {`name`, `op`, `inputs`} in the order of the file, at most 20,000 and 5 MiB; `nodes_count`: of all.
    Inputs are names of nodes, "^x" where they only order execution, as often as they are read. Where known: `shape`, of
    the first output; `dtype`; `calls`: names of functions. Nodes of a function or a subgraph say which in `within`, and
    their inputs are names within it.

    Raises NotDrawableError.
    """
    nodes: List[Node] = []
    count, left = 0, _MOST_CHARACTERS
    try:
        for node in _nodes(tree, kind, options):
            count += 1
            if len(nodes) < MOST_NODES and left > 0:
                left -= len(json.dumps(node)) + 2
                if left > 0:
                    nodes.append(node)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise NotDrawableError("{}: {}".format(type(error).__name__, error)) from error
    return {"nodes": nodes, "nodes_count": count} if nodes else None


def _nodes(tree: Tree, kind: str, options: InspectOptions) -> Iterator[Node]:
    if kind == "tf.saved_model":
        path = saved_model.find(tree)
        return _of_graph(saved_model.read(path, options.signature_key, options.tags, outline=True).graph)
    if kind in ("tf.graph_def", "tf.frozen_graph", "tf.checkpoint"):
        return _of_graph(graph_outline.read(_graph_file(tree)))
    if kind in ("tflite", "tflite.edgetpu"):
        file = _file(tree, FileFormat.TFLITE)
        return iter(draw_tflite(file.path, file.name))
    if kind == "tfjs.graph_model":
        return _of_json_graph(_model_json(tree)["modelTopology"])
    if kind in ("tfjs.layers_model", "keras.h5", "keras.v3"):
        return _of_layers(_architecture(tree, kind))
    return iter(())


def _file(tree: Tree, *formats: FileFormat) -> SourceFile:
    """The file that was recognised."""
    return source_files.of_formats(source_files.survey(tree), *formats)[0]


# GraphDef


def _graph_file(tree: Tree) -> Path:
    if signature.FILE_NAME in tree.files:
        return tree.path / "graph.pb"
    files = source_files.survey(tree)
    checkpoint = source_files.choose_checkpoint(files) if source_files.has_checkpoint(files) else None
    return source_files.choose_graph(files, checkpoint).path


def _of_graph(graph: GraphDef) -> Iterator[Node]:
    shapes = infer(graph)
    for node in graph.node:
        drawn = _of_node(node)
        inferred = shapes.of(node.name).shape
        if inferred is not None and node.op not in graph_def.VARIABLES:
            drawn["shape"] = list(inferred)
        yield drawn
    for function in graph.library.function:
        within = "function {}".format(function.signature.name)
        for argument in function.signature.input_arg:
            yield {"name": argument.name, "op": "argument", "inputs": [], "within": within}
        for node in function.node_def:
            yield dict(_of_node(node), within=within)
        for name, source in sorted(function.ret.items()):
            result = {"name": "result {}".format(name), "op": "result", "inputs": [graph_def.node_name(source)]}
            yield dict(result, within=within)


def _of_node(node: NodeDef) -> Node:
    drawn: Node = {"name": node.name, "op": node.op, "inputs": [_without_output(name) for name in node.input]}
    value = node.attr["value"].tensor if node.op == "Const" else None
    number = value.dtype if value is not None else node.attr["dtype"].type if "dtype" in node.attr else 0
    if number:
        drawn["dtype"] = tensors.data_type(number).name
    shape = tensors.decode_shape(value.tensor_shape) if value is not None else _told_shape(node)
    if shape is not None:
        drawn["shape"] = list(shape)
    calls = _called(node)
    if calls:
        drawn["calls"] = calls
    return drawn


def _called(node: NodeDef) -> List[str]:
    """The functions that a node's attributes name."""
    named = [attribute.func.name for attribute in node.attr.values()]
    named += [function.name for attribute in node.attr.values() for function in attribute.list.func]
    return sorted({name for name in named if name})


def _told_shape(node: NodeDef) -> Optional[Tuple[int, ...]]:
    """The shape that an attribute tells."""
    for name in _SHAPES:
        if name in node.attr:
            told = node.attr[name]
            shape = told.list.shape[0] if told.list.shape else told.shape
            return tensors.decode_shape(shape)
    return None


def _without_output(reference: str) -> str:
    """The node that an input names, still marked where it only orders execution."""
    mark = "^" if graph_def.is_control(reference) else ""
    return mark + graph_def.node_name(reference)


# TensorFlow.js


def _model_json(tree: Tree) -> Any:
    file = _file(tree, FileFormat.TFJS_GRAPH_MODEL, FileFormat.TFJS_LAYERS_MODEL)
    return json.loads(file.path.read_text(encoding="utf-8-sig"))


def _of_json_graph(topology: Any) -> Iterator[Node]:
    for node in topology.get("node", []):
        yield _of_json_node(node)
    for function in topology.get("library", {}).get("function", []):
        within = "function {}".format(function.get("signature", {}).get("name", ""))
        for node in function.get("nodeDef", []):
            yield dict(_of_json_node(node), within=within)


def _of_json_node(node: Any) -> Node:
    return {
        "name": str(node["name"]),
        "op": str(node["op"]),
        "inputs": [_without_output(str(name)) for name in node.get("input", [])],
    }


# Keras


def _architecture(tree: Tree, kind: str) -> Any:
    """What `model.get_config()` gave, with the model's class around it."""
    if kind == "tfjs.layers_model":
        topology = _model_json(tree)["modelTopology"]
        return topology.get("model_config", topology)
    if kind == "keras.h5":
        file = _file(tree, FileFormat.HDF5)
        return _keras_file.read_hdf5(file.path, file.name).architecture
    file = _file(tree, FileFormat.KERAS_ARCHIVE)
    return _keras_file.read_archive(file.path, file.name).architecture


def _of_layers(model: Any, within: str = "") -> Iterator[Node]:
    """The layers of a model, and of the models that are layers of it."""
    config = model.get("config", {}) if isinstance(model, dict) else {}
    layers = config if isinstance(config, list) else config.get("layers", [])
    layers = [layer for layer in layers if isinstance(layer, dict)]
    names = [str(layer.get("name") or _config(layer).get("name", "")) for layer in layers]
    chained = model.get("class_name") == "Sequential" if isinstance(model, dict) else False
    for number, (name, layer) in enumerate(zip(names, layers)):
        inputs = names[number - 1 : number] if chained and number else _read_layers(layer.get("inbound_nodes"), names)
        drawn: Node = {"name": name, "op": str(layer.get("class_name", "")), "inputs": inputs}
        yield dict(drawn, within=within) if within else drawn
        if "layers" in _config(layer):
            for inner in _of_layers(layer, "{}{}".format(within + "/" if within else "model ", name)):
                yield inner


def _config(layer: Dict[str, Any]) -> Dict[str, Any]:
    config = layer.get("config")
    return config if isinstance(config, dict) else {}


def _read_layers(inbound: Any, known: List[str]) -> List[str]:
    """The layers that a layer reads: Keras 2 writes ["name", node, tensor, {}], Keras 3 a `keras_history`."""
    if isinstance(inbound, dict):
        history = inbound.get("keras_history")
        if isinstance(history, list) and history and history[0] in known:
            return [str(history[0])]
        inbound = list(inbound.values())
    if not isinstance(inbound, list):
        return []
    if len(inbound) >= 3 and isinstance(inbound[0], str) and inbound[0] in known and isinstance(inbound[1], int):
        return [inbound[0]]
    return [name for item in inbound for name in _read_layers(item, known)]
