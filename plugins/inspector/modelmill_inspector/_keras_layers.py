"""The layers of a Keras architecture as a table, with the weights that they have."""

from collections import Counter, deque
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

#: (name, dtype, shape) of a weight.
Weight = Tuple[str, str, Sequence[int]]

#: How many layers are listed.
_LISTED = 300
#: No Keras model nests deeper; an architecture that does is damaged.
_DEEPEST = 50
#: What of a layer's config may tell the shape of what it takes, batch included; Keras 3 says batch_shape.
_SHAPES = ("batch_shape", "batch_input_shape")


def describe_layers(architecture: Mapping[str, Any], weights: Mapping[str, Sequence[Weight]]) -> Dict[str, Any]:
    """The facts of an architecture: {"class_name", "config"} of a Sequential or functional model, or another class.

    weights: of each layer by its name; of a model inside the model, all that is in it by that one's name.

    model_class: such as "Functional"; model_name.
    nodes, operations: layers counted and by class, those of models inside the model too.
    layers: [{"name", "class", "inside"?: names of the models that it is in, "inputs": [layers], "input_shape"?,
        "output_shape"?, "parameters"?, "weights"?: [{"name", "dtype", "shape"}]}], at most 300 (`layers_count`).
        Archives tell what shapes layers take, other files those of inputs only; the parameters are there where the file
        has the weights.
    inputs, outputs: by the layers' names; a Sequential model's output is its last layer.

    Raises one of Python's own errors where the architecture makes no sense.
    """
    layers = list(_walk(architecture, (), 0))
    operations = Counter(layer["class"] for layer in layers)
    for layer in layers:
        found = None if "inside" in layer else weights.get(layer["name"])
        if found is not None:
            layer["parameters"] = sum(_elements(shape) for _, _, shape in found)
            layer["weights"] = [
                {"name": name, "dtype": dtype, "shape": list(shape)} for name, dtype, shape in found[:_LISTED]
            ]
    inputs, outputs = _ends(architecture)
    return {
        "model_class": str(architecture["class_name"]),
        "model_name": _name_of(architecture),
        "nodes": len(layers),
        "operations": dict(sorted(operations.items())),
        "layers": layers[:_LISTED],
        "layers_count": len(layers),
        "inputs": inputs,
        "outputs": outputs,
    }


def top_layers(architecture: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """Name and class of each layer right in a model."""
    return [(_name_of(layer), str(layer["class_name"])) for layer in _layers_of(architecture)]


def _elements(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _layers_of(model: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The layers right in a model; Keras before 2.2.3 wrote a Sequential model's config as a list of them."""
    config = model.get("config")
    layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, dict) else None
    return [layer for layer in layers or [] if isinstance(layer, dict) and "class_name" in layer]


def _name_of(layer: Mapping[str, Any]) -> str:
    config = layer.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return str(name or layer.get("name") or "")


def _walk(model: Mapping[str, Any], inside: Tuple[str, ...], depth: int) -> Iterator[Dict[str, Any]]:
    if depth > _DEEPEST:
        raise ValueError("models are nested more than {} deep".format(_DEEPEST))
    chained = str(model.get("class_name")) == "Sequential"
    before: List[str] = []
    for layer in _layers_of(model):
        found: Dict[str, Any] = {"name": _name_of(layer), "class": str(layer["class_name"])}
        if inside:
            found["inside"] = list(inside)
        found["inputs"] = before if chained else _taken(layer.get("inbound_nodes"))
        before = [found["name"]]
        for key, shape in (("input_shape", _input_shape_of(layer)), ("output_shape", _output_shape_of(layer))):
            if shape is not None:
                found[key] = shape
        yield found
        yield from _walk(layer, inside + (found["name"],), depth + 1)


def _taken(calls: Any) -> List[str]:
    """The layers whose outputs a layer takes: Keras 2 lists [layer, node, tensor, arguments], Keras 3 its tensors."""
    found: List[str] = []
    waiting = deque([calls])
    while waiting:
        value = waiting.popleft()
        if isinstance(value, dict):
            history = (value.get("config") or {}).get("keras_history") if "class_name" in value else None
            if isinstance(history, list) and history:
                found.append(str(history[0]))
            else:
                waiting.extend(part for part in value.values() if isinstance(part, (dict, list)))
        elif isinstance(value, list):
            if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
                found.append(value[0])
            else:
                waiting.extend(part for part in value if isinstance(part, (dict, list)))
    return list(dict.fromkeys(found))[:_LISTED]


def _output_shape_of(layer: Mapping[str, Any]) -> Optional[List[int]]:
    """What an InputLayer gives; of others, no file says it."""
    config = layer.get("config")
    if layer.get("class_name") != "InputLayer" or not isinstance(config, dict):
        return None
    return _first_shape(config)


def _input_shape_of(layer: Mapping[str, Any]) -> Optional[List[int]]:
    """What the layer was built for, which archives tell of those with one input."""
    built = layer.get("build_config")
    return _first_shape(built, ("input_shape",)) if isinstance(built, dict) else None


def _first_shape(config: Mapping[str, Any], keys: Sequence[str] = _SHAPES) -> Optional[List[int]]:
    """-1 for an unknown dimension."""
    for key in keys:
        shape = config.get(key)
        if isinstance(shape, list) and all(size is None or isinstance(size, int) for size in shape):
            return [-1 if size is None else size for size in shape]
    return None


def _ends(architecture: Mapping[str, Any]) -> Tuple[List[Dict[str, Any]], List[Dict[str, Any]]]:
    config = architecture.get("config")
    mine = _layers_of(architecture)
    by_name = {_name_of(layer): layer for layer in mine}
    if isinstance(config, dict) and config.get("input_layers"):
        inputs, outputs = (_layer_names(config.get(key)) for key in ("input_layers", "output_layers"))
    else:
        inputs, outputs = [_name_of(layer) for layer in mine[:1]], [_name_of(layer) for layer in mine[-1:]]
    return (
        [_end(name, by_name.get(name), True) for name in inputs],
        [_end(name, by_name.get(name), False) for name in outputs],
    )


def _layer_names(told: Any) -> List[str]:
    """[name, node, tensor], a list of those, or a dictionary with them as values."""
    if isinstance(told, dict):
        return [name for value in told.values() for name in _layer_names(value)]
    if isinstance(told, list) and told and isinstance(told[0], str):
        return [told[0]]
    return [name for value in told or [] for name in _layer_names(value)] if isinstance(told, list) else []


def _end(name: str, layer: Optional[Mapping[str, Any]], takes: bool) -> Dict[str, Any]:
    config = (layer or {}).get("config")
    config = config if isinstance(config, dict) else {}
    return {
        "name": name,
        "tensor": name,
        "dtype": _dtype(config.get("dtype")),
        "shape": _first_shape(config) if takes else None,
    }


def _dtype(told: Any) -> str:
    """Of a layer: a name, or in Keras 3 a policy; "float32" where nothing is said, as Keras has it."""
    if isinstance(told, dict):
        told = (told.get("config") or {}).get("name")
    return str(told or "float32")
