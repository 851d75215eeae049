"""Model files with bytes changed, and files made to keep a reader busy: an error that says so, or facts; soon."""

import json
import resource
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_inspector import edgetpu, tfjs, tflite
from modelmill_worker.errors import StepError
from modelmill_worker.file_formats import FileFormat
from modelmill_worker.flatbuffer import LARGEST_COUNT, Flatbuffer, FlatbufferError
from modelmill_worker.source_files import SourceFile

REASONS = ("", "TFLITE_DAMAGED", "TFJS_MODEL_DAMAGED", "WEIGHTS_MISSING", "WEIGHTS_DAMAGED", "KERAS_FILE_DAMAGED")
#: What a file that has become another thing altogether is refused with.
OTHERS = ("NO_MODEL_FOUND", "KERAS_WEIGHTS_ONLY", "EMPTY_FILE")
SEEDS = (
    "bad-inputs/model_invoking_error.tflite",
    "bad-inputs/native-crash/keyword_scrambled.tflite",
    "edgetpu-pairs/v16/gabor_64x64_p4.tflite",
    "edgetpu-pairs/v16/gabor_64x64_p4_edgetpu.tflite",
    "edgetpu-pairs/2021/split_concat_edgetpu.tflite",
    "edgetpu-pairs/2021/keras_lstm_mnist_ptq.tflite",
    "kws-dscnn/kws_ref_model.tflite",
)
VALUES = (0, 1, 2, 0x7F, 0x80, 0xFF)
#: A byte, a word that may be an offset, a word that may be a length, or the file's end.
CHANGES = st.lists(
    st.tuples(st.sampled_from(["byte", "word", "huge", "cut"]), st.integers(0, 2**30), st.sampled_from(VALUES)),
    min_size=1,
    max_size=8,
)
FUZZING = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def change(content, changes, where):
    """The content with the changes made; `where` says how much of it holds structure rather than weights."""
    content = bytearray(content)
    for what, anywhere, value in changes:
        place = anywhere % max(min(len(content), where), 1)
        if what == "cut" and value == 0xFF:
            del content[place:]
        elif what == "byte":
            content[place : place + 1] = bytes([value])
        elif what == "word":
            content[place : place + 4] = struct.pack("<I", place // 2 + value)
        elif what == "huge":
            content[place : place + 4] = struct.pack("<I", 0xFFFFFF00 + value)
    return bytes(content)


def read_or_refuse(read):
    """It ends with facts that JSON can carry or with a StepError; what never ends is stopped by the run's timeout."""
    reason = ""
    try:
        json.dumps(read(), allow_nan=False)
    except StepError as error:
        reason = error.reason
    assert reason in REASONS + OTHERS


@FUZZING
@given(st.sampled_from(SEEDS), CHANGES, st.booleans())
def test_a_tflite_with_changed_bytes(corpus, tmp_path, seed, changes, at_the_end):
    content = (corpus / seed).read_bytes()
    if at_the_end:  # most converters write the tables behind the weights
        content = content[::-1]
    changed = change(content, changes, 20000)
    path = tmp_path / "model.tflite"
    path.write_bytes(changed[::-1] if at_the_end else changed)
    read_or_refuse(lambda: tflite.describe_tflite(path, path.name) if path.stat().st_size else None)


@FUZZING
@given(CHANGES, st.sampled_from(["gabor_64x64_p4", "dense_256"]))
def test_an_edge_tpu_payload_with_changed_bytes(corpus, changes, name):
    content = (corpus / "edgetpu-pairs/v16" / (name + "_edgetpu.tflite")).read_bytes()
    start = content.index(b"DWN1") - 4
    changed = change(content[start:], changes, 4000)
    payload = content[:start] + changed
    end = payload.rfind(b"4\0005\0")  # the keys of the options, with which they end

    def read():
        try:
            return edgetpu.describe_compiled(payload, [(max(start - 4, 0), max(end + 60 - start, 0))])
        except FlatbufferError as error:
            raise StepError("TFLITE_DAMAGED", str(error)) from error

    read_or_refuse(read)


@FUZZING
@given(
    st.sampled_from(["mtcnn/keras2/pnet.h5", "mtcnn/keras3/pnet.keras", "mtcnn/keras2/pnet.keras"]),
    CHANGES,
    st.booleans(),
)
def test_a_keras_file_with_changed_bytes(inspect, corpus, tmp_path, seed, changes, at_the_end):
    content = (corpus / seed).read_bytes()
    if at_the_end:  # the directory of an archive
        content = content[::-1]
    changed = change(content, changes, 20000)
    path = tmp_path / "model.keras"
    path.write_bytes(changed[::-1] if at_the_end else changed)
    read_or_refuse(lambda: inspect(path).facts)


#: What stands in a model.json, and what may stand there instead.
STRANGE = st.sampled_from([None, True, -1, 2**70, 1.5, "", "x", [], {}, [[]], [None], {"name": 3}, [{}], {"op": []}])


def paths_of(value, path=()):
    """The way to every value in nested lists and dictionaries."""
    yield path
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from paths_of(inner, (*path, step))


def small_models():
    attributes = {"dtype": {"type": "DT_FLOAT"}, "shape": {"shape": {"dim": [{"size": "-1"}]}}}
    nodes = [{"name": "x", "op": "Placeholder", "attr": attributes}, {"name": "y", "op": "Relu", "input": ["x"]}]
    library = {"function": [{"signature": {"name": "f"}, "nodeDef": [{"name": "z", "op": "Neg"}]}]}
    quantised = {
        "name": "w",
        "shape": [2],
        "dtype": "float32",
        "quantization": {"dtype": "uint8", "min": 0, "scale": 1},
    }
    manifest = [{"paths": ["shard"], "weights": [quantised]}]
    end = {"x": {"name": "x:0", "dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "1"}]}}}
    topology = {"node": nodes, "library": library, "versions": {"producer": 9}}
    graph = {"modelTopology": topology, "weightsManifest": manifest, "signature": {"inputs": end, "outputs": end}}
    dense = {
        "class_name": "Dense",
        "config": {"name": "d", "batch_input_shape": [None, 3]},
        "inbound_nodes": [[["x", 0, 0, {}]]],
    }
    config = {"name": "m", "layers": [dense], "input_layers": [["d", 0, 0]], "output_layers": [["d", 0, 0]]}
    layers = {"modelTopology": {"model_config": {"class_name": "Model", "config": config}}, "weightsManifest": manifest}
    return [graph, layers]


MODELS = small_models()
PLACES = [(index, path) for index, one in enumerate(MODELS) for path in paths_of(one) if path]


@FUZZING
@given(st.lists(st.tuples(st.sampled_from(PLACES), STRANGE), min_size=1, max_size=2))
def test_a_model_json_with_strange_values(tmp_path, changes):
    content = json.loads(json.dumps(MODELS[changes[0][0][0]]))
    for (_, path), value in changes:
        parent = content
        try:
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = json.loads(json.dumps(value))
        except (IndexError, KeyError, TypeError):
            continue
    (tmp_path / "shard").write_bytes(bytes(2))
    path = tmp_path / "model.json"
    path.write_text(json.dumps(content))
    file = SourceFile("model.json", path, FileFormat.TFJS_GRAPH_MODEL)
    read_or_refuse(lambda: tfjs.describe_tfjs(file, ["model.json", "shard"]))


def test_every_cut_of_a_model_is_refused(corpus, tmp_path):
    content = (corpus / "edgetpu-pairs/2021/split_concat.tflite").read_bytes()
    path = tmp_path / "model.tflite"
    # Behind the last table stand bytes that fill up the file: without these it is whole.
    for length in range(8, len(content) - 64, 8):
        path.write_bytes(content[:length])
        with pytest.raises(StepError, match=r"TFLITE_DAMAGED: model\.tflite cannot be read"):
            tflite.describe_tflite(path, path.name)


@pytest.mark.parametrize(
    ("change_model", "words"),
    [
        (lambda model: model[2][0].update({1: ("i", [7])}), "its inputs of subgraph 0 has tensor 7 of 2"),
        (lambda model: model[2][0][3][0].update({0: ("I", 5)}), "operator 0 of subgraph 0 is of kind 5 of 1"),
        (lambda model: model[2][0][3][0].update({1: ("i", [-2])}), "operator 0 of subgraph 0 has tensor -2 of 2"),
        (lambda model: model[2][0][0][0].update({2: ("I", 9)}), "tensor 0 of subgraph 0 is in buffer 9 of 1"),
        (lambda model: model[2][0][0][0].update({0: ("i", [-7])}), "tensor 0 of subgraph 0 has no possible shape"),
        (lambda model: model[2][0][0][0].update({0: ("i", [2**31 - 1] * 3)}), "no possible shape"),
        (lambda model: model.update({2: []}), "it has no subgraph"),
        (lambda model: model.update({6: [{0: "m", 1: ("I", 3)}]}), "the metadata 'm' is in buffer 3 of 1"),
        (lambda model: model.update({7: [{2: "s", 4: ("I", 3)}]}), "the signature 's' is of subgraph 3 of 1"),
        (lambda model: model.update({4: [{1: ("Q", 16), 2: ("Q", 2**40)}]}), "are past the file's end"),
    ],
)
def test_says_where_a_model_is_damaged(refusal, make_tflite, tables, change_model, words):
    tensors = [tables["tensor"]("a", [1]), tables["tensor"]("b", [1])]
    graph = tables["subgraph"](tensors, [0], [1], [tables["operator"](0, [0], [1])])
    model = tables["model"]([tables["builtin"](21)], [graph])
    change_model(model)
    error = refusal(make_tflite(model))
    assert (error.reason, error.details["file"]) == ("TFLITE_DAMAGED", "model.tflite")
    assert words in error.message


def test_a_subgraph_that_is_not_there_is_damage(refusal, make_tflite, tables):
    tensors = [tables["tensor"]("a", [1]), tables["tensor"]("b", [1])]
    call = tables["operator"](0, [0], [1], {0: ("i", 1), 1: ("i", 8)})
    graph = tables["subgraph"](tensors, [0], [1], [call])
    error = refusal(make_tflite(tables["model"]([tables["builtin"](118)], [graph])))
    assert "operator 0 (IF) runs subgraph 1 of 1" in error.message


def test_a_small_file_that_refers_to_the_same_bytes_over_and_over_is_refused(tmp_path, write_tables, tables):
    """A vector of a million subgraphs, all of them one with a thousand operators that are one operator."""
    tensors = [tables["tensor"]("a", [1])]
    operators = [tables["operator"](0, [0], [0]) for _ in range(1000)]
    graph = tables["subgraph"](tensors, [0], [0], operators)
    content = bytearray(write_tables(tables["model"]([tables["builtin"](21)], [graph, graph]), b"TFL3"))
    reader = Flatbuffer(bytes(content))
    first = reader.root().tables(2)[0].start
    count = 300000
    content.extend(b"\0" * (-len(content) % 4))
    vector = len(content)
    content.extend(struct.pack("<I", count))
    for index in range(count):
        # Offsets lead forwards only, so the table that they lead to is written again behind them.
        content.extend(struct.pack("<I", 4 * (count - index)))
    moved = len(content)
    whole = bytes(content[first:vector])
    content.extend(whole)
    content.extend(bytes(len(whole)))
    vtable = struct.unpack_from("<i", content, first)[0]
    struct.pack_into("<i", content, moved, moved - (first - vtable))
    place = reader.root().place(2)
    struct.pack_into("<I", content, place, vector - place)
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StepError) as caught:
        tflite.describe_tflite(path, path.name)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kilobytes
    assert caught.value.reason == "TFLITE_DAMAGED"
    assert "over and over" in caught.value.message
    assert grown < 1000000


def test_a_reader_hands_out_no_more_than_its_count(write_tables):
    table = Flatbuffer(write_tables({0: ("i", list(range(1600)))}, b"TEST")).root()
    most = (LARGEST_COUNT - 1) // 101
    for _ in range(most):
        table.numbers(0, "i")
    with pytest.raises(FlatbufferError, match="over and over"):
        table.numbers(0, "i")


def test_reads_no_byte_before_or_behind_a_part():
    content = struct.pack("<I4sih", 8, b"TEST", 4, 0) + bytes(20)
    with pytest.raises(FlatbufferError, match="outside"):
        Flatbuffer(content, 8, 12).root()
    with pytest.raises(FlatbufferError, match="outside"):
        Flatbuffer(struct.pack("<I4si", 8, b"TEST", 2**30)).root()
    with pytest.raises(FlatbufferError, match="outside"):
        Flatbuffer(b"").root()
