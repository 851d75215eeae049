"""One spelling for what graphs spell in many ways: the one that converters make a single operator of."""

from modelmill_rewriter.rules.canonical.gelu import Gelu
from modelmill_rewriter.rules.canonical.hard_sigmoid import HardSigmoid
from modelmill_rewriter.rules.canonical.hard_swish import HardSwish
from modelmill_rewriter.rules.canonical.l2_normalization import L2Normalization
from modelmill_rewriter.rules.canonical.layer_normalization import LayerNormalization
from modelmill_rewriter.rules.canonical.prelu import Prelu

PASSES = (Gelu(), HardSigmoid(), HardSwish(), L2Normalization(), LayerNormalization(), Prelu())

__all__ = ["PASSES"]
