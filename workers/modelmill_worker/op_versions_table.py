"""Which TensorFlow version knows which operations, with which attributes: a table made from the versions themselves.

`workers/environments/op_registries` writes it: gzipped text, on each line a name, a tab and JSON, so that only what is
asked for is parsed. The names are

    *versions   for each minor version, oldest first: `version` in full; `producer`, `min_consumer` and `min_producer`,
                its GraphDef versions (tensorflow/core/public/version.h); `types`, the numbers of its data types;
                `ignores_unknown_attributes`, whether it reads a node with an attribute that it does not know
    *contrib    {operation: indices of the versions that know it only once tf.contrib is loaded}
    operation   [[index of a version, definition or null], ...]: from that version on the operation is so

A definition has `inputs` and `outputs` ([how many, attributes that say how many more, ...]), `attributes` (name ->
`type` and, if any, `default`, `minimum`, `allowed`) and, if so, `stateful` and `deprecated` (the GraphDef version that
ended it).
"""

import gzip
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Optional, Tuple

FILE = Path(__file__).with_name("op_versions.txt.gz")
VERSIONS = "*versions"
CONTRIB = "*contrib"

#: The field of an AttrValue in which a value of each type lies; a list's elements lie in the field of ListValue.
FIELDS = {
    "string": "s",
    "int": "i",
    "float": "f",
    "bool": "b",
    "type": "type",
    "shape": "shape",
    "tensor": "tensor",
    "func": "func",
}
#: "Anything", where a definition has no default.
NO_DEFAULT = object()


def plain_value(value: Any, kind: str) -> Any:
    """What an AttrValue of this type says, as numbers, strings and tuples that compare by what they say.

    kind: as an OpDef names an attribute's type, such as "int" or "list(type)".
    A string's bytes become characters one by one; a shape is a tuple or, where its rank is open, None; a tensor is
    its message's bytes in hexadecimal digits; a function is its name.
    """
    if kind.startswith("list("):
        element = kind[5:-1]
        return tuple(_plain_element(item, element) for item in getattr(value.list, FIELDS[element]))
    return _plain_element(getattr(value, FIELDS[kind]), kind)


def _plain_element(item: Any, kind: str) -> Any:
    if kind == "string":
        return bytes(item).decode("latin-1")
    if kind == "shape":
        return None if item.unknown_rank else tuple(int(dimension.size) for dimension in item.dim)
    if kind == "tensor":
        return bytes(item.SerializeToString(deterministic=True)).hex()
    if kind == "func":
        return str(item.name)
    return item


def write_value(value: Any, kind: str, plain: Any) -> None:
    """Make an AttrValue say what `plain_value` told of one of this type."""
    value.Clear()
    if kind.startswith("list("):
        value.list.SetInParent()
        element = kind[5:-1]
        for item in plain:
            elements = getattr(value.list, FIELDS[element])
            if element in ("shape", "tensor", "func"):
                _write_message(elements.add(), element, item)
            else:
                elements.append(item.encode("latin-1") if element == "string" else item)
    elif kind in ("shape", "tensor", "func"):
        getattr(value, FIELDS[kind]).SetInParent()
        _write_message(getattr(value, FIELDS[kind]), kind, plain)
    else:
        setattr(value, FIELDS[kind], plain.encode("latin-1") if kind == "string" else plain)


def _write_message(message: Any, kind: str, plain: Any) -> None:
    if kind == "tensor":
        message.ParseFromString(bytes.fromhex(plain))
    elif kind == "func":
        message.name = plain
    elif plain is None:
        message.unknown_rank = True
    else:
        for size in plain:
            message.dim.add().size = size


class Attribute:
    """An attribute of an operation in one version; `default` is NO_DEFAULT where a node must have the attribute."""

    __slots__ = ("allowed", "default", "kind", "minimum")

    def __init__(self, definition: Dict[str, Any]) -> None:
        self.kind: str = definition["type"]
        self.default: Any = _tuples(definition["default"]) if "default" in definition else NO_DEFAULT
        self.minimum: Optional[int] = definition.get("minimum")
        self.allowed: Optional[FrozenSet[Any]] = frozenset(definition["allowed"]) if "allowed" in definition else None

    def allows(self, value: Any) -> bool:
        """Whether a plain value is one that the version takes; whether it is of the right type is not asked."""
        elements = value if isinstance(value, tuple) else (value,)
        if self.allowed is not None and not self.allowed.issuperset(elements):
            return False
        return self.minimum is None or (len(value) if isinstance(value, tuple) else value) >= self.minimum


class Definition:
    """An operation in one version.

    inputs, outputs: how many, then the attributes that say how many more.
    deprecated: a graph of this GraphDef version or a later one may not use the operation; None where all may.
    """

    __slots__ = ("attributes", "deprecated", "inputs", "outputs", "required", "stateful")

    def __init__(self, definition: Dict[str, Any]) -> None:
        self.inputs: Tuple[Any, ...] = tuple(definition["inputs"])
        self.outputs: Tuple[Any, ...] = tuple(definition["outputs"])
        self.attributes = {name: Attribute(found) for name, found in definition["attributes"].items()}
        self.required = frozenset(name for name, found in self.attributes.items() if found.default is NO_DEFAULT)
        self.stateful: bool = definition.get("stateful", False)
        self.deprecated: Optional[int] = definition.get("deprecated")


class Version:
    """A minor version of TensorFlow. `name` is such as "1.15", `full` such as "1.15.5"; see the module for the rest."""

    __slots__ = ("full", "ignores_unknown_attributes", "min_consumer", "min_producer", "name", "producer", "types")

    def __init__(self, told: Dict[str, Any]) -> None:
        self.full: str = told["version"]
        self.name = ".".join(self.full.split(".")[:2])
        self.producer: int = told["producer"]
        self.min_consumer: int = told["min_consumer"]
        self.min_producer: int = told["min_producer"]
        self.types: FrozenSet[int] = frozenset(told["types"])
        self.ignores_unknown_attributes: bool = told["ignores_unknown_attributes"]


class Table:
    """All versions and operations. What is asked for is parsed then, and kept."""

    def __init__(self, lines: Dict[str, str]) -> None:
        self.versions = tuple(Version(told) for told in json.loads(lines.pop(VERSIONS)))
        self.contrib: Dict[str, List[int]] = json.loads(lines.pop(CONTRIB))
        self._lines = lines
        self._histories: Dict[str, Tuple[Optional[Definition], ...]] = {}

    def operations(self) -> List[str]:
        """The names of all operations, sorted."""
        return sorted(self._lines)

    def history(self, operation: str) -> Tuple[Optional[Definition], ...]:
        """An operation's definition in each version, None where it is unknown."""
        if operation not in self._histories:
            changes = json.loads(self._lines.get(operation, "[]"))
            self._histories[operation] = _in_each_version(changes, len(self.versions))
        return self._histories[operation]


@lru_cache(maxsize=None)
def table() -> Table:
    """The table, read once a process, when it is first asked for."""
    return Table(lines_of(FILE))


def lines_of(file: Path) -> Dict[str, str]:
    """What stands first on each line of a table's file, with the JSON behind it."""
    text = gzip.decompress(file.read_bytes()).decode("ascii")
    return dict(line.split("\t", 1) for line in text.splitlines())  # type: ignore[misc]


def _in_each_version(changes: List[List[Any]], versions: int) -> Tuple[Optional[Definition], ...]:
    found: List[Optional[Definition]] = [None] * versions
    for start, definition in changes:
        found[start:] = [Definition(definition) if definition else None] * (versions - start)
    return tuple(found)


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, which is what `plain_value` makes."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
