"""Everything that reads untrusted bytes, one line each, and the right inputs to begin with."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from modelmill_inspector import _hdf5, _keras_file
from modelmill_inspector._options import InspectOptions
from modelmill_inspector._recognition import recognise_source
from modelmill_inspector.security import scan_graph, scan_tree
from modelmill_rewriter.previewing import preview
from modelmill_rewriter.sequences import passes_for
from modelmill_rewriter.steps import read_edits
from modelmill_worker import (
    arrays,
    file_formats,
    graph_def,
    op_versions,
    protobuf_wire,
    saved_model,
    signature,
    source_files,
    tensors,
)
from modelmill_worker.plugin_api import Tree
from modelmill_worker.protobuf_wire import MalformedMessageError

from fuzzing.mutations import LARGEST_SEED


@dataclass(frozen=True)
class Parser:
    """Something that reads bytes.

    read: is given a file with the input and its content; whatever it returns is right.
    seeds: names of kinds of right inputs (see `seeds_of`).
    refusals: exceptions with which it may say no, besides StepError.
    file_name: what the file is called.
    """

    read: Callable[[Path, bytes], object]
    seeds: tuple[str, ...]
    refusals: tuple[type[Exception], ...] = ()
    file_name: str = "input"


def _tree(path: Path) -> Tree:
    names = sorted(found.relative_to(path.parent).as_posix() for found in path.parent.rglob("*") if found.is_file())
    return Tree("source", path.parent, tuple(names))


def _decode_tensor(content: bytes) -> object:
    return tensors.decode(graph_def.new_node("x", "Const").attr["value"].tensor.FromString(content))


def _judge(content: bytes) -> object:
    graph = graph_def.parse(content)
    return op_versions.judge(graph), op_versions.drop_default_attributes(graph, "1.5")


def _inspect(path: Path) -> object:
    return json.dumps(recognise_source(_tree(path), InspectOptions()).facts)


GRAPHS = ("graph", "graph text", "meta graph", "meta graph text")
SAVED_MODELS = ("saved model", "saved model text")
#: A parser is a line here; `refusals` name what its caller turns into a StepError.
PARSERS: dict[str, Parser] = {
    "protobuf_wire": Parser(
        lambda _, data: list(protobuf_wire.read_fields(data, 0, len(data))), ("graph",), (MalformedMessageError,)
    ),
    "file_formats": Parser(
        lambda path, data: (file_formats.recognise_bytes(data), file_formats.recognise(path)),
        (*GRAPHS, *SAVED_MODELS, "index", "hdf5", "keras", "npz", "tfjs", "state"),
    ),
    "shard_count": Parser(lambda _, data: file_formats.read_shard_count(data), ("index",)),
    "graph_def": Parser(lambda _, data: graph_def.parse(data), GRAPHS),
    "meta_graph": Parser(lambda _, data: graph_def.parse_meta_graph(data, "input"), ("meta graph", "meta graph text")),
    "saved_model": Parser(lambda path, _: saved_model.read(path), SAVED_MODELS),
    "tensor": Parser(lambda _, data: _decode_tensor(data), ("tensor",), (DecodeError,)),
    "op_versions": Parser(lambda _, data: _judge(data), GRAPHS),
    "checkpoint": Parser(
        lambda path, _: source_files.choose_checkpoint(source_files.survey(_tree(path))), ("index",), (), "input.index"
    ),
    "signature": Parser(
        lambda path, _: signature.read(path.parent),
        ("signature",),
        (KeyError, TypeError, ValueError, RecursionError),
        "signature.json",
    ),
    "hdf5": Parser(lambda path, _: _hdf5.read_text(path, "model_config"), ("hdf5",)),
    "keras_hdf5": Parser(lambda path, _: _keras_file.read_hdf5(path, path.name), ("hdf5",)),
    "keras_archive": Parser(lambda path, _: _keras_file.read_archive(path, path.name), ("keras",)),
    "npz": Parser(lambda path, _: arrays.read(path), ("npz",)),
    "scan_graph": Parser(lambda _, data: scan_graph(graph_def.parse(data), ["x:0"]), (*GRAPHS, "hostile graph")),
    "scan": Parser(
        lambda path, _: json.dumps(scan_tree(_tree(path), ["x:0"])),
        (*GRAPHS, *SAVED_MODELS, "hostile graph", "hdf5", "keras", "npz", "tfjs", "layers", "pickle"),
    ),
    "inspect": Parser(
        lambda path, _: _inspect(path),
        (*GRAPHS, *SAVED_MODELS, "hdf5", "keras", "npz", "tfjs", "layers", "tflite"),
    ),
    "inspect_tflite": Parser(lambda path, _: _inspect(path), ("tflite",)),
    "inspect_keras": Parser(lambda path, _: _inspect(path), ("hdf5", "keras")),
    "inspect_tfjs": Parser(lambda path, _: _inspect(path), ("tfjs",)),
    "inspect_checkpoint": Parser(lambda path, _: _inspect(path), ("meta graph", "graph"), (), "model.ckpt.meta"),
    "inspect_artifact": Parser(lambda path, _: _inspect(path), ("signature",), (), "signature.json"),
    "edits": Parser(lambda path, _: passes_for("", [read_edits(path)], []), ("edits",)),
    "preview": Parser(lambda path, _: preview(_tree(path), ("x:0",), lambda *_: None), (*GRAPHS, "hostile graph")),
}
#: Parsers that break, by which the tests see that it is noticed.
BREAKING: dict[str, Parser] = {
    "raises": Parser(lambda _, data: data[10**6], ("graph",)),
    "hangs": Parser(lambda _, data: [0 for _ in iter(lambda: 0, 1)], ("graph",)),
    "swells": Parser(lambda _, data: bytearray(2**40), ("graph",)),
}
#: What lies beside the input, for parsers that read several files.
BESIDE = {
    "checkpoint": {"input.data-00000-of-00001": "tensors"},
    "inspect_tfjs": {"posenet.bin": "tensors"},
    "inspect_checkpoint": {"model.ckpt.index": "index", "model.ckpt.data-00000-of-00001": "tensors"},
    "inspect_artifact": {"graph.pb": "graph"},
}
#: Kinds of seeds that are protocol buffers, whose structure can be changed.
STRUCTURED = frozenset(["graph", "meta graph", "saved model", "tensor", "hostile graph"])


@cache
def seeds_of(kind: str) -> tuple[bytes, ...]:
    """Right inputs of a kind: made here, and from the corpus where there is one."""
    made = _MADE[kind]() if kind in _MADE else []
    corpus = Path(os.environ.get("MODELMILL_CORPUS") or Path(__file__).resolve().parents[3] / "shared" / "corpus")
    found = [corpus / name for name in _IN_CORPUS.get(kind, ())]
    return tuple(made + [path.read_bytes()[:LARGEST_SEED] for path in found if path.is_file()])


_MTCNN = "mtcnn/tf1.15.5/pnet/"
_IN_CORPUS = {
    "graph": (_MTCNN + "frozen.pb", _MTCNN + "graph.pb"),
    "graph text": (_MTCNN + "graph.pbtxt",),
    "meta graph": (_MTCNN + "model.ckpt.meta",),
    "saved model": (_MTCNN + "saved_model/saved_model.pb", "mtcnn/keras2/pnet_saved_model/saved_model.pb"),
    "index": (_MTCNN + "model.ckpt.index",),
    "hdf5": ("mtcnn/keras2/pnet.h5",),
    "keras": ("mtcnn/keras3/pnet.keras",),
    "tfjs": ("tfjs/posenet/posenet.json",),
    "layers": ("tfjs/nsfwjs-mobilenetv2-layers/mobilenet_v2/model.json",),
    "tflite": ("kws-dscnn/kws_ref_model.tflite", "edgetpu-pairs/v16/dummy_edgetpu.tflite"),
    "state": (_MTCNN + "checkpoint",),
}


def _graph() -> object:
    """A graph with an input, a weight, a string, a function and a loop's operations."""
    graph = graph_def.new_graph()
    graph.versions.producer = 1087
    source = graph.node.add(name="x", op="Placeholder")
    source.attr["dtype"].type = 1
    tensors.encode_shape((-1, 3), source.attr["shape"].shape)
    graph.node.append(graph_def.new_constant("weight", np.ones((3, 2), np.float32)))
    graph.node.append(graph_def.new_constant("words", np.array([b"one", b"two"], dtype=object)))
    graph.node.append(graph_def.new_node("y", "MatMul", ("x", "weight")))
    call = graph.node.add(name="z", op="PartitionedCall", input=["y", "^words"])
    call.attr["f"].func.name = "f"
    call.attr["Tout"].list.type.append(1)
    function = graph.library.function.add()
    function.signature.name = "f"
    function.signature.input_arg.add(name="a", type=1)
    function.signature.output_arg.add(name="b", type=1)
    function.node_def.add(name="relu", op="Relu", input=["a"]).attr["T"].type = 1
    function.ret["b"] = "relu:activations:0"
    return graph


