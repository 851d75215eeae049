"""What the outputs do not need of the inputs, away; and an input that is computed becomes one that is fed.

    f(g(image)), with g(image) as the input -> f(Placeholder)

The new Placeholder has the name of the node whose place it takes. Its type and shape are those that the options say,
for all or for each by name, and else those of the tensor whose place it takes, as far as the graph tells them. What is
a Placeholder already stays as it is.

    strip_unused_nodes(name=image, type_for_name=float, shape_for_name="1,299,299,3")
"""

from dataclasses import dataclass
from typing import ClassVar, List, Optional, Tuple

from modelmill_worker import tensors
from modelmill_worker.errors import StepError

from modelmill_rewriter.rules.editing.cut_graph import new_placeholder
from modelmill_rewriter.rules.editing.set_attribute import read_shape
from modelmill_rewriter.rules.removing.prune_unused import PruneUnused
from modelmill_rewriter.rules_api import (
    Firing,
    GraphIndex,
    Pass,
    Refusal,
    Report,
    Target,
    Tensor,
    argument,
    invalid_option,
)

#: TensorFlow's names for types, where NumPy's are others.
_TYPES = {"float": "float32", "double": "float64", "half": "float16"}


@dataclass(frozen=True)
class StripUnusedNodes(Pass):
    """Cuts the graph at the model's inputs, and keeps what its outputs need."""

    name: ClassVar[str] = "strip_unused_nodes"
    summary: ClassVar[str] = "Keeps what lies between the model's inputs and outputs, and makes inputs Placeholders."
    changes_interface: ClassVar[bool] = True

    type: str = argument("", "The type of new Placeholders, such as float or int32; the tensor's where none is told.")
    shape: Optional[str] = argument(None, 'The shape of new Placeholders, such as "1,299,299,3"; else the tensor\'s.')
    names: Tuple[str, ...] = argument((), "An input that has a type and shape of its own. Repeatable.", name="name")
    type_for_name: Tuple[str, ...] = argument((), "The type of each input that is named, in order. Repeatable.")
    shape_for_name: Tuple[str, ...] = argument((), "The shape of each input that is named, in order. Repeatable.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Cut, then drop what is unused."""
        self._require_usable(graph)
        fired: List[Firing] = []
        refused: List[Refusal] = []
        for tensor in graph.interface.inputs:
            node = graph.node(tensor.node)
            if node.op in ("Placeholder", "PlaceholderV2"):
                continue
            reason = _objection(graph, tensor)
            dtype = self._dtype(graph, tensor)
            if reason is None and not dtype:
                reason = "the graph does not tell its type; say it with type="
            if reason is not None:
                refused.append(Refusal(tensor.node, reason))
                continue
            placeholder = new_placeholder(tensor.node, dtype, self._shape(graph, tensor))
            graph.replace(tensor.node, [placeholder])
            fired.append(Firing((tensor.node,), (tensor.node,)))
        if fired:
            graph.forget_shapes()
        pruned = PruneUnused().apply(graph, target)
        return Report(self.name, (*fired, *pruned.fired), tuple(refused))

    def _require_usable(self, graph: GraphIndex) -> None:
        known = [tensor.node for tensor in graph.interface.inputs]
        for name in self.names:
            if name not in known:
                raise invalid_option(self, "name", name, "the model's inputs are " + (", ".join(known) or "none"))
        for option, values in (("type_for_name", self.type_for_name), ("shape_for_name", self.shape_for_name)):
            if values and len(values) != len(self.names):
                why = "give one for every name, which are {}".format(len(self.names))
                raise invalid_option(self, option, values[-1], why)
        for option, types in (("type", (self.type,) if self.type else ()), ("type_for_name", self.type_for_name)):
            for text in types:
                self._type_number(option, text)
        for option, shapes in (("shape", (self.shape,) if self.shape else ()), ("shape_for_name", self.shape_for_name)):
            for text in shapes:
                self._sizes(option, text)

    def _dtype(self, graph: GraphIndex, tensor: Tensor) -> int:
        if tensor.node in self.names and self.type_for_name:
            return self._type_number("type_for_name", self.type_for_name[self.names.index(tensor.node)])
        return self._type_number("type", self.type) if self.type else graph.dtype(tensor)

    def _shape(self, graph: GraphIndex, tensor: Tensor) -> Optional[Tuple[int, ...]]:
        if tensor.node in self.names and self.shape_for_name:
            return self._sizes("shape_for_name", self.shape_for_name[self.names.index(tensor.node)])
        return graph.shape(tensor) if self.shape is None else self._sizes("shape", self.shape)

    def _type_number(self, option: str, text: str) -> int:
        name = text.lower()
        name = name[3:] if name.startswith("dt_") else name
        try:
            return tensors.data_type_named(_TYPES.get(name, name)).number
        except StepError as error:
            raise invalid_option(self, option, text, "give a type such as float, int32 or quint8") from error

    def _sizes(self, option: str, text: str) -> Tuple[int, ...]:
        try:
            return read_shape(text)
        except ValueError:
            raise invalid_option(self, option, text, "give sizes such as 1,299,299,3") from None


def _objection(graph: GraphIndex, tensor: Tensor) -> Optional[str]:
    """Why an input cannot become a Placeholder, which gives out one tensor."""
    if tensor.output:
        return "the input {} is not its node's first output".format(tensor)
    if any(output.node == tensor.node for output in graph.interface.outputs):
        return "it is an output of the model as well"
    for reader in graph.consumers(tensor.node):
        if any(read.node == tensor.node and read.output for read in graph.data_inputs(reader)):
            return "more than its first output is read"
    return None
