"""Ranges and FakeQuant nodes, and weights in fewer bits."""

from typing import Tuple

from modelmill_rewriter._pass import Pass
from modelmill_rewriter.rules.quantization.fuse_activations_behind_fake_quant import FuseActivationsBehindFakeQuant

PASSES: Tuple[Pass, ...] = (FuseActivationsBehindFakeQuant(),)

__all__ = ["PASSES"]
