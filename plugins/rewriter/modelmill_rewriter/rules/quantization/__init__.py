"""Ranges and FakeQuant nodes, and weights in fewer bits."""

from typing import Tuple

from modelmill_rewriter._pass import Pass

PASSES: Tuple[Pass, ...] = ()

__all__ = ["PASSES"]