def _meta_graph() -> object:
    meta_graph = graph_def.meta_graph_class()()
    meta_graph.meta_info_def.tags.append("serve")
    meta_graph.meta_info_def.tensorflow_version = "2.15.0"
    meta_graph.graph_def.CopyFrom(_graph())
    described = meta_graph.signature_def["serving_default"]
    described.inputs["x"].name, described.inputs["x"].dtype = "x:0", 1
    described.outputs["z"].name, described.outputs["z"].dtype = "z:0", 1
    meta_graph.saver_def.save_tensor_name = "words:0"
    meta_graph.collection_def["legacy_init_op"].node_list.value.append("z")
    return meta_graph


def _saved_model() -> bytes:
    from fuzzing.mutations import encode

    return b"\x08\x01" + encode(2, protobuf_wire.LENGTH_DELIMITED, _meta_graph().SerializeToString())


def _hostile_graph() -> list[bytes]:
    """Graphs in strings, and operations that are feared."""
    inner = _graph()
    inner.node.append(graph_def.new_node("write", "WriteFile", ("words", "words")))
    outer = _graph()
    outer.node.append(graph_def.new_constant("hidden", np.array(inner.SerializeToString(), dtype=object)))
    outer.node.append(graph_def.new_node("dataset", "DatasetFromGraph", ("hidden",)))
    return [outer.SerializeToString()]


