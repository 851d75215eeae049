"""Constants into the weights of what they scale, shift or feed; several operations into one."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.folding.fold_constants import FoldConstants
from modelmill_rewriter.rules.folding.merge_duplicate_nodes import MergeDuplicateNodes

PASSES: Tuple[Pass, ...] = (
    FoldConstants(),
    MergeDuplicateNodes(),
)

__all__ = ["PASSES"]
