"""The sizes and the layout of what flows through a graph."""

from typing import Tuple

from modelmill_rewriter._pass import Pass

PASSES: Tuple[Pass, ...] = ()

__all__ = ["PASSES"]
