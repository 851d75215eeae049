"""A node as the rules see it: its attributes by type, and what is known of its inputs."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from modelmill_worker import tensors
from modelmill_worker.graph_def import NodeDef
from modelmill_worker.shapes.known import Known, Shape, Value, number

#: Shapes of a node's outputs, in order.
Rule = Callable[["Operation"], Sequence[Shape]]
#: The value of a node's only output, where it can be told.
ValueRule = Callable[["Operation"], Value]

RULES: Dict[str, Rule] = {}
VALUE_RULES: Dict[str, ValueRule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the rule for operations of these names."""

    def register(function: Rule) -> Rule:
        RULES.update((name, function) for name in names)
        return function

    return register


def value_rule(*names: str) -> Callable[[ValueRule], ValueRule]:
    """Register how values pass operations of these names."""

    def register(function: ValueRule) -> ValueRule:
        VALUE_RULES.update((name, function) for name in names)
        return function

    return register


class Operation:
    """One node with what is known of its data inputs, in order."""

    def __init__(self, node: NodeDef, inputs: List[Known], producer: int) -> None:
        self.node = node
        self.inputs = inputs
        #: ``versions.producer`` of the graph.
        self.producer = producer

    def shape(self, index: int) -> Shape:
        """Of an input; None where there is no such input."""
        return self.inputs[index].shape if -len(self.inputs) <= index < len(self.inputs) else None

    def value(self, index: int) -> Value:
        """Of an input; None where it is not known."""
        return self.inputs[index].value if -len(self.inputs) <= index < len(self.inputs) else None

    def number(self, index: int) -> Optional[int]:
        """An input's only element."""
        return number(self.value(index))

    def rank(self, index: int) -> Optional[int]:
        """Of an input."""
        shape = self.shape(index)
        return None if shape is None else len(shape)

    def has(self, name: str) -> bool:
        """Whether the node has an attribute."""
        return name in self.node.attr

    def integer(self, name: str, default: int = 0) -> int:
        """An attribute that is an integer."""
        return int(self.node.attr[name].i) if self.has(name) else default

    def flag(self, name: str, default: bool = False) -> bool:
        """An attribute that is a truth."""
        return bool(self.node.attr[name].b) if self.has(name) else default

    def text(self, name: str, default: str = "") -> str:
        """An attribute that is a string."""
        return str(self.node.attr[name].s.decode("utf-8", "replace")) if self.has(name) else default

    def integers(self, name: str) -> Tuple[int, ...]:
        """An attribute that is a list of integers."""
        return tuple(int(item) for item in self.node.attr[name].list.i) if self.has(name) else ()

    def data_type(self, name: str) -> int:
        """An attribute that is a data type, by its number in types.proto."""
        return int(self.node.attr[name].type) if self.has(name) else 0

    def shape_attribute(self, name: str) -> Shape:
        """An attribute that is a shape."""
        return tensors.decode_shape(self.node.attr[name].shape) if self.has(name) else None

    def shapes_attribute(self, name: str) -> Tuple[Shape, ...]:
        """An attribute that is a list of shapes."""
        if not self.has(name):
            return ()
        return tuple(tensors.decode_shape(item) for item in self.node.attr[name].list.shape)

    def attribute(self, name: str) -> Any:
        """The AttrValue itself."""
        return self.node.attr[name]
