"""Loops, unrolled or in another version's form."""

from typing import Tuple

from modelmill_rewriter._pass import Pass

PASSES: Tuple[Pass, ...] = ()

__all__ = ["PASSES"]
