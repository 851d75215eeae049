"""The sizes and the layout of what flows through a graph."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.shapes.cut_front_end import CutFrontEnd

PASSES: Tuple[Pass, ...] = (CutFrontEnd(),)

__all__ = ["PASSES"]
