"""Inputs that chance does not find: made to be deep, large once unpacked, or slow to read."""

import io
import zipfile

import numpy as np
import pytest
from fuzzing.mutations import encode, varint
from fuzzing.runs import run
from modelmill_worker import graph_def
from modelmill_worker.protobuf_wire import LENGTH_DELIMITED


def graph_of(nodes):
    graph = graph_def.new_graph()
    for name, operation, *inputs in nodes:
        graph.node.add(name=name, op=operation, input=inputs)
    return graph.SerializeToString()


def deep_graph():
    """A node whose attribute is a function that has an attribute that is a function, and so on."""
    value = encode(2, LENGTH_DELIMITED, b"x")
    for _ in range(2000):
        entry = encode(1, LENGTH_DELIMITED, b"f") + encode(2, LENGTH_DELIMITED, value)
        value = encode(10, LENGTH_DELIMITED, encode(1, LENGTH_DELIMITED, b"f") + encode(2, LENGTH_DELIMITED, entry))
    attribute = encode(1, LENGTH_DELIMITED, b"f") + encode(2, LENGTH_DELIMITED, value)
    node = (
        encode(1, LENGTH_DELIMITED, b"n")
        + encode(2, LENGTH_DELIMITED, b"NoOp")
        + encode(5, LENGTH_DELIMITED, attribute)
    )
    return encode(1, LENGTH_DELIMITED, node)


def huge_tensor(*, dimensions):
    shape = b"".join(encode(2, LENGTH_DELIMITED, b"\x08" + varint(size)) for size in dimensions)
    return b"\x08\x01" + encode(2, LENGTH_DELIMITED, shape)


def archive(**entries):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries.items():
            made.writestr(name.replace("__", "."), content)
    return stream.getvalue()


def huge_array():
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**20)})
    return archive(x__npy=content.getvalue())


def strings(content):
    """A constant of strings that lie in its tensor_content."""
    tensor = b"\x08\x07" + encode(4, LENGTH_DELIMITED, content)
    attribute = encode(1, LENGTH_DELIMITED, b"value") + encode(2, LENGTH_DELIMITED, encode(8, LENGTH_DELIMITED, tensor))
    node = (
        encode(1, LENGTH_DELIMITED, b"n")
        + encode(2, LENGTH_DELIMITED, b"Const")
        + encode(5, LENGTH_DELIMITED, attribute)
    )
    return encode(1, LENGTH_DELIMITED, node)


#: How a checkpoint's index ends.
SSTABLE = (0xDB4775248B80FB57).to_bytes(8, "little")
DEEP_TEXT = b'node { name: "n" op: "NoOp" attr { key: "f" value ' + b'{ func { attr { key: "f" value ' * 3000
DEEP_JSON = b'{"modelTopology": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
DEEP_CONFIG = b'{"config": ' * 100_000 + b"1" + b"}" * 100_000
SHALLOWER_CONFIG = b'{"class_name": "A", "config": ' * 300 + b"1" + b"}" * 300


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("parsers", "make"),
    [
        ("graph_def scan inspect", deep_graph),
        ("graph_def scan inspect", lambda: DEEP_TEXT),
        ("graph_def scan", lambda: b"node " + b"{" * 100_000),
        ("file_formats scan inspect", lambda: DEEP_JSON),
        ("file_formats scan inspect", lambda: b"[" * 1_000_000),
        ("scan keras_archive", lambda: archive(config__json=DEEP_CONFIG, model__weights__h5=b"x")),
        ("scan keras_archive", lambda: archive(config__json=SHALLOWER_CONFIG, model__weights__h5=b"x")),
        ("scan keras_archive", lambda: archive(config__json=b" " * 2**29, model__weights__h5=b"x")),
        ("scan", lambda: archive(**{f"e{index}__json": b"{}" for index in range(5000)})),
        ("npz scan", huge_array),
        ("tensor", lambda: huge_tensor(dimensions=[2**31])),
        ("tensor", lambda: huge_tensor(dimensions=[2**29 - 1])),
        ("tensor", lambda: huge_tensor(dimensions=[0, 2**62, 2**62])),
        ("tensor", lambda: huge_tensor(dimensions=[1] * 200)),
        ("checkpoint shard_count", lambda: b"\0\0\x07\x08" + varint(2**40) + b"\0" * 40 + SSTABLE),
        ("scan inspect", lambda: graph_of((f"n{i}", "Relu", *([f"n{i - 1}"] * bool(i))) for i in range(60_000))),
        ("scan inspect", lambda: graph_of([("a", "Placeholder"), ("b", "AddN", *["a"] * 200_000)])),
        ("scan inspect", lambda: graph_of((f"n{i % 2}", "Relu", f"n{(i + 1) % 2}") for i in range(1000))),
        ("scan_graph", lambda: b"\n\0" * 200_000 + graph_of([("a", "Placeholder")])),
        ("scan_graph", lambda: strings(b"\0" * 2**24)),
        ("scan_graph", lambda: strings(b"\x0a\x00" * 2**22)),
        ("scan_graph", lambda: strings(b"\xff" * 2**24)),
        ("scan", lambda: b"\x0a\x02\x08\x01" * 2**19),
        ("hdf5 scan inspect", lambda: b"\x89HDF\r\n\x1a\n" + b"model_config\0" * 100_000),
        ("hdf5 scan", lambda: b"\x89HDF\r\n\x1a\n" + b"\x01\x08\x40\xff" * 200_000),
        ("hdf5 scan", lambda: b"\x89HDF\r\n\x1a\n" + b"GCOL" * 500_000),
    ],
)  # fmt: skip
def test_is_read_or_refused_in_bounded_time_and_memory(tmp_path, parsers, make):
    given = tmp_path / "given"
    given.write_bytes(make())
    for name in parsers.split():
        folder = tmp_path / name
        folder.mkdir()
        outcome = run(name, folder, given=given)
        assert not outcome.problem, f"{name}: {outcome.problem}"
        assert outcome.peak < 1.2 * 2**30


@pytest.mark.parametrize(
    ("name", "said"), [("raises", "IndexError"), ("hangs", "TookTooLong"), ("swells", "MemoryError")]
)
def test_what_breaks_a_parser_is_told_with_its_input(tmp_path, name, said):
    outcome = run(name, tmp_path, examples=1)
    assert said in outcome.problem
    assert outcome.culprit
