"""The sizes and the layout of what flows through a graph."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.shapes.nchw_to_nhwc import NchwToNhwc
from modelmill_rewriter.rules.shapes.split_grouped_convolutions import SplitGroupedConvolutions

PASSES: Tuple[Pass, ...] = (NchwToNhwc(), SplitGroupedConvolutions())

__all__ = ["PASSES"]
