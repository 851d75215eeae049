"""A SavedModel's graph and signature, read as data, without TensorFlow.

TensorBoard does not ship saved_model.proto, but a SavedModel is only a version number and MetaGraphDefs
(tensorflow/core/protobuf/saved_model.proto: saved_model_schema_version = 1, meta_graphs = 2).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Tuple

from modelmill_worker import graph_def, protobuf_wire, tensors
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.signature import Signature, Tensor

_META_GRAPHS = 2
_DEFAULT_SIGNATURE = "serving_default"
#: Where TensorFlow keeps initialisation and training, which nobody calls to compute something.
_INTERNAL = "__saved_model_"
#: The tag of the MetaGraphDef that is there to be served.
_SERVED = ("serve",)


@dataclass(frozen=True)
class SavedModel:
    """One MetaGraphDef of a SavedModel: that to be served, else the first.

    tags: what a loader must ask for to get this MetaGraphDef.
    signature_key, signature: those that servers use by default, or the only other ones; None where there are none
        or several of them, none of which is the default.
    signature_keys: of all signatures, sorted.
    """

    graph: GraphDef
    tags: Tuple[str, ...]
    signature_key: Optional[str]
    signature: Optional[Signature]
    signature_keys: Tuple[str, ...]


def read(path: Path) -> SavedModel:
    """Read a ``saved_model.pb``. Raises StepError GRAPH_DEF_DAMAGED."""
    meta_graph = _choose_meta_graph(path)
    keys = tuple(
        sorted(
            key
            for key, described in meta_graph.signature_def.items()
            if described.outputs and not key.startswith(_INTERNAL)
        )
    )
    chosen = _choose(keys)
    return SavedModel(
        graph=meta_graph.graph_def,
        tags=tuple(meta_graph.meta_info_def.tags),
        signature_key=chosen,
        signature=None if chosen is None else _signature(meta_graph.signature_def[chosen]),
        signature_keys=keys,
    )


def _choose_meta_graph(path: Path) -> Any:
    data = path.read_bytes()
    first = None
    for field in protobuf_wire.read_fields(data, 0, len(data)):
        if field.number != _META_GRAPHS:
            continue
        meta_graph = graph_def.parse_meta_graph(data[field.start : field.end], path.name)
        if tuple(meta_graph.meta_info_def.tags) == _SERVED:
            return meta_graph
        first = meta_graph if first is None else first
    if first is None:
        raise graph_def.damaged(path.name, "it has no MetaGraphDef.")
    return first


def _choose(keys: Tuple[str, ...]) -> Optional[str]:
    if _DEFAULT_SIGNATURE in keys:
        return _DEFAULT_SIGNATURE
    return keys[0] if len(keys) == 1 else None


def _signature(signature_def: Any) -> Signature:
    return Signature(_tensors(signature_def.inputs), _tensors(signature_def.outputs))


def _tensors(by_name: Any) -> Tuple[Tensor, ...]:
    return tuple(
        Tensor(name, info.name, tensors.data_type(info.dtype).name, tensors.decode_shape(info.tensor_shape))
        for name, info in sorted(by_name.items())
    )
