"""Shapes of a graph's tensors, worked out from the nodes alone: no TensorFlow is needed, and nothing is run.

`infer` walks the graph once. Each family of operations has its rules in a module of its own; an operation without a
rule has outputs of unknown shape, which is never an error. Small integer tensors that shapes are computed with (the
way from Shape over StridedSlice and Pack to Reshape) are followed by value.
"""

from modelmill_worker.shapes.inference import Shapes, infer
from modelmill_worker.shapes.known import Known, Shape

__all__ = ["Known", "Shape", "Shapes", "infer"]
