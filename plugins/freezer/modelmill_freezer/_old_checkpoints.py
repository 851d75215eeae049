"""Reads what TensorFlow's checkpoint reader refuses in a checkpoint of format V1: slices, and some data types.

The operation RestoreV2 reads both formats, puts the slices of partitioned variables together and knows more types.
It is run in a graph of its own: nothing of the model is.
"""

from pathlib import Path
from typing import Any

import numpy as np
from modelmill_worker import graph_def, installed_tensorflow

_NAME = "value"


#: What the reader says (tensorflow/core/util/tensor_slice_reader.cc, GetTensor).
_REFUSALS = ("Sliced checkpoints are not supported", "Data type not supported")


def is_refused(error: Exception) -> bool:
    """Whether TensorFlow's reader failed at a tensor that it could read no better if it were whole."""
    return any(refusal in str(error) for refusal in _REFUSALS)


def restore(prefix: Path, key: str, dtype: int) -> np.ndarray:
    """The whole tensor. dtype: its number in types.proto. Raises what TensorFlow raises for a damaged checkpoint."""
    v1: Any = installed_tensorflow.v1()
    graph = graph_def.new_graph()
    restored = graph_def.new_node(_NAME, "RestoreV2", ("prefix", "keys", "slices"))
    restored.attr["dtypes"].list.type.append(dtype)
    graph.node.extend(
        (
            graph_def.new_constant("prefix", np.array(str(prefix), dtype=object)),
            graph_def.new_constant("keys", np.array([key], dtype=object)),
            graph_def.new_constant("slices", np.array([""], dtype=object)),  # All of it.
            restored,
        )
    )
    with v1.Graph().as_default() as imported, v1.Session(graph=imported) as session:
        v1.import_graph_def(graph, name="")
        return np.asarray(session.run(_NAME + ":0"))
