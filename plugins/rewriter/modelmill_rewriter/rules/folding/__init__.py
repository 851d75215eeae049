"""Constants into the weights of what they scale, shift or feed; several operations into one."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.folding.fold_additions import FoldAdditions
from modelmill_rewriter.rules.folding.fold_batch_norms import FoldBatchNorms
from modelmill_rewriter.rules.folding.fold_constants import FoldConstants
from modelmill_rewriter.rules.folding.fold_multiplications import FoldMultiplications
from modelmill_rewriter.rules.folding.fold_old_batch_norms import FoldOldBatchNorms
from modelmill_rewriter.rules.folding.merge_duplicate_nodes import MergeDuplicateNodes
from modelmill_rewriter.rules.folding.sparsify_gather import SparsifyGather

PASSES: Tuple[Pass, ...] = (
    FoldAdditions(),
    FoldBatchNorms(),
    FoldConstants(),
    FoldMultiplications(),
    FoldOldBatchNorms(),
    MergeDuplicateNodes(),
    SparsifyGather(),
)

__all__ = ["PASSES"]
