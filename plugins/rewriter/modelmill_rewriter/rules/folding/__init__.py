"""Constants into the weights of what they scale, shift or feed; several operations into one."""

from typing import Tuple

from modelmill_rewriter._pass import Pass

PASSES: Tuple[Pass, ...] = ()

__all__ = ["PASSES"]
