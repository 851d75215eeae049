"""A Print behind nodes, which writes what they compute to the log whenever the model runs.

    g(f(x)) -> g(Print(f(x), [f(x)]))

The Print is called after its node, with "__print__" behind, and hands on the node's first output; it shows every output
that somebody reads. Of an output of the model only who reads it inside the graph reads the Print. Nodes that lead into
and out of TensorFlow 1's loops and conditions stay without, as some of their outputs never come.

freeze_requantization_ranges reads what this writes with op=RequantizationRange, show_name=true and
message="__requant_min_max:".
"""

from dataclasses import dataclass
from typing import ClassVar, List, Optional, Tuple

from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import (
    Dtype,
    Firing,
    GraphIndex,
    Pass,
    Refusal,
    Report,
    Target,
    Tensor,
    argument,
    set_attribute,
)

_SUFFIX = "__print__"
_STEERING = frozenset(
    prefix + operation
    for prefix in ("", "Ref")
    for operation in ("Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch")
)
_UNPRINTABLE = (tensors.RESOURCE, tensors.VARIANT)


@dataclass(frozen=True)
class InsertLogging(Pass):
    """Lets a model tell what it computes on the way."""

    name: ClassVar[str] = "insert_logging"
    summary: ClassVar[str] = "Writes to the log what nodes compute: op=RequantizationRange, show_name=true."

    op: Tuple[str, ...] = argument((), "Behind nodes of this operation; of all where none is named. Repeatable.")
    prefix: Tuple[str, ...] = argument((), "Behind nodes whose names begin so; all where none is given. Repeatable.")
    message: str = argument("", "What is written before the values.")
    show_name: bool = argument(False, "Write the Print's name, which begins with the node's, as well.")
    show_op: bool = argument(False, "Write the node's operation as well.")
    first_n: int = argument(-1, "Write only the first times; -1 for always.")
    summarize: int = argument(1024, "How many elements of each tensor are written.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Look at each node that is meant; functions stay as they are."""
        del target
        fired: List[Firing] = []
        refused: List[Refusal] = []
        for name in graph.names():
            node = graph.node(name)
            if not self._is_meant(node) or _is_logged(graph, name):
                continue
            reason = _objection(graph, node)
            if reason is None:
                fired.append(self._log(graph, node))
            elif self.op or self.prefix:
                refused.append(Refusal(name, reason))
        return Report(self.name, tuple(fired), tuple(refused))

    def _is_meant(self, node: NodeDef) -> bool:
        if node.name.endswith(_SUFFIX):
            return False
        return (not self.op or node.op in self.op) and (not self.prefix or node.name.startswith(self.prefix))

    def _log(self, graph: GraphIndex, node: NodeDef) -> Firing:
        shown = _read_outputs(graph, node.name)
        name = graph.unused_name(node.name + _SUFFIX)
        made = graph_def.new_node(name, "Print")
        made.device = node.device
        set_attribute(made, "T", Dtype(graph.dtype(Tensor(node.name))))
        set_attribute(made, "U", tuple(Dtype(graph.dtype(tensor)) for tensor in shown))
        set_attribute(made, "message", self._text(node.op, name).encode("utf-8"))
        set_attribute(made, "first_n", self.first_n)
        set_attribute(made, "summarize", self.summarize)
        graph.add([made], beside=node.name)
        graph.redirect_tensor(Tensor(node.name), Tensor(name))
        graph.set_inputs(name, [node.name, *(str(tensor) for tensor in shown)])
        return Firing((node.name,), (node.name, name))

    def _text(self, operation: str, name: str) -> str:
        parts = [operation] if self.show_op else []
        parts += [name] if self.show_name else []
        return "".join(";{};".format(part) for part in parts) + self.message


def _is_logged(graph: GraphIndex, name: str) -> bool:
    """Whether a Print of this rule reads the node, so that one more would say the same."""
    return any(
        graph.node(consumer).op == "Print" and consumer.startswith(name + _SUFFIX) for consumer in graph.consumers(name)
    )


def _read_outputs(graph: GraphIndex, name: str) -> Tuple[Tensor, ...]:
    """The outputs of a node that somebody reads, in order."""
    read = {
        tensor for consumer in graph.consumers(name) for tensor in graph.data_inputs(consumer) if tensor.node == name
    }
    return tuple(sorted(read))


def _objection(graph: GraphIndex, node: NodeDef) -> Optional[str]:
    shown = _read_outputs(graph, node.name)
    if node.op in _STEERING:
        return "it leads into or out of a loop or a condition"
    if Tensor(node.name) not in shown:
        return "nothing reads its first output, so that a Print behind it would not run"
    numbers = [graph.dtype(tensor) for tensor in shown]
    if not all(numbers):
        return "the graph does not tell the types of what it gives out"
    if any(tensors.data_type(number) in _UNPRINTABLE for number in numbers):
        return "it gives out a handle, which cannot be printed"
    return None
