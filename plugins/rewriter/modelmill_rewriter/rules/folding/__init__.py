"""Constants into the weights of what they scale, shift or feed; several operations into one."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.folding.flatten_atrous_conv import FlattenAtrousConv
from modelmill_rewriter.rules.folding.fold_additions import FoldAdditions
from modelmill_rewriter.rules.folding.fold_batch_norms import FoldBatchNorms
from modelmill_rewriter.rules.folding.fold_constants import FoldConstants
from modelmill_rewriter.rules.folding.fold_multiplications import FoldMultiplications
from modelmill_rewriter.rules.folding.fold_old_batch_norms import FoldOldBatchNorms
from modelmill_rewriter.rules.folding.fold_paddings import FoldPaddings
from modelmill_rewriter.rules.folding.fuse_pad_and_conv import FusePadAndConv
from modelmill_rewriter.rules.folding.fuse_resize_and_conv import FuseResizeAndConv
from modelmill_rewriter.rules.folding.fuse_resize_pad_and_conv import FuseResizePadAndConv
from modelmill_rewriter.rules.folding.merge_duplicate_nodes import MergeDuplicateNodes
from modelmill_rewriter.rules.folding.restore_dilations import RestoreDilations
from modelmill_rewriter.rules.folding.sparsify_gather import SparsifyGather

PASSES: Tuple[Pass, ...] = (
    FlattenAtrousConv(),
    FoldAdditions(),
    FoldBatchNorms(),
    FoldConstants(),
    FoldMultiplications(),
    FoldOldBatchNorms(),
    FoldPaddings(),
    FusePadAndConv(),
    FuseResizeAndConv(),
    FuseResizePadAndConv(),
    MergeDuplicateNodes(),
    RestoreDilations(),
    SparsifyGather(),
)

__all__ = ["PASSES"]
