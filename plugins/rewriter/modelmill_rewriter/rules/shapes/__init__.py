"""The sizes and the layout of what flows through a graph."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.shapes.nchw_to_nhwc import NchwToNhwc

PASSES: Tuple[Pass, ...] = (NchwToNhwc(),)

__all__ = ["PASSES"]
