"""What a file is, told from its content: a suffix is a promise that users often break.

The one exception is a checkpoint's ``.data-00000-of-00001``: raw tensors without any mark, told from its name.
"""

import enum
import json
import mmap
import re
import struct
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import List, Optional, Tuple

from modelmill_worker import protobuf_wire
from modelmill_worker.protobuf_wire import LENGTH_DELIMITED, VARINT, MalformedMessageError, TruncatedMessageError


class FileFormat(enum.Enum):
    """Formats that a TensorFlow user may hand in, by mistake or not; the value says it to people."""

    EMPTY = "an empty file"
    GRAPH_DEF = "a binary GraphDef"
    GRAPH_DEF_TEXT = "a text GraphDef"
    GRAPH_DEF_TRUNCATED = "a binary GraphDef that ends too early"
    META_GRAPH = "a binary MetaGraphDef"
    META_GRAPH_TEXT = "a text MetaGraphDef"
    SAVED_MODEL = "the saved_model.pb of a SavedModel"
    SAVED_MODEL_TEXT = "the saved_model.pbtxt of a SavedModel"
    CHECKPOINT_INDEX = "the index of a checkpoint"
    CHECKPOINT_DATA = "the tensors of a checkpoint"
    CHECKPOINT_V1 = "a checkpoint in the one-file format of before TensorFlow 0.12"
    CHECKPOINT_STATE = "TensorFlow's note of which checkpoint is the latest"
    HDF5 = "an HDF5 file, such as a Keras .h5"
    KERAS_ARCHIVE = "a .keras archive"
    NPZ = "an archive of NumPy arrays"
    NPY = "a NumPy array"
    ZIP = "a zip archive"
    TFLITE = "a TensorFlow Lite model"
    TFJS_GRAPH_MODEL = "the model.json of a TensorFlow.js graph model"
    TFJS_LAYERS_MODEL = "the model.json of a TensorFlow.js layers model"
    JSON = "a JSON file"
    GZIP = "a file packed with gzip"
    GIT_LFS_POINTER = "what Git LFS leaves in a large file's place"
    HTML = "a web page"
    TEXT = "a text file"
    UNKNOWN = "in no format that modelmill knows"


#: Those that hold one GraphDef.
GRAPH_FORMATS = (
    FileFormat.GRAPH_DEF,
    FileFormat.GRAPH_DEF_TEXT,
    FileFormat.META_GRAPH,
    FileFormat.META_GRAPH_TEXT,
)

#: The last eight bytes of an sstable, the format of a checkpoint's index (tensorflow/core/lib/io/format.h).
_SSTABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
#: Where a format's mark lies, and the mark.
_MAGICS = (
    (4, b"TFL3", FileFormat.TFLITE),
    (0, b"\x93NUMPY", FileFormat.NPY),
    (0, b"\x1f\x8b\x08", FileFormat.GZIP),
)
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_CHECKPOINT_DATA_NAME = re.compile(r"\.data-\d{5}-of-\d{5}$")
_OPERATION = re.compile(rb"[A-Za-z_][A-Za-z0-9_.>/\\-]*")

# The first thing said in a text message, where it is worth telling apart; comments and blanks come before it.
_TEXT_STARTS = (
    (re.compile(rb"(node|versions|library)\s*:?\s*[{<]|version\s*:"), FileFormat.GRAPH_DEF_TEXT),
    (re.compile(rb"(meta_info_def|graph_def|saver_def|collection_def)\s*:?\s*[{<]"), FileFormat.META_GRAPH_TEXT),
    (re.compile(rb"saved_model_schema_version\s*:|meta_graphs\s*:?\s*[{<]"), FileFormat.SAVED_MODEL_TEXT),
    (re.compile(rb"model_checkpoint_path\s*:"), FileFormat.CHECKPOINT_STATE),
    (re.compile(rb"version https://git-lfs"), FileFormat.GIT_LFS_POINTER),
    (re.compile(rb"<(!doctype\s+html|html)", re.IGNORECASE), FileFormat.HTML),
)
_TEXT_BLANKS = re.compile(rb"(\xef\xbb\xbf)?(\s+|#[^\n]*(\n|$))*")
#: Of GraphDef, MetaGraphDef and SavedModel.
_LARGEST_FIELD = 7
#: How much of a file is looked at to tell whether it is text.
_TEXT_PROBE = 4096


