"""Reads `samples.txt`: what each line asks, and the graph of one operation that it describes. Python 3.6 and newer.

`read` needs no TensorFlow. `build` looks the operation up in that of the process that it runs in.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

#: Short names of data types, and numpy's.
TYPES = {
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "bool": "bool",
    "str": "string",
    "c64": "complex64",
}
_INPUT = re.compile(r"(?P<constant>=?)(?P<type>\w+)(\[(?P<shape>[\d,]*)\]|\((?P<values>[^)]*)\)|:(?P<scalar>\S+))")


class UnknownOperationError(Exception):
    """This TensorFlow does not know the operation, or not with such an attribute."""


@dataclass(frozen=True)
class Input:
    """A placeholder of a shape, or a constant: of ones where no values are given; a scalar's shape is ().

    dtype: numpy's name.
    """

    dtype: str
    shape: Tuple[int, ...]
    constant: bool
    values: Optional[Tuple[str, ...]]


@dataclass(frozen=True)
class Sample:
    """One operation with its inputs and attributes.

    conditions: what a node must be for the result to hold for it: attribute to value (data types by numpy's names),
        and "@N" to "" where its input N is computed.
    attributes: all attributes that are given, conditions among them; types by numpy's names.
    inputs: an entry for each argument: an input, or several where the argument is a list.
    """

    operation: str
    conditions: Tuple[Tuple[str, str], ...]
    attributes: Dict[str, Any]
    inputs: Tuple[Any, ...]

    @property
    def key(self) -> str:
        """How the tables name it: "Conv2D T=float32 padding=EXPLICIT"."""
        return " ".join([self.operation] + [name + ("=" + value if value else "") for name, value in self.conditions])


def read(path: Path) -> List[Sample]:
    """Every sample of the catalogue, in its order; a key that came before is left out."""
    found: Dict[str, Sample] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            for sample in _of_line(line.split()):
                found.setdefault(sample.key, sample)
    return list(found.values())


def _of_line(tokens: List[str]) -> Iterator[Sample]:
    operation, rest = tokens[0], tokens[1:]
    varied = {}  # type: Dict[str, List[str]]
    for token in rest:
        name, _, value = token.partition("=")
        if name and value and all(part in TYPES for part in value.split(",")):
            varied[name] = value.split(",")
    several = next((name for name, types in varied.items() if len(types) > 1), next(iter(varied), ""))
    for chosen in varied.get(several, [""]):
        yield _sample(operation, rest, {name: chosen if name == several else varied[name][0] for name in varied})


def _sample(operation: str, tokens: List[str], types: Dict[str, str]) -> Sample:
    conditions = [(name.lstrip("*"), TYPES[value]) for name, value in types.items()]
    attributes = {name.lstrip("*"): TYPES[value] for name, value in types.items()}  # type: Dict[str, Any]
    inputs = []  # type: List[Any]
    group = None  # type: Optional[List[Input]]
    for token in tokens:
        name, _, value = token.partition("=")
        if token.startswith("@"):
            conditions.append((token, ""))
        elif name in types:
            continue
        elif name and value and not name.startswith("{") and "[" not in name:
            attributes[name.lstrip("*")] = _value(value)
            if name.startswith("*"):
                conditions.append((name[1:], _shown(_value(value))))
        else:
            if token.startswith("{"):
                group = []
            text = token.strip("{}")
            if text:
                (inputs if group is None else group).append(_input(text, types))
            if token.endswith("}"):
                inputs.append(group)
                group = None
    return Sample(operation, tuple(conditions), attributes, tuple(inputs))


def _value(text: str) -> Any:
    listed = re.match(r"^\[([a-z]\w*)\]$", text)
    if listed:
        return [TYPES[listed.group(1)]]
    return json.loads(text)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _input(text: str, types: Dict[str, str]) -> Input:
    found = _INPUT.match(text)
    assert found is not None, text
    dtype = TYPES[types.get(found.group("type"), found.group("type"))]
    constant = bool(found.group("constant"))
    if found.group("scalar") is not None:
        return Input(dtype, (), constant, (found.group("scalar"),))
    if found.group("values") is not None:
        values = tuple(found.group("values").split(","))
        return Input(dtype, (len(values),), constant, values)
    shape = found.group("shape")
    return Input(dtype, tuple(int(size) for size in shape.split(",")) if shape else (), constant, None)


def build(sample: Sample, registry: Any, v1: Any) -> Tuple[Any, List[Tuple[str, str, Tuple[int, ...]]]]:
    """The graph, and name, type and shape of each placeholder; the operation's node is "operation".

    registry: a function from an operation's name to its OpDef, or to None.
    Raises UnknownOperationError.
    """
    import tensorflow as tf

    definition = registry(sample.operation)
    if definition is None:
        raise UnknownOperationError(sample.operation)
    known = {attribute.name: attribute for attribute in definition.attr}
    for name, _ in sample.conditions:
        if not name.startswith("@") and name not in known:
            raise UnknownOperationError("{} has no {}".format(sample.operation, name))
    graph = v1.GraphDef()
    with tf.Graph().as_default() as empty:
        graph.versions.CopyFrom(empty.as_graph_def().versions)
    node = v1.NodeDef(name="operation", op=sample.operation)
    placeholders = []  # type: List[Tuple[str, str, Tuple[int, ...]]]
    for argument, given in zip(definition.input_arg, sample.inputs):
        parts = given if isinstance(given, list) else [given]
        for part in parts:
            name = "input_{}".format(len(node.input))
            node.input.append(name)
            graph.node.add().CopyFrom(_feeding(name, part, v1, tf))
            if not part.constant:
                placeholders.append((name, part.dtype, part.shape))
        _tell_inputs(node, argument, [tf.as_dtype(part.dtype).as_datatype_enum for part in parts])
    for name, value in sample.attributes.items():
        if name in known:
            _set(node.attr[name], known[name].type, value, tf)
    for attribute in definition.attr:
        if attribute.name not in node.attr and attribute.HasField("default_value"):
            node.attr[attribute.name].CopyFrom(attribute.default_value)
    graph.node.add().CopyFrom(node)
    return graph, placeholders


def _tell_inputs(node: Any, argument: Any, types: List[int]) -> None:
    """Set the attributes that say how many inputs an argument has, and of which types."""
    if argument.number_attr:
        node.attr[argument.number_attr].i = len(types)
    if argument.type_attr and types:
        node.attr[argument.type_attr].type = types[0]
    if argument.type_list_attr:
        node.attr[argument.type_list_attr].list.SetInParent()
        node.attr[argument.type_list_attr].list.type.extend(types)


def _feeding(name: str, part: Input, v1: Any, tf: Any) -> Any:
    dtype = tf.as_dtype(part.dtype)
    if not part.constant:
        node = v1.NodeDef(name=name, op="Placeholder")
        node.attr["shape"].shape.SetInParent()
        for size in part.shape:
            node.attr["shape"].shape.dim.add().size = size
    else:
        make = tf.compat.v1.make_tensor_proto if hasattr(tf.compat, "v1") else tf.contrib.util.make_tensor_proto
        node = v1.NodeDef(name=name, op="Const")
        node.attr["value"].tensor.CopyFrom(make(*_constant(part), shape=part.shape))
    node.attr["dtype"].type = dtype.as_datatype_enum
    return node


def _constant(part: Input) -> Tuple[Any, str]:
    import numpy as np

    if part.dtype == "string":
        return [value.encode() for value in part.values or ()], part.dtype
    if part.values is None:
        return np.ones(part.shape, part.dtype), part.dtype
    return np.array([float(value) for value in part.values]).astype(part.dtype), part.dtype


def _set(attribute: Any, kind: str, value: Any, tf: Any) -> None:
    if kind.startswith("list("):
        attribute.list.SetInParent()
        for item in value:
            _append(attribute.list, kind[5:-1], item, tf)
    elif kind == "type":
        attribute.type = tf.as_dtype(value).as_datatype_enum
    elif kind == "shape":
        _shape(attribute.shape, value)
    elif kind == "string":
        attribute.s = value.encode()
    else:
        setattr(attribute, {"int": "i", "float": "f", "bool": "b"}[kind], value)


def _append(listed: Any, kind: str, item: Any, tf: Any) -> None:
    if kind == "type":
        listed.type.append(tf.as_dtype(item).as_datatype_enum)
    elif kind == "shape":
        _shape(listed.shape.add(), item)
    elif kind == "string":
        listed.s.append(item.encode())
    else:
        getattr(listed, {"int": "i", "float": "f", "bool": "b"}[kind]).append(item)


def _shape(shape: Any, sizes: List[int]) -> None:
    shape.SetInParent()
    for size in sizes:
        shape.dim.add().size = size
