"""The sizes and the layout of what flows through a graph."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.shapes.cut_front_end import CutFrontEnd
from modelmill_rewriter.rules.shapes.fix_input_shapes import FixInputShapes
from modelmill_rewriter.rules.shapes.nchw_to_nhwc import NchwToNhwc
from modelmill_rewriter.rules.shapes.remove_reshapes import RemoveReshapes
from modelmill_rewriter.rules.shapes.remove_transposes import RemoveTransposes
from modelmill_rewriter.rules.shapes.split_grouped_convolutions import SplitGroupedConvolutions

PASSES: Tuple[Pass, ...] = (
    CutFrontEnd(),
    FixInputShapes(),
    NchwToNhwc(),
    RemoveReshapes(),
    RemoveTransposes(),
    SplitGroupedConvolutions(),
)

__all__ = ["PASSES"]