def recognise(path: Path) -> FileFormat:
    """What the file at `path` is; reads no more of it than it must."""
    if path.stat().st_size == 0:
        return FileFormat.EMPTY
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return recognise_bytes(data, path.name)  # type: ignore[arg-type]


def recognise_bytes(data: bytes, file_name: str = "") -> FileFormat:
    """What a file with this content is; `data` may be a memory map."""
    if len(data) == 0:
        return FileFormat.EMPTY
    if _CHECKPOINT_DATA_NAME.search(file_name):
        return FileFormat.CHECKPOINT_DATA
    for recogniser in (_by_magic, _by_text, _by_fields):
        found = recogniser(data)
        if found is not None:
            return found
    return FileFormat.UNKNOWN


def _by_magic(data: bytes) -> Optional[FileFormat]:
    if data[-8:] == _SSTABLE_MAGIC:
        return _kind_of_sstable(data)
    if data[:4] == b"PK\x03\x04":
        return _kind_of_zip(data)
    for offset, magic, found in _MAGICS:
        if data[offset : offset + len(magic)] == magic:
            return found
    # The superblock may come after a user block of 512 bytes or a power of two more.
    if any(data[offset : offset + 8] == _HDF5_MAGIC for offset in (0, 512, 1024, 2048)):
        return FileFormat.HDF5
    return None


def _kind_of_sstable(data: bytes) -> FileFormat:
    return FileFormat.CHECKPOINT_V1 if read_shard_count(data) is None else FileFormat.CHECKPOINT_INDEX


def read_shard_count(index: bytes) -> Optional[int]:
    """How many data files a checkpoint's index speaks of; None where it is the old one-file format.

    The first entry of either has an empty key. Its value is a BundleHeaderProto (field 1: number of shards) in an
    index and a SavedTensorSlices (field 1: a message) in the old format. An entry is three numbers (bytes of the key
    shared with the one before, other bytes of the key, bytes of the value), the key and the value.
    """
    try:
        shared, position = protobuf_wire.read_varint(index, 0, len(index))
        unshared, position = protobuf_wire.read_varint(index, position, len(index))
        length, position = protobuf_wire.read_varint(index, position, len(index))
        if shared or unshared or position + length > len(index):
            return None
        for field in protobuf_wire.read_fields(index, position, position + length):
            if field.number == 1 and field.wire_type == VARINT:
                return protobuf_wire.read_varint(index, field.start, field.end)[0]
    except MalformedMessageError:
        return None
    return None


def _kind_of_zip(data: bytes) -> FileFormat:
    stream = data if isinstance(data, mmap.mmap) else BytesIO(data)
    try:
        with zipfile.ZipFile(stream) as archive:  # type: ignore[arg-type]
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError):
        return FileFormat.ZIP  # its directory is damaged
    if "config.json" in names and "model.weights.h5" in names:
        return FileFormat.KERAS_ARCHIVE
    if names and all(name.endswith(".npy") for name in names):
        return FileFormat.NPZ
    return FileFormat.ZIP


def _by_text(data: bytes) -> Optional[FileFormat]:
    probe = data[:_TEXT_PROBE]
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in probe):
        return None
    start = _TEXT_BLANKS.match(data).end()  # type: ignore[union-attr]
    if data[start : start + 1] in (b"{", b"["):
        found = _kind_of_json(data)
        if found is not None:
            return found
    for pattern, found in _TEXT_STARTS:
        if pattern.match(data, start):
            return found
    return FileFormat.TEXT