def _text(message: object) -> bytes:
    from google.protobuf import text_format

    return text_format.MessageToString(message).encode()


def _archive(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _npz() -> list[bytes]:
    stream = io.BytesIO()
    np.savez(stream, x=np.ones((2, 3), np.float32), words=np.array(["a", "bc"]))
    return [stream.getvalue()]


_LAYER = {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "l", "function": ["4wEAAAA=", None]}}
_CONFIG = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": [_LAYER]}}).encode()
_TENSOR = {"name": "x", "tensor": "x:0", "dtype": "float32", "shape": [-1, 3]}
_SIGNATURE = json.dumps({"inputs": [_TENSOR], "outputs": [dict(_TENSOR, name="y")], "expected_error": 0.1}).encode()
_MODEL_JSON = {
    "format": "graph-model",
    "modelTopology": {"node": [{"name": "x", "op": "Placeholder"}, {"name": "y", "op": "Relu", "input": ["x"]}]},
    "weightsManifest": [{"paths": ["posenet.bin"], "weights": [{"name": "w", "shape": [2, 3], "dtype": "float32"}]}],
}


def _hdf5_file() -> bytes:
    """An HDF5 file's start and an attribute message with a configuration, as Keras has it."""
    name = b"model_config\0\0\0\0"
    datatype = b"\x13\0\0\0" + len(_CONFIG).to_bytes(4, "little")
    head = b"\x01\0" + (13).to_bytes(2, "little") + (8).to_bytes(2, "little") * 2
    return b"\x89HDF\r\n\x1a\n" + b"\0" * 88 + head + name + datatype + b"\x01" + b"\0" * 7 + _CONFIG


_MADE: dict[str, Callable[[], list[bytes]]] = {
    "graph": lambda: [_graph().SerializeToString()],
    "graph text": lambda: [_text(_graph())],
    "meta graph": lambda: [_meta_graph().SerializeToString()],
    "meta graph text": lambda: [_text(_meta_graph())],
    "saved model": lambda: [_saved_model()],
    "saved model text": lambda: [b"saved_model_schema_version: 1\nmeta_graphs {\n" + _text(_meta_graph()) + b"}\n"],
    "tensor": lambda: [node.attr["value"].tensor.SerializeToString() for node in _graph().node if node.op == "Const"],
    "hostile graph": _hostile_graph,
    "hdf5": lambda: [_hdf5_file()],
    "keras": lambda: [_archive({"config.json": _CONFIG, "metadata.json": b"{}", "model.weights.h5": b"x"})],
    "npz": _npz,
    "tfjs": lambda: [json.dumps(_MODEL_JSON).encode()],
    "layers": lambda: [json.dumps({"modelTopology": {"model_config": json.loads(_CONFIG)}}).encode()],
    "edits": lambda: [
        b"# sizes\nfix_input_shapes(shape=\"x:1,2,2,3\", batch=1)\nremove_nodes(op=Identity, op='A B'), prune_unused\n",
        b"round_weights(num_steps=64) quantize_nodes(input_min=-1.5e3)",
    ],
    "signature": lambda: [_SIGNATURE],
    "tensors": lambda: [b"\0" * 64],
    "index": lambda: [b"\0\0\x02\x08\x01" + b"\0" * 40 + (0xDB4775248B80FB57).to_bytes(8, "little")],
    "pickle": lambda: [b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x02ls\x94\x85\x94R\x94."],
    "tflite": lambda: [b"\x1c\0\0\0TFL3" + b"\0" * 64],
    "state": lambda: [b'model_checkpoint_path: "model.ckpt"\n'],
}
