"""The values of a graph's variables: where they lie in a checkpoint, and whether they fit."""

import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_freezer._nearest_names import nearest_names
from modelmill_freezer._partitions import Partitions

#: How many missing variables an error names.
_NAMED = 5

#: Saving operations and the inputs at which names, slices and tensors start.
_SAVERS = {"SaveV2": (1, 2, 3), "SaveSlices": (1, 2, 3), "Save": (1, None, 2)}
_PASSING_ON = ("Identity", "ReadVariableOp", "Switch", "RefSwitch")


@dataclass(frozen=True)
class Place:
    """Where a checkpoint keeps a variable: under a key, whole or as a slice of what lies there.

    slice_spec: "10 4 0,5:0,4" means from a [10, 4] tensor, 5 rows from 0 on, 4 columns from 0 on; "-" is all of a
        dimension; empty means all (tensorflow/core/framework/tensor_slice.h).
    part: a partition's variable, where its fellows tell which slice is its own.
    """

    key: str
    slice_spec: str = ""
    part: str = ""


class VariableReader:
    """Reads the variables of one graph from a mapping of checkpoint keys to arrays.

    A graph that was written with its savers says under which key each variable was saved; that covers partitioned
    variables and moving averages. Elsewhere the key is the variable's own name, or that of the whole of which it is a
    part.
    """

    def __init__(self, graph: GraphDef, values: Mapping[str, np.ndarray], shadows: Mapping[str, str]) -> None:
        """shadows: keys to read instead, by the names of variables."""
        self._values = values
        self._shadows = shadows
        self._places = _saved_places(graph)
        self._partitions = Partitions(graph)

    def read(self, node: NodeDef) -> np.ndarray:
        """The value of a variable that `check` found in the checkpoint. Raises StepError VARIABLE_MISMATCH."""
        place = self._find(node)
        assert place is not None, "check() comes first"
        value = np.asarray(self._values[place.key])
        value = self._partitions.cut(place.part, value) if place.part else _cut(value, place)
        shape = tensors.decode_shape(node.attr["shape"].shape) if "shape" in node.attr else None
        dtype = tensors.data_type(node.attr["dtype"].type).name
        found = tensors.data_type_of(value.dtype).name
        if not tensors.shapes_agree(shape, value.shape) or found != dtype:
            raise _mismatch(node.name, dtype, shape, found, value.shape)
        return value

    def check(self, variables: List[NodeDef]) -> None:
        """Raise StepError VARIABLE_NOT_IN_CHECKPOINT where one of them is not there."""
        missing = [node.name for node in variables if self._find(node) is None]
        if missing:
            raise _not_in_checkpoint(missing, list(self._values))

    def _find(self, node: NodeDef) -> Optional[Place]:
        if node.name in self._shadows:
            return Place(self._shadows[node.name])
        for place in self._places.get(node.name, []) + [Place(_own_key(node))]:
            if place.key in self._values:
                return place
        whole = self._partitions.key_of(node.name)
        return Place(whole, part=node.name) if whole is not None and whole in self._values else None


def _own_key(node: NodeDef) -> str:
    shared = node.attr["shared_name"].s.decode("utf-8") if "shared_name" in node.attr else ""
    return shared if shared and node.op == "VarHandleOp" else node.name


def _saved_places(graph: GraphDef) -> Dict[str, List[Place]]:
    """Where the graph's savers put each variable; nothing for one that several savers put into several places."""
    flow = Dataflow(graph)
    places: Dict[str, List[Place]] = {}
    for node in graph.node:
        for variable, place in _places_of_saver(flow, node):
            if place not in places.setdefault(variable, []):
                places[variable].append(place)
    return {variable: found for variable, found in places.items() if len(found) == 1}


def _places_of_saver(flow: Dataflow, node: NodeDef) -> List[Tuple[str, Place]]:
    if node.op not in _SAVERS:
        return []
    names_at, slices_at, tensors_at = _SAVERS[node.op]
    feeders = flow.feeders[node.name]
    names = _strings(flow.nodes[feeders[names_at]])
    slices = _strings(flow.nodes[feeders[slices_at]]) if slices_at is not None else [""] * len(names)
    return [
        (_variable_behind(flow, feeder), Place(name, spec))
        for name, spec, feeder in zip(names, slices, feeders[tensors_at:])
    ]


def _strings(node: NodeDef) -> List[str]:
    if node.op != "Const":
        return []
    return [value.decode("utf-8") for value in graph_def.constant_value(node).ravel()]


def _variable_behind(flow: Dataflow, name: str) -> str:
    while flow.nodes[name].op in _PASSING_ON and flow.feeders[name]:
        name = flow.feeders[name][0]
    return name


def _cut(value: np.ndarray, place: Place) -> np.ndarray:
    if not place.slice_spec:
        return value
    extents = place.slice_spec.split(" ")[-1].split(":")
    full = tuple(int(size) for size in place.slice_spec.split(" ")[:-1])
    if value.shape != full or len(extents) != len(full):
        return value
    return value[tuple(_extent(extent) for extent in extents)]


def _extent(text: str) -> slice:
    match = re.match(r"^(\d+),(\d+)$", text)
    return slice(int(match.group(1)), int(match.group(1)) + int(match.group(2))) if match else slice(None)


def _not_in_checkpoint(missing: List[str], keys: List[str]) -> StepError:
    nearest = nearest_names(missing[0], keys) or sorted(keys)[:_NAMED]
    more = " and {} more".format(len(missing) - _NAMED) if len(missing) > _NAMED else ""
    return StepError(
        "VARIABLE_NOT_IN_CHECKPOINT",
        "The checkpoint has no value for {}{}. Names in it that are like the first: {}. "
        "Do the graph and the checkpoint belong together?".format(
            ", ".join(missing[:_NAMED]), more, ", ".join(nearest) or "none"
        ),
        {"missing": missing, "nearest": nearest},
    )


def _mismatch(
    name: str, dtype: str, shape: Optional[Tuple[int, ...]], found_dtype: str, found_shape: Tuple[int, ...]
) -> StepError:
    wanted = "{} {}".format(dtype, "any shape" if shape is None else list(shape))
    found = "{} {}".format(found_dtype, list(found_shape))
    return StepError(
        "VARIABLE_MISMATCH",
        "The variable {} is {} in the graph but {} in the checkpoint. "
        "Do the graph and the checkpoint belong together?".format(name, wanted, found),
        {"variable": name, "graph": wanted, "checkpoint": found},
    )
