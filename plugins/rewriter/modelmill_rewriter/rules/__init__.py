"""The rules and passes that come with the rewriter: a file each, in a folder for each thing that they are about."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules import canonical, editing, folding, loops, quantization, removing, shapes, versions

PASSES: Tuple[Pass, ...] = (
    *canonical.PASSES,
    *editing.PASSES,
    *folding.PASSES,
    *loops.PASSES,
    *quantization.PASSES,
    *removing.PASSES,
    *shapes.PASSES,
    *versions.PASSES,
)

__all__ = ["PASSES"]
