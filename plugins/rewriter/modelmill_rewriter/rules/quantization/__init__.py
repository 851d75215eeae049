"""Ranges and FakeQuant nodes, and weights in fewer bits."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.quantization.freeze_requantization_ranges import FreezeRequantizationRanges
from modelmill_rewriter.rules.quantization.fuse_activations_behind_fake_quant import FuseActivationsBehindFakeQuant
from modelmill_rewriter.rules.quantization.quantize_nodes import QuantizeNodes
from modelmill_rewriter.rules.quantization.quantize_weights import QuantizeWeights
from modelmill_rewriter.rules.quantization.repair_min_max import RepairMinMax
from modelmill_rewriter.rules.quantization.round_weights import RoundWeights

PASSES: Tuple[Pass, ...] = (
    FreezeRequantizationRanges(),
    FuseActivationsBehindFakeQuant(),
    QuantizeNodes(),
    QuantizeWeights(),
    RepairMinMax(),
    RoundWeights(),
)

__all__ = ["PASSES"]
