"""One spelling for what graphs spell in many ways: the one that converters make a single operator of."""

from modelmill_rewriter.rules.canonical.prelu import Prelu

PASSES = (Prelu(),)

__all__ = ["PASSES"]
