"""The graph and the signature of a SavedModel, read without TensorFlow.

TensorBoard does not ship saved_model.proto, but a SavedModel is only a version number and MetaGraphDefs
(tensorflow/core/protobuf/saved_model.proto: saved_model_schema_version = 1, meta_graphs = 2).
"""

from pathlib import Path
from typing import Any, List, Optional, Tuple

from modelmill_worker import graph_def, protobuf_wire, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.signature import Signature, Tensor

_META_GRAPHS = 2
_DEFAULT_SIGNATURE = "serving_default"
#: Where TensorFlow 2 keeps its initialisation; nobody calls it.
_INTERNAL_SIGNATURE = "__saved_model_init_op"


def read_graph(path: Path) -> Tuple[GraphDef, Optional[Signature]]:
    """The graph of the first MetaGraphDef, and its serving signature where it has one.

    Raises StepError GRAPH_DEF_DAMAGED.
    """
    data = path.read_bytes()
    fields = protobuf_wire.read_fields(data, 0, len(data))
    first = next(field for field in fields if field.number == _META_GRAPHS)
    meta_graph = graph_def.parse_meta_graph(data[first.start : first.end], path.name)
    return meta_graph.graph_def, _choose_signature(meta_graph)


def _choose_signature(meta_graph: Any) -> Optional[Signature]:
    """The signature that servers use by default, or the only other one."""
    by_key = {key: found for key, found in meta_graph.signature_def.items() if key != _INTERNAL_SIGNATURE}
    chosen = by_key.get(_DEFAULT_SIGNATURE) or (next(iter(by_key.values())) if len(by_key) == 1 else None)
    return Signature(_tensors(chosen.inputs), _tensors(chosen.outputs)) if chosen is not None else None


def _tensors(by_name: Any) -> Tuple[Tensor, ...]:
    return tuple(
        Tensor(name, info.name, tensors.data_type(info.dtype).name, tensors.decode_shape(info.tensor_shape))
        for name, info in sorted(by_name.items())
    )


def check_variables(folder: Path, file_names: List[str]) -> None:
    """Raise StepError CHECKPOINT_INCOMPLETE where a SavedModel has one half of its variables only."""
    variables = [name for name in file_names if name.startswith("variables/variables.")]
    index = [name for name in variables if name.endswith(".index")]
    data = [name for name in variables if ".data-" in name]
    if bool(index) != bool(data):
        missing = "variables/variables.index" if data else "variables/variables.data-00000-of-00001"
        raise StepError(
            "CHECKPOINT_INCOMPLETE",
            "The SavedModel {} lacks {}. Copy the whole folder.".format(folder.name, missing),
            {"missing": [missing]},
        )
