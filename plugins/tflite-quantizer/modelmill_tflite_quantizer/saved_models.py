"""Reads which signatures a SavedModel has, without loading it."""

from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

from modelmill_worker import StepError, Tree
from modelmill_worker.signature import Signature, Tensor

from modelmill_tflite_quantizer.sources import SavedModel

_BINARY = "saved_model.pb"
_TEXT = "saved_model.pbtxt"

_SERVE = "serve"
_SERVING_DEFAULT = "serving_default"
#: Where TensorFlow 2 tells how to initialise a model; it is no signature of the user's.
_INITIALISER = "__saved_model_init_op"


def read(tree: Tree, key: str, tags: Sequence[str]) -> SavedModel:
    """The SavedModel in an artifact.

    key: the signature's; "" for ``serving_default``, else for the only one.
    tags: those of the MetaGraphDef; none for ``serve``, else for the only one.

    Raises StepError SAVED_MODEL_DAMAGED, TAGS_NOT_FOUND or SIGNATURE_NOT_FOUND.
    """
    file = _file(tree)
    graph = _meta_graph(_parse(file), tags)
    signatures = {name: one for name, one in graph.signature_def.items() if name != _INITIALISER and one.outputs}
    chosen = _choose_signature(sorted(signatures), key)
    found = signatures[chosen]
    return SavedModel(
        folder=file.parent,
        tags=tuple(sorted(graph.meta_info_def.tags)),
        key=chosen,
        functions=_INITIALISER in graph.signature_def,
        signature=Signature(_tensors(found.inputs), _tensors(found.outputs)),
    )


def graph_of(model: SavedModel) -> Any:
    """The GraphDef of a SavedModel, with its functions and without its variables' values."""
    file = next(model.folder / name for name in (_BINARY, _TEXT) if (model.folder / name).exists())
    return _meta_graph(_parse(file), model.tags).graph_def


def _file(tree: Tree) -> Path:
    for name in tree.files:
        if Path(name).name in (_BINARY, _TEXT):
            return tree.path / name
    raise StepError("SAVED_MODEL_DAMAGED", "The SavedModel has no {}. Send its whole folder.".format(_BINARY))


def _parse(file: Path) -> Any:
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel()
    try:
        if file.name == _TEXT:
            text_format.Parse(file.read_text(encoding="utf-8"), message)
        else:
            message.ParseFromString(file.read_bytes())
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise StepError(
            "SAVED_MODEL_DAMAGED",
            "{} cannot be read: {}. Save the model again.".format(file.name, error),
            {"file": file.name},
        ) from error
    return message


def _meta_graph(message: Any, tags: Sequence[str]) -> Any:
    graphs = list(message.meta_graphs)
    known = [sorted(graph.meta_info_def.tags) for graph in graphs]
    for graph, its in zip(graphs, known):
        if its == sorted(tags or (_SERVE,)):
            return graph
    if not tags and len(graphs) == 1:
        return graphs[0]
    raise StepError(
        "TAGS_NOT_FOUND",
        "The SavedModel has no graph with the tags {}. Name one of these with the option tags: {}.".format(
            ", ".join(tags or (_SERVE,)), "; ".join(", ".join(its) or "(none)" for its in known)
        ),
        {"tags": list(tags), "known": known},
    )


def _choose_signature(known: List[str], key: str) -> str:
    wanted = key or (known[0] if len(known) == 1 else _SERVING_DEFAULT)
    if wanted in known:
        return wanted
    raise StepError(
        "SIGNATURE_NOT_FOUND",
        "The SavedModel has no signature {}. {}".format(
            wanted,
            "Name one of these with the option signature_key: {}.".format(", ".join(known))
            if known
            else "It has none at all: save it with signatures.",
        ),
        {"signature": wanted, "known": known},
    )


def _tensors(ends: Any) -> Tuple[Tensor, ...]:
    return tuple(_tensor(name, ends[name]) for name in sorted(ends))


def _tensor(name: str, info: Any) -> Tensor:
    return Tensor(name, info.name, _dtype(info.dtype), _shape(info.tensor_shape))


def _dtype(number: int) -> str:
    import tensorflow as tf

    name: str = tf.as_dtype(number).name
    return name


def _shape(message: Any) -> Optional[Tuple[int, ...]]:
    return None if message.unknown_rank else tuple(int(dim.size) for dim in message.dim)
