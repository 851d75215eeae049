"""Partitioned variables in a graph without savers: what each part is of the whole that the checkpoint holds.

tf.variable_axis_size_partitioner and its kin make variables "name/part_0", "name/part_1", ... that are cut along one
axis; a Saver writes them as one tensor, "name" (tensorflow/python/ops/variable_scope.py, _get_partitioned_variable).
"""

import re
from typing import Dict, List, Optional, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import GraphDef

_PART = re.compile(r"^(?P<whole>.+)/part_(?P<number>\d+)$")


class Partitions:
    """The partitioned variables of one graph."""

    def __init__(self, graph: GraphDef) -> None:
        self._shapes: Dict[str, Dict[int, Tuple[int, ...]]] = {}
        for node in graph.node:
            match = _PART.match(node.name)
            shape = tensors.decode_shape(node.attr["shape"].shape) if "shape" in node.attr else None
            if match and node.op in graph_def.VARIABLES and shape is not None:
                self._shapes.setdefault(match.group("whole"), {})[int(match.group("number"))] = shape

    def key_of(self, variable: str) -> Optional[str]:
        """The whole's key for a part of which the graph has all fellows; None elsewhere."""
        match = _PART.match(variable)
        shapes = self._shapes.get(match.group("whole"), {}) if match else {}
        return match.group("whole") if match and shapes and set(shapes) == set(range(len(shapes))) else None

    def cut(self, variable: str, whole: np.ndarray) -> np.ndarray:
        """A part's share of the whole; all of the whole where the parts do not make it up along any axis."""
        match = _PART.match(variable)
        assert match is not None, "key_of() comes first"
        by_number = self._shapes[match.group("whole")]
        shapes = [by_number[number] for number in sorted(by_number)]
        axis = _axis(shapes, whole.shape)
        if axis is None:
            return whole
        number = int(match.group("number"))
        start = sum(shape[axis] for shape in shapes[:number])
        return whole[(slice(None),) * axis + (slice(start, start + shapes[number][axis]),)]


def _axis(shapes: List[Tuple[int, ...]], whole: Tuple[int, ...]) -> Optional[int]:
    """The axis along which the parts lie one behind the other."""
    if any(len(shape) != len(whole) for shape in shapes):
        return None
    for axis in range(len(whole)):
        others = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
        if others == {whole[:axis] + whole[axis + 1 :]} and sum(shape[axis] for shape in shapes) == whole[axis]:
            return axis
    return None
