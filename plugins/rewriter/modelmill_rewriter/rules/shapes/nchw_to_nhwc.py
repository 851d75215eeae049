"""Networks over images with the channels first (NCHW), to the same over images with the channels last (NHWC).

    y = conv(x, w, NCHW)  ->  y = transpose(conv(transpose(x, [0, 2, 3, 1]), w, NHWC), [0, 3, 1, 2])

and so for depthwise and transposed convolutions, pooling, batch normalisation, BiasAdd, DepthToSpace and SpaceToDepth,
which do the same in either order. Two transpositions in a row undo each other, and what works element by element, pads,
joins, parts, cuts or reduces images does so in any order once its constants and axes are in that order:

    f(transpose(x, p), transpose(z, p))  ->  transpose(f(x, z), p)

so that between the model's inputs and what no longer is an image (a mean over height and width, a flattened row) no
transposition is left. A flattened image that a product with constant weights reads stays as it lies, and the rows of
the weights are put in its order, which changes nothing but the order in which products are summed.

A network whose operations say NHWC already, with Transposes around each (as converters from ONNX write it), becomes one
without by the same algebra, where that leaves fewer of them.

The model's inputs and outputs keep their shapes, by a Transpose each, unless the options say otherwise. TensorFlow's
CPU kernels know NHWC alone, but for those of oneDNN. Of a small residual network its TFLite converters to 2.4 make
nothing, and those from 2.8 on 23 operators with 5 TRANSPOSE among them, which are 13 with one in this form.
TensorFlow.js takes strides and dilations from where NHWC has them, whatever the node says.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules.shapes._about_layout_plan import Plan
from modelmill_rewriter.rules.shapes._about_layout_writing import Writer
from modelmill_rewriter.rules_api import GraphIndex, Pass, Report, Target, argument


@dataclass(frozen=True)
class NchwToNhwc(Pass):
    """Channels last instead of channels first."""

    name: ClassVar[str] = "nchw_to_nhwc"
    summary: ClassVar[str] = "Lets a network over NCHW images work on NHWC images, with no Transpose inside it."

    inputs: bool = argument(False, "Let the model's inputs take NHWC images as well.")
    outputs: bool = argument(False, "Let the model's outputs give NHWC images as well.")

    @property
    def changes_interface(self) -> bool:  # type: ignore[override]
        """Only where an option asks for it."""
        return self.inputs or self.outputs

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Plan what each node becomes, then change them all."""
        del target
        plan = Plan(graph, self.inputs)
        if not plan.written_for_images and not plan.saves_transposes():
            return Report(self.name, refused=tuple(plan.refused))
        return Writer(graph, plan, self.outputs).report(self.name)
