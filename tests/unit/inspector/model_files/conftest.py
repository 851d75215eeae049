"""What the tests of model files share: an inspection of one file, and .tflite files made by hand."""

import struct

import pytest
from modelmill_inspector._recognition import recognise_source
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Tree


@pytest.fixture
def inspect():
    """Inspect a file, or all files of a folder: what was recognised."""

    def run(source):
        folder = source if source.is_dir() else source.parent
        found = folder.rglob("*") if source.is_dir() else [source]
        names = sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())
        return recognise_source(Tree("source", folder, tuple(names)))

    return run


@pytest.fixture
def refusal(inspect):
    """Inspect what must be refused: the error."""

    def run(source):
        with pytest.raises(StepError) as caught:
            inspect(source)
        return caught.value

    return run


def write_flatbuffer(root, identifier):
    """A flatbuffer of tables, each a dictionary from field numbers to values.

    A value is (code, number), a text, bytes, (code, [numbers]), a table, or a list of tables.
    """
    content = bytearray(8)
    content[4:8] = identifier
    start = _write_table(content, root)
    struct.pack_into("<I", content, 0, start)
    return bytes(content)


def _write_table(content, fields):
    content.extend(b"\0" * (-len(content) % 8))
    count = max(fields, default=-1) + 1
    vtable = len(content)
    content.extend(b"\0" * (4 + 2 * count))
    content.extend(b"\0" * (-len(content) % 8))
    start = len(content)
    content.extend(b"\0" * (8 + 8 * count))
    struct.pack_into("<i", content, start, start - vtable)
    struct.pack_into("<HH", content, vtable, 4 + 2 * count, 8 + 8 * count)
    for field, value in fields.items():
        place = start + 8 + 8 * field
        struct.pack_into("<H", content, vtable + 4 + 2 * field, place - start)
        if isinstance(value, tuple) and not isinstance(value[1], (list, tuple)):
            struct.pack_into("<" + value[0], content, place, value[1])
        else:
            struct.pack_into("<I", content, place, _write_reference(content, value) - place)
    return start


def _write_reference(content, value):
    if isinstance(value, dict):
        return _write_table(content, value)
    content.extend(b"\0" * (-len(content) % 8))
    content.extend(b"\0" * 4)  # the length stands right before elements, which may have eight bytes
    start = len(content)
    if isinstance(value, (str, bytes)):
        data = value.encode("utf-8") if isinstance(value, str) else value
        content.extend(struct.pack("<I", len(data)) + data + b"\0")
    elif isinstance(value, tuple):
        content.extend(struct.pack(f"<I{len(value[1])}{value[0]}", len(value[1]), *value[1]))
    else:
        content.extend(struct.pack("<I", len(value)) + b"\0" * (4 * len(value)))
        for index, table in enumerate(value):
            place = start + 4 + 4 * index
            struct.pack_into("<I", content, place, _write_table(content, table) - place)
    return start


@pytest.fixture
def write_tables():
    """The function that writes a flatbuffer."""
    return write_flatbuffer


@pytest.fixture
def make_tflite(tmp_path):
    """Write a .tflite of the given Model table, by field numbers of schema.fbs."""

    def make(model, name="model.tflite"):
        path = tmp_path / name
        path.write_bytes(write_flatbuffer(model, b"TFL3"))
        return path

    return make


def tensor(name, shape, kind=0, buffer=0, **more):
    """A Tensor table; kind: 0 float32, 1 float16, 2 int32, 3 uint8, 7 int16, 9 int8."""
    fields = {0: ("i", list(shape)), 1: ("b", kind), 2: ("I", buffer), 3: name}
    if "scales" in more:
        scales = more["scales"]
        zeros = [0] * len(scales)
        fields[4] = {2: ("f", scales), 3: ("q", zeros), 6: ("i", more.get("dimension", 0))}
    if "signature" in more:
        fields[7] = ("i", list(more["signature"]))
    if more.get("variable"):
        fields[5] = ("B", 1)
    return fields


def operator(code, inputs, outputs, options=None):
    """An Operator table."""
    fields = {0: ("I", code), 1: ("i", list(inputs)), 2: ("i", list(outputs))}
    if options is not None:
        fields[3], fields[4] = ("B", 1), options
    return fields


def builtin(code, version=1):
    """An OperatorCode table."""
    return {0: ("b", min(code, 127)), 2: ("i", version), 3: ("i", code)}


def custom(name):
    """An OperatorCode table of an operator that is no built-in one."""
    return {0: ("b", 32), 1: name, 3: ("i", 32)}


def subgraph(tensors, inputs, outputs, operators, name="main"):
    """A SubGraph table."""
    return {0: tensors, 1: ("i", list(inputs)), 2: ("i", list(outputs)), 3: operators, 4: name}


def model(codes, subgraphs, buffers=(b"",), **more):
    """A Model table; buffers: their bytes, the first empty."""
    fields = {0: ("I", 3), 1: codes, 2: subgraphs, 4: [{0: data} if data else {} for data in buffers]}
    if "metadata" in more:
        fields[6] = [{0: name, 1: ("I", index)} for name, index in more["metadata"]]
    if "signatures" in more:
        fields[7] = more["signatures"]
    return fields


@pytest.fixture
def tables():
    """What makes the tables of a .tflite."""
    return {
        "tensor": tensor,
        "operator": operator,
        "builtin": builtin,
        "custom": custom,
        "subgraph": subgraph,
        "model": model,
    }
