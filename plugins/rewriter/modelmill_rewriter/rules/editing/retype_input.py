"""An input of another type, cast to what the model computes with.

    Placeholder(float32) -> Cast(Placeholder(uint8) to float32)

The model takes the values as they are: pixels from 0 to 255 where it was given those as floats before.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_worker import graph_def, tensors

from modelmill_rewriter.rules.editing._named import impossible, named_node
from modelmill_rewriter.rules_api import (
    Dtype,
    Firing,
    GraphIndex,
    Pass,
    Report,
    Target,
    Tensor,
    argument,
    set_attribute,
)

_NUMBERS = frozenset(
    ["float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool"]
)


@dataclass(frozen=True)
class RetypeInput(Pass):
    """Lets an input take another type."""

    name: ClassVar[str] = "retype_input"
    summary: ClassVar[str] = "Gives an input another type, and casts it: input=image, dtype=uint8."
    changes_interface: ClassVar[bool] = True

    input: str = argument("", "The Placeholder's name.")
    dtype: str = argument("", "The type that is to be fed, such as uint8.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Put a Cast behind the Placeholder."""
        del target
        name = named_node(graph, self.name, self.input)
        node = graph.node(name)
        if node.op not in ("Placeholder", "PlaceholderV2"):
            raise impossible(self.name, "{} is a {} and no Placeholder".format(name, node.op), node=name)
        before = tensors.data_type(node.attr["dtype"].type)
        if self.dtype not in _NUMBERS or before.name not in _NUMBERS:
            raise impossible(
                self.name,
                "{} cannot be cast to {}; give one of {}".format(
                    self.dtype or "nothing", before.name, ", ".join(sorted(_NUMBERS))
                ),
                node=name,
            )
        after = tensors.data_type_named(self.dtype)
        if after == before:
            return Report(self.name)
        cast = graph_def.new_node(graph.unused_name(name + "/Cast"), "Cast")
        set_attribute(cast, "SrcT", Dtype(after.number))
        set_attribute(cast, "DstT", Dtype(before.number))
        graph.add([cast], beside=name)
        graph.redirect_tensor(Tensor(name), Tensor(cast.name))
        graph.set_inputs(cast.name, [name])
        set_attribute(graph.edit(name), "dtype", Dtype(after.number))
        return Report(self.name, (Firing((name,), (name, cast.name)),))