def _kind_of_json(data: bytes) -> Optional[FileFormat]:
    try:
        content = json.loads(bytes(data).decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or "modelTopology" not in content:
        return FileFormat.JSON
    topology = content["modelTopology"]
    if content.get("format") == "graph-model" or (isinstance(topology, dict) and "node" in topology):
        return FileFormat.TFJS_GRAPH_MODEL
    return FileFormat.TFJS_LAYERS_MODEL


@dataclass(frozen=True)
class _Message:
    """The top-level fields of a message, as far as they could be read."""

    fields: Tuple[protobuf_wire.Field, ...]
    truncated: bool


def _by_fields(data: bytes) -> Optional[FileFormat]:
    try:
        message = _read_message(data, 0, len(data))
    except MalformedMessageError:
        return None
    if _is_graph_def(data, message):
        return FileFormat.GRAPH_DEF_TRUNCATED if message.truncated else FileFormat.GRAPH_DEF
    if message.truncated:
        return None
    if _is_meta_graph(data, message):
        return FileFormat.META_GRAPH
    if _is_saved_model(data, message):
        return FileFormat.SAVED_MODEL
    return None


def _read_message(data: bytes, start: int, end: int) -> _Message:
    fields: List[protobuf_wire.Field] = []
    try:
        for field in protobuf_wire.read_fields(data, start, end):
            if field.number > _LARGEST_FIELD:
                raise MalformedMessageError("none of our messages has a field {}".format(field.number))
            fields.append(field)
    except TruncatedMessageError:
        return _Message(tuple(fields), truncated=True)
    return _Message(tuple(fields), truncated=False)


def _is_graph_def(data: bytes, message: _Message) -> bool:
    """graph.proto: node = 1, library = 2, version = 3 (a number), versions = 4, debug_info = 5."""
    allowed = {(1, LENGTH_DELIMITED), (2, LENGTH_DELIMITED), (3, VARINT), (4, LENGTH_DELIMITED), (5, LENGTH_DELIMITED)}
    if any((field.number, field.wire_type) not in allowed for field in message.fields):
        return False
    nodes = [field for field in message.fields if field.number == 1]
    return bool(nodes) and all(_is_node(data, node) for node in (nodes[0], nodes[-1]))


def _is_node(data: bytes, field: protobuf_wire.Field) -> bool:
    """node_def.proto: name = 1, op = 2, input = 3, device = 4, attr = 5, debug info = 6, type = 7."""
    operation = None
    try:
        for inner in protobuf_wire.read_fields(data, field.start, field.end):
            if inner.number > 7 or inner.wire_type != LENGTH_DELIMITED:
                return False
            if inner.number == 2:
                operation = data[inner.start : inner.end]
    except MalformedMessageError:
        return False
    return operation is not None and _OPERATION.fullmatch(operation) is not None


def _is_meta_graph(data: bytes, message: _Message) -> bool:
    """meta_graph.proto: meta_info_def = 1, graph_def = 2, and other messages up to 7."""
    if any(field.wire_type != LENGTH_DELIMITED for field in message.fields):
        return False
    graphs = [field for field in message.fields if field.number == 2]
    if len(graphs) != 1:
        return False
    try:
        return _is_graph_def(data, _read_message(data, graphs[0].start, graphs[0].end))
    except MalformedMessageError:
        return False


def _is_saved_model(data: bytes, message: _Message) -> bool:
    """saved_model.proto: saved_model_schema_version = 1 (a number), meta_graphs = 2."""
    meta_graphs = [field for field in message.fields if field.number == 2 and field.wire_type == LENGTH_DELIMITED]
    if not meta_graphs or any(field.number > 2 for field in message.fields):
        return False
    try:
        return _is_meta_graph(data, _read_message(data, meta_graphs[0].start, meta_graphs[0].end))
    except MalformedMessageError:
        return False
