"""A SavedModel's graph and signatures, read as data, without TensorFlow, binary or in text.

Whoever describes, samples, runs or converts a SavedModel takes its graph and signature from here, so that all of them
mean the same part of it.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

from google.protobuf import descriptor_pb2, message_factory, symbol_database

from modelmill_worker import graph_def, graph_outline, source_files, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.file_formats import FileFormat
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.plugin_api import Tree
from modelmill_worker.signature import Signature, Tensor

#: The formats of the one file that makes a folder a SavedModel.
FORMATS = (FileFormat.SAVED_MODEL, FileFormat.SAVED_MODEL_TEXT)

_DEFAULT_SIGNATURE = "serving_default"
#: Where TensorFlow keeps initialisation and training, which nobody calls to compute something.
_INTERNAL = "__saved_model_"
#: The tag of the MetaGraphDef that is there to be served.
_SERVED = ("serve",)


@dataclass(frozen=True)
class SavedModel:
    """One MetaGraphDef of a SavedModel, and one of its signatures.

    tags: what a loader must ask for to get this MetaGraphDef.
    signature_key, signature: "" and None where there are none or several of them, none of which is the default.
    signature_keys: of all signatures, sorted.
    """

    meta_graph: Any
    tags: Tuple[str, ...]
    signature_key: str
    signature: Optional[Signature]
    signature_keys: Tuple[str, ...]

    @property
    def graph(self) -> GraphDef:
        """Its GraphDef with the functions, and without the variables' values."""
        return self.meta_graph.graph_def

    def signature_of(self, key: str) -> Signature:
        """The signature of one of the keys."""
        return _signature(self.meta_graph.signature_def[key])

    def called(self) -> Signature:
        """The signature to call. Raises StepError SIGNATURE_NOT_FOUND where none could be chosen."""
        if self.signature is None:
            raise _no_signature(self.signature_key, self.signature_keys)
        return self.signature


def find(tree: Tree) -> Path:
    """The ``saved_model.pb`` or ``saved_model.pbtxt`` of a tree, at whatever depth.

    Raises StepError SAVED_MODEL_MISSING.
    """
    found = source_files.of_formats(source_files.survey(tree), *FORMATS)
    if len(found) == 1:
        return found[0].path
    raise StepError(
        "SAVED_MODEL_MISSING",
        "There is {} saved_model.pb among the files. Give the folder of one SavedModel.".format(
            "no" if not found else "more than one"
        ),
        {"files": list(tree.files)},
    )


def read(path: Path, signature_key: str = "", tags: Sequence[str] = (), outline: bool = False) -> SavedModel:
    """Read the file that `find` finds.

    signature_key: "" for ``serving_default``, else the only one that has outputs.
    tags: those of the MetaGraphDef; none for that tagged ``serve``, else the first.
    outline: leave the content of large constants out, see `graph_outline`.

    Raises StepError GRAPH_DEF_DAMAGED, TAGS_NOT_FOUND or, where a key is given, SIGNATURE_NOT_FOUND.
    """
    meta_graph = _choose_meta_graph(meta_graphs(path, outline), path.name, tags)
    described = meta_graph.signature_def
    keys = tuple(sorted(key for key in described if described[key].outputs and not key.startswith(_INTERNAL)))
    if signature_key and signature_key not in keys:
        raise _no_signature(signature_key, keys)
    chosen = signature_key or _choose(keys)
    return SavedModel(
        meta_graph=meta_graph,
        tags=tuple(meta_graph.meta_info_def.tags),
        signature_key=chosen,
        signature=_signature(described[chosen]) if chosen else None,
        signature_keys=keys,
    )


def meta_graphs(path: Path, outline: bool = False) -> Sequence[Any]:
    """All MetaGraphDefs of the file, for whoever must not miss one. Raises StepError GRAPH_DEF_DAMAGED."""
    content = graph_outline.content(path, "SavedModel") if outline else path.read_bytes()
    return list(graph_def.parse_into(new_message(), content, path.name).meta_graphs)


def new_message() -> Any:
    """An empty SavedModel message."""
    return _class_of(graph_def.meta_graph_class().DESCRIPTOR)()


@functools.lru_cache(maxsize=None)
def _class_of(meta_graph: Any) -> Any:
    """The class of SavedModel messages with this MetaGraphDef: TensorBoard does not ship saved_model.proto.

    tensorflow/core/protobuf/saved_model.proto: saved_model_schema_version = 1, meta_graphs = 2.
    """
    field = descriptor_pb2.FieldDescriptorProto
    package = "modelmill." + meta_graph.file.package
    file = descriptor_pb2.FileDescriptorProto(
        name=package + ".saved_model.proto", package=package, syntax="proto3", dependency=[meta_graph.file.name]
    )
    message = file.message_type.add(name="SavedModel")
    message.field.add(name="saved_model_schema_version", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    message.field.add(
        name="meta_graphs",
        number=2,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name="." + meta_graph.full_name,
    )
    pool = meta_graph.file.pool
    pool.AddSerializedFile(file.SerializeToString())
    described = pool.FindMessageTypeByName(package + ".SavedModel")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(described)
    # Before protobuf 4.22. A factory of our own would put another class in the place of MetaGraphDef's.
    return symbol_database.Default().GetPrototype(described)


def _choose_meta_graph(meta_graphs: Sequence[Any], file_name: str, tags: Sequence[str]) -> Any:
    if not meta_graphs:
        raise graph_def.damaged(file_name, "it has no MetaGraphDef.")
    known = [sorted(meta_graph.meta_info_def.tags) for meta_graph in meta_graphs]
    wanted = sorted(tags or _SERVED)
    if wanted in known:
        return meta_graphs[known.index(wanted)]
    if not tags:
        return meta_graphs[0]
    raise StepError(
        "TAGS_NOT_FOUND",
        "The SavedModel has no graph with the tags {}. Name one of these with the option tags: {}.".format(
            ", ".join(tags), "; ".join(", ".join(its) or "(none)" for its in known)
        ),
        {"tags": list(tags), "known": known},
    )


def _choose(keys: Tuple[str, ...]) -> str:
    if _DEFAULT_SIGNATURE in keys:
        return _DEFAULT_SIGNATURE
    return keys[0] if len(keys) == 1 else ""


def _no_signature(wanted: str, known: Tuple[str, ...]) -> StepError:
    return StepError(
        "SIGNATURE_NOT_FOUND",
        "The SavedModel has no signature {}. {}".format(
            wanted or _DEFAULT_SIGNATURE,
            "Name one of these with the option signature_key: {}.".format(", ".join(known))
            if known
            else "It has none at all: save it with signatures, which say what goes in and what comes out.",
        ),
        {"signature": wanted or _DEFAULT_SIGNATURE, "known": list(known)},
    )


def _signature(signature_def: Any) -> Signature:
    return Signature(_tensors(signature_def.inputs), _tensors(signature_def.outputs))


def _tensors(by_name: Any) -> Tuple[Tensor, ...]:
    return tuple(
        Tensor(name, info.name, tensors.data_type(info.dtype).name, tensors.decode_shape(info.tensor_shape))
        for name, info in sorted(by_name.items())
    )
