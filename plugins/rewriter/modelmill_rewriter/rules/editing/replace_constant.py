"""Another value for a constant, from a .npy file.

    Const(old) -> Const(new)

of the same shape and of a type that the constant's holds without loss.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Optional

import numpy as np
from modelmill_worker import graph_def, tensors

from modelmill_rewriter.rules.editing._named import impossible, named_node
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target, argument


@dataclass(frozen=True)
class ReplaceConstant(Pass):
    """Gives a Const the value that a file has."""

    name: ClassVar[str] = "replace_constant"
    summary: ClassVar[str] = "Gives a constant the value of a .npy file: node=dense/kernel, value=kernel.npy."

    node: str = argument("", "The constant's name.")
    value: Optional[Path] = argument(None, "A .npy file beside the edits.")  # noqa: RUF009

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Read the file, and put its array in the constant's place."""
        del target
        name = named_node(graph, self.name, self.node)
        node = graph.node(name)
        if node.op != "Const":
            raise impossible(self.name, "{} is a {} and no constant".format(name, node.op), node=name)
        if self.value is None:
            raise impossible(self.name, "say with value= which file has the new value")
        array = self._array(self.value)
        held = tensors.data_type(node.attr["dtype"].type)
        shape = tensors.decode_shape(node.attr["value"].tensor.tensor_shape)
        if array.shape != shape:
            raise impossible(
                self.name,
                "{} has the shape {} and {} has {}".format(name, list(shape or ()), self.value.name, list(array.shape)),
                node=name,
            )
        if held.storage is None or not np.can_cast(array.dtype, _holding(held), "same_kind"):
            raise impossible(
                self.name,
                "{} holds {} and {} has {}".format(name, held.name, self.value.name, array.dtype.name),
                node=name,
            )
        made = graph_def.new_constant(name, array.astype(_holding(held)), held)
        graph.edit(name).attr["value"].ParseFromString(made.attr["value"].SerializeToString())
        if graph_def.BESIDE in node.attr:
            del node.attr[graph_def.BESIDE]
        return Report(self.name, (Firing((name,), (name,)),))

    def _array(self, path: Path) -> np.ndarray:
        try:
            return np.asarray(np.load(str(path), allow_pickle=False))
        except (ValueError, OSError, EOFError) as error:
            raise impossible(
                self.name, "{} cannot be read as a .npy file ({})".format(path.name, error), file=path.name
            ) from error


def _holding(held: tensors.DataType) -> np.dtype:
    """NumPy's type for arrays of a constant's; bfloat16 is given as float32."""
    return np.dtype("float32" if held.name == "bfloat16" else held.storage)
