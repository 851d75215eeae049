"""Loops, and the arrays that they read and write step by step."""

from modelmill_rewriter.rules.loops.unpack_arrays import UnpackArrays
from modelmill_rewriter.rules.loops.unroll_loops import UnrollLoops

PASSES = (UnrollLoops(), UnpackArrays())

__all__ = ["PASSES"]
