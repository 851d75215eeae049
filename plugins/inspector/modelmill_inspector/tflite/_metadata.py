"""What stands beside the graph in a .tflite: the fact `metadata`.

Two of the entries are flatbuffers themselves: TFLITE_METADATA, written by people for people
(tensorflow/lite/schema/metadata_schema.fbs of tflite-support, identifier M001), and CONVERSION_METADATA, written by
TensorFlow's converter from 2.9 on (tensorflow/compiler/mlir/lite/schema/conversion_metadata.fbs). Files that belong
to the model, such as labels, follow as a zip archive behind the flatbuffer.
"""

import struct
import zipfile
from pathlib import Path
from typing import Any, Dict, List

from modelmill_worker.flatbuffer import Flatbuffer, FlatbufferError, Table

from modelmill_inspector.tflite._model import Model

RUNTIME_VERSION = "min_runtime_version"
_FOR_PEOPLE = "TFLITE_METADATA"
_CONVERSION = "CONVERSION_METADATA"
#: How many entries, files and tensors are listed.
_LISTED = 50

#: ``enum ModelType``.
_SOURCES = (
    "",
    "TF_SAVED_MODEL",
    "KERAS_MODEL",
    "TF_CONCRETE_FUNCTIONS",
    "TF_GRAPH_DEF",
    "TF_SESSION",
    "JAX",
    "PYTORCH",
)
#: ``enum ModelOptimizationMode``.
_OPTIMISATIONS = {
    1001: "PTQ_FLOAT16",
    1002: "PTQ_DYNAMIC_RANGE",
    1003: "PTQ_FULL_INTEGER",
    1004: "PTQ_INT16",
    2000: "QUANTIZATION_AWARE_TRAINING",
    3001: "RANDOM_SPARSITY",
    3002: "BLOCK_SPARSITY",
    3003: "STRUCTURED_SPARSITY",
}


def read_runtime_version(data: Any, model: Model) -> str:
    """The `min_runtime_version` that the converter wrote: a text, filled up with zeros; "" where there is none."""
    start, length = model.buffers[model.metadata[RUNTIME_VERSION]] if RUNTIME_VERSION in model.metadata else (0, 0)
    return bytes(data[start : start + min(length, 64)]).split(b"\0")[0].decode("ascii", "replace")


def describe_metadata(data: Any, model: Model, path: Path) -> Dict[str, Any]:
    """The fact `metadata` of the .tflite whose bytes are `data`.

    entries: [{"name", "bytes"}], at most 50.
    model: of TFLITE_METADATA: name, description, version, author, license, min_parser_version, and of the first
        subgraph `inputs` and `outputs`: [{"name", "description"}].
    conversion: of CONVERSION_METADATA: `tensorflow` (the version that converted), `source` (what it was given),
        `optimisations`, `custom_ops` and `select_ops` (whether they were allowed).
    files: the names of the files behind the model, at most 50, and how many there are in `files_count`.
    damaged: the names of entries that should be flatbuffers and are not.

    What the file does not have is left out.
    """
    found: Dict[str, Any] = {
        "entries": [{"name": name, "bytes": model.buffers[index][1]} for name, index in model.metadata.items()][
            :_LISTED
        ]
    }
    damaged = []
    for key, name, describe in (("model", _FOR_PEOPLE, _for_people), ("conversion", _CONVERSION, _conversion)):
        if name in model.metadata:
            start, length = model.buffers[model.metadata[name]]
            try:
                found[key] = describe(Flatbuffer(data, start, start + length).root())
            except FlatbufferError:
                damaged.append(name)
    if damaged:
        found["damaged"] = damaged
    files = _files_behind(path)
    if files:
        found["files"], found["files_count"] = files[:_LISTED], len(files)
    return found


def _for_people(table: Table) -> Dict[str, Any]:
    texts = {"name": 0, "description": 1, "version": 2, "author": 4, "license": 5, "min_parser_version": 7}
    found: Dict[str, Any] = {key: table.text(field) for key, field in texts.items() if table.text(field)}
    for subgraph in table.tables(3)[:1]:
        for key, field in (("inputs", 2), ("outputs", 3)):
            tensors = subgraph.tables(field)[:_LISTED]
            found[key] = [{"name": tensor.text(0), "description": tensor.text(1)} for tensor in tensors]
    return found


def _conversion(table: Table) -> Dict[str, Any]:
    environment, options = table.table(0), table.table(1)
    found: Dict[str, Any] = {}
    if environment is not None:
        source = environment.scalar(2, "i")
        found["tensorflow"] = environment.text(0)
        found["source"] = _SOURCES[source] if 0 <= source < len(_SOURCES) else str(source)
    if options is not None:
        modes = options.numbers(0, "i", _LISTED) or ()
        found["optimisations"] = [_OPTIMISATIONS.get(mode, str(mode)) for mode in modes]
        found["custom_ops"], found["select_ops"] = bool(options.scalar(1, "B")), bool(options.scalar(2, "B"))
    return found


def _files_behind(path: Path) -> List[str]:
    try:
        if zipfile.is_zipfile(str(path)):
            with zipfile.ZipFile(str(path)) as archive:
                return sorted(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error):
        pass  # Weights that end like an archive's directory, most likely: the model itself is whole.
    return []
