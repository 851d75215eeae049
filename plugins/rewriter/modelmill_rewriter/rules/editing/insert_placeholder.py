"""A Placeholder in the place of a tensor: one more input of the model.

    f(x) -> f(Placeholder)

for a constant that is to be fed, or a value that a preprocessing step will compute elsewhere.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from modelmill_worker import tensors
from modelmill_worker.errors import StepError

from modelmill_rewriter.rules.editing._named import impossible, named_tensor
from modelmill_rewriter.rules.editing.cut_graph import new_placeholder
from modelmill_rewriter.rules.editing.set_attribute import read_shape
from modelmill_rewriter.rules_api import Firing, GraphIndex, Interface, Pass, Report, Target, Tensor, argument


@dataclass(frozen=True)
class InsertPlaceholder(Pass):
    """Lets who reads a tensor read a new input."""

    name: ClassVar[str] = "insert_placeholder"
    summary: ClassVar[str] = "Feeds a tensor: tensor=scale, name=scale_in, shape=1, dtype=float32."
    changes_interface: ClassVar[bool] = True

    tensor: str = argument("", "The tensor that is to be fed.")
    placeholder: str = argument("", "The new node's name; the tensor's with /fed where there is none.", name="name")
    dtype: str = argument("", "Its type; the tensor's where none is told.")
    shape: str = argument("", 'Its shape, such as "1,224,224,3"; the tensor\'s, as far as known, where none is told.')

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Add the node, and let it be read."""
        del target
        tensor = named_tensor(graph, self.name, self.tensor)
        name = self.placeholder or graph.unused_name(tensor.node + "/fed")
        if name in graph:
            raise impossible(self.name, "there is a node {!r} already; give another name".format(name), node=name)
        node = new_placeholder(name, self._dtype(graph, tensor), self._shape(graph, tensor))
        graph.add([node], beside=tensor.node)
        readers = graph.redirect_tensor(tensor, Tensor(name))
        if not readers:
            raise impossible(self.name, "nothing reads {}".format(tensor), tensor=str(tensor))
        gone = graph.remove_unused([tensor.node])
        graph.set_interface(Interface((*graph.interface.inputs, Tensor(name)), graph.interface.outputs))
        return Report(self.name, (Firing((*gone, *readers), (name, *readers)),))

    def _dtype(self, graph: GraphIndex, tensor: Tensor) -> int:
        try:
            number = tensors.data_type_named(self.dtype).number if self.dtype else graph.dtype(tensor)
        except StepError as error:
            raise impossible(self.name, error.message.rstrip("."), dtype=self.dtype) from error
        if not number:
            raise impossible(self.name, "the graph does not tell the type of {}; give dtype=".format(tensor))
        return number

    def _shape(self, graph: GraphIndex, tensor: Tensor) -> Optional[Tuple[int, ...]]:
        try:
            return read_shape(self.shape) if self.shape else graph.shape(tensor)
        except ValueError:
            raise impossible(self.name, "{!r} is no shape; write it as 1,224,224,3".format(self.shape)) from None
