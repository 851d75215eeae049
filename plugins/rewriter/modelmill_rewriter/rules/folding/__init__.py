"""Constants into the weights of what they scale, shift or feed; several operations into one."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.folding.fold_constants import FoldConstants
from modelmill_rewriter.rules.folding.merge_duplicate_nodes import MergeDuplicateNodes
from modelmill_rewriter.rules.folding.sparsify_gather import SparsifyGather

PASSES: Tuple[Pass, ...] = (
    FoldConstants(),
    MergeDuplicateNodes(),
    SparsifyGather(),
)

__all__ = ["PASSES"]
