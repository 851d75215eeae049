"""All that the freezer asks of TensorFlow: a checkpoint's values, and the shapes that a graph implies."""

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np
from modelmill_worker import graph_def, installed_tensorflow, op_versions, tensors, weights_beside
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.old_checkpoints import is_refused, restore
from modelmill_worker.signature import Tensor

from modelmill_freezer._functions import Library


class CheckpointValues(Mapping):  # type: ignore[type-arg]
    """A checkpoint's keys and arrays, each read when it is asked for; no graph and no session.

    Raises StepError CHECKPOINT_UNREADABLE, when it is made or when a value is read.
    """

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        try:
            self._reader = installed_tensorflow.v1().train.NewCheckpointReader(str(prefix))
            self._shapes: Dict[str, Sequence[int]] = self._reader.get_variable_to_shape_map()
        except Exception as error:
            raise self._unreadable(error) from error

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._shapes:
            raise KeyError(key)
        try:
            return np.asarray(self._get(key))
        except Exception as error:
            raise self._unreadable(error) from error

    def _get(self, key: str) -> Any:
        try:
            return self._reader.get_tensor(key)
        except Exception as error:
            if not is_refused(error):
                raise
            dtype = self._reader.get_variable_to_dtype_map()[key]
            return restore(self._prefix, key, dtype.as_datatype_enum)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __contains__(self, key: object) -> bool:
        return key in self._shapes

    def _unreadable(self, error: Exception) -> StepError:
        """TensorFlow raises anything from OpError to RuntimeError here, by version."""
        name = self._prefix.name
        what = str(error).replace(str(self._prefix), name)
        return StepError(
            "CHECKPOINT_UNREADABLE",
            "TensorFlow cannot read the checkpoint {}: {}. Is it whole? Copy or save it again.".format(
                name, what.split("\n", 1)[0].rstrip(".")
            ),
            {"checkpoint": name, "error": what},
        )


def definition(operation: str) -> Optional[Any]:
    """An operation's OpDef; None where this TensorFlow does not know it."""
    registry: Any = importlib.import_module("tensorflow.python.framework.op_def_registry")
    importlib.import_module("tensorflow")  # which registers the operations
    if hasattr(registry, "get"):
        return registry.get(operation)
    return registry.get_registered_ops().get(operation)


def library_of(graph: GraphDef) -> Library:
    """The functions of a graph, with this TensorFlow's definitions of operations."""
    return Library(graph, definition)


def infer_outputs(graph: GraphDef, outputs: Sequence[Tensor]) -> Tuple[Tuple[Tensor, ...], Tuple[str, ...]]:
    """The outputs with the types and shapes that TensorFlow infers, or as they are, and notes on how that went.

    A graph may hold operations that only a converter knows, or attributes that only a newer TensorFlow knows; that
    does not spoil it. What this TensorFlow does not know and what has its default is left out here, and stays in the
    graph. import_graph_def of TensorFlow 1 writes into what it is given, so it is given a copy,
    and one without weights.
    """
    tf = installed_tensorflow.v1()
    copy = weights_beside.without_weights(graph)
    notes = _leave_out_defaults(copy)
    with tf.Graph().as_default() as imported:
        try:
            tf.import_graph_def(copy, name="")
        except (ValueError, TypeError, tf.errors.OpError) as error:
            reason = str(error).split("\n", 1)[0]
            return tuple(outputs), ("Shapes of the outputs were not inferred: {}".format(reason),)
        return tuple(_inferred(imported, tensor) for tensor in outputs), notes


def _leave_out_defaults(graph: GraphDef) -> Tuple[str, ...]:
    import tensorflow

    version = op_versions.minor_version(tensorflow.__version__)
    dropped = op_versions.drop_default_attributes(graph, version)
    if not dropped:
        return ()
    return (
        "Shapes of the outputs were inferred without {}, which TensorFlow {} does not know; "
        "they have their defaults.".format(", ".join(sorted(dropped)), version),
    )


def _inferred(imported: Any, tensor: Tensor) -> Tensor:
    try:
        found = imported.get_tensor_by_name(tensor.tensor)
    except KeyError as error:
        raise StepError(
            "OUTPUT_NOT_FOUND",
            "{} has no such output: {}".format(graph_def.node_name(tensor.tensor), tensor.tensor),
            {"name": tensor.tensor, "nearest": [graph_def.node_name(tensor.tensor)]},
        ) from error
    shape = tensors.decode_shape(found.shape.as_proto())
    dtype = tensors.data_type(found.dtype.base_dtype.as_datatype_enum).name
    return replace(tensor, dtype=dtype, shape=shape)
