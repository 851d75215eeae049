"""An attribute of nodes, set.

    node(attribute=old) -> node(attribute=new)

The value is text, and becomes what the attribute is already, or what `type` says where the node lacks it: ``true``,
``3``, ``0.5``, ``SAME``, ``float32`` for a type, ``1,224,224,3`` for a shape (``?`` or ``-1`` for an open dimension),
``1,2,2,1`` for a list of numbers. What depends on the attribute, such as shapes behind it, is the user's matter; where
the graph is no valid model afterwards, whatever runs next says so.
"""

from dataclasses import dataclass
from typing import Any, Callable, ClassVar, Dict, Tuple

from modelmill_worker import tensors
from modelmill_worker.errors import StepError

from modelmill_rewriter.rules.editing._named import impossible, named_nodes
from modelmill_rewriter.rules_api import (
    Attribute,
    Dtype,
    Firing,
    GraphIndex,
    Pass,
    Report,
    ShapeOf,
    Target,
    argument,
    set_attribute,
)

_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class SetAttribute(Pass):
    """Sets an attribute of the nodes that a name or pattern means."""

    name: ClassVar[str] = "set_attribute"
    summary: ClassVar[str] = "Sets an attribute: node=conv*, attribute=padding, value=VALID."
    changes_interface: ClassVar[bool] = True

    node: str = argument("", "The node, or a shell pattern for several.")
    attribute: str = argument("", "The attribute's name.")
    value: str = argument("", "Its new value.")
    type: str = argument("", "bool, int, float, string, dtype, shape, ints or floats; else what it is already.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Set it, wherever it is not so already."""
        del target
        changed = []
        for name in named_nodes(graph, self.name, self.node):
            node = graph.node(name)
            before = node.attr[self.attribute].SerializeToString() if self.attribute in node.attr else None
            value = self._value(node)
            set_attribute(graph.edit(name), self.attribute, value)
            if node.attr[self.attribute].SerializeToString() != before:
                changed.append(name)
        return Report(self.name, (Firing(tuple(changed), tuple(changed)),) if changed else ())

    def _value(self, node: Any) -> Attribute:
        kind = self.type or _kind_of(node, self.attribute)
        if kind not in _READERS:
            known = "it has {}".format(", ".join(sorted(node.attr))) if len(node.attr) else "it has none"
            raise impossible(
                self.name,
                "{} has no attribute {!r} that could be set ({}); say with type= what it is to be: {}".format(
                    node.name, self.attribute, known, ", ".join(sorted(_READERS))
                ),
                node=node.name,
                attribute=self.attribute,
            )
        try:
            return _READERS[kind](self.value)
        except (ValueError, KeyError, StepError):
            raise impossible(
                self.name,
                "{!r} is no {}, which {} of {} is".format(self.value, kind, self.attribute, node.name),
                node=node.name,
                attribute=self.attribute,
                value=self.value,
            ) from None


_KINDS = {"b": "bool", "i": "int", "f": "float", "s": "string", "type": "dtype", "shape": "shape"}
_LISTS = {"i": "ints", "f": "floats"}


def _kind_of(node: Any, attribute: str) -> str:
    """What an attribute is, in our words; empty for what the node has not, or what text cannot say."""
    if attribute not in node.attr:
        return ""
    field = node.attr[attribute].WhichOneof("value")
    if field != "list":
        return _KINDS.get(field, "")
    filled = [kind for kind in _LISTS if getattr(node.attr[attribute].list, kind)]
    return _LISTS[filled[0]] if filled else ""


def _items(text: str) -> Tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",")) if text.strip() else ()


def read_shape(text: str) -> Tuple[int, ...]:
    """``1,224,224,3``, with ``?`` or ``-1`` for an open dimension; nothing for a scalar. Raises ValueError."""
    return tuple(-1 if item in ("?", "-1") else _size(item) for item in _items(text))


def _size(text: str) -> int:
    size = int(text)
    if size < 0:
        raise ValueError(text)
    return size


_READERS: Dict[str, Callable[[str], Attribute]] = {
    "bool": lambda text: _BOOLEANS[text.lower()],
    "int": int,
    "float": float,
    "string": lambda text: text.encode("utf-8"),
    "dtype": lambda text: Dtype(tensors.data_type_named(text).number),
    "shape": lambda text: ShapeOf(read_shape(text)),
    "ints": lambda text: tuple(int(item) for item in _items(text)),
    "floats": lambda text: tuple(float(item) for item in _items(text)),
}
