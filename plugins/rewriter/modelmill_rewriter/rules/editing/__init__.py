"""Names, attributes, devices and order, as a user asks for them."""

from typing import Tuple

from modelmill_rewriter._pass import Pass

PASSES: Tuple[Pass, ...] = ()

__all__ = ["PASSES"]
