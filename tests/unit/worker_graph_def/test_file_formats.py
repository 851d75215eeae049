import io
import json
import random
import zipfile

import numpy as np
import pytest
from modelmill_worker import file_formats
from modelmill_worker.file_formats import FileFormat, recognise, recognise_bytes


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("mtcnn/tf1.9.0/pnet/graph.pb", FileFormat.GRAPH_DEF),
        ("mtcnn/tf1.9.0/pnet/graph.pbtxt", FileFormat.GRAPH_DEF_TEXT),
        ("mtcnn/tf1.9.0/pnet/model.ckpt.meta", FileFormat.META_GRAPH),
        ("mtcnn/tf1.9.0/pnet/model.ckpt.index", FileFormat.CHECKPOINT_INDEX),
        ("mtcnn/tf1.9.0/pnet/model.ckpt.data-00000-of-00001", FileFormat.CHECKPOINT_DATA),
        ("mtcnn/tf1.9.0/pnet/checkpoint", FileFormat.CHECKPOINT_STATE),
        ("mtcnn/tf1.9.0/pnet/golden.npz", FileFormat.NPZ),
        ("mtcnn/tf1.15.5/pnet/saved_model/saved_model.pb", FileFormat.SAVED_MODEL),
        ("basic-pitch/nmp/saved_model.pb", FileFormat.SAVED_MODEL),
        ("posenet/frozen.pb", FileFormat.GRAPH_DEF),
        ("bad-inputs/text_graphdef_named_pb.pb", FileFormat.GRAPH_DEF_TEXT),
        ("bad-inputs/weights_only.h5", FileFormat.HDF5),
        ("bad-inputs/model_invoking_error.tflite", FileFormat.TFLITE),
        ("bad-inputs/bad_half_plus_two/00000123/export", FileFormat.CHECKPOINT_V1),
        ("bad-inputs/checkpoint_without_data/hand_label_map.pbtxt", FileFormat.TEXT),
        ("keras-audio-classifier/model.keras", FileFormat.HDF5),
        ("keras-mnist-cnn/model.keras", FileFormat.KERAS_ARCHIVE),
        ("tfjs/posenet/posenet.json", FileFormat.TFJS_GRAPH_MODEL),
        ("tfjs/posenet/posenet.bin", FileFormat.UNKNOWN),
        ("tfjs/nsfwjs-mobilenetv2-layers/mobilenet_v2/model.json", FileFormat.TFJS_LAYERS_MODEL),
        ("calibration/images/astronaut.png", FileFormat.UNKNOWN),
    ],
)
def test_recognises_real_files_by_their_content(corpus, path, expected):
    assert recognise(corpus / path) is expected


def test_the_suffix_decides_nothing(corpus, tmp_path):
    renamed = tmp_path / "model.h5"
    renamed.write_bytes((corpus / "mtcnn/tf1.9.0/pnet/graph.pb").read_bytes())
    assert recognise(renamed) is FileFormat.GRAPH_DEF


def test_tells_a_graph_that_was_cut_from_one_that_is_whole(graph_of):
    data = graph_of(("x", "Placeholder"), ("y", "Relu", "x"), ("z", "Relu", "y")).SerializeToString()
    assert recognise_bytes(data) is FileFormat.GRAPH_DEF
    assert recognise_bytes(data[:-5]) is FileFormat.GRAPH_DEF_TRUNCATED


def test_takes_no_garbage_for_a_graph():
    source = random.Random(7)
    for length in [1, 2, 10, 100, 1000] * 40:
        garbage = bytes(source.getrandbits(8) for _ in range(length))
        assert recognise_bytes(garbage) not in file_formats.GRAPH_FORMATS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"# made by hand\n\nnode { name: 'x' op: 'NoOp' }", FileFormat.GRAPH_DEF_TEXT),
        (b"versions < producer: 26 >", FileFormat.GRAPH_DEF_TEXT),
        (b"\xef\xbb\xbfnode {\n}", FileFormat.GRAPH_DEF_TEXT),
        (b"meta_info_def {\n}", FileFormat.META_GRAPH_TEXT),
        (b"saved_model_schema_version: 1", FileFormat.SAVED_MODEL_TEXT),
        (b'item { name: "cat" }', FileFormat.TEXT),
        (b'{"a": 1}', FileFormat.JSON),
        (b"{ not json", FileFormat.TEXT),
        (b"", FileFormat.EMPTY),
    ],
)
def test_tells_texts_by_what_they_say_first(text, expected):
    assert recognise_bytes(text) is expected


def test_tells_layers_models_without_a_format_key():
    layers = json.dumps({"modelTopology": {"model_config": {}}, "weightsManifest": []}).encode()
    graph = json.dumps({"modelTopology": {"node": []}}).encode()
    assert recognise_bytes(layers) is FileFormat.TFJS_LAYERS_MODEL
    assert recognise_bytes(graph) is FileFormat.TFJS_GRAPH_MODEL


def test_tells_archives_by_what_they_hold():
    arrays = io.BytesIO()
    np.savez(arrays, a=np.zeros(2))
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "x")
    assert recognise_bytes(arrays.getvalue()) is FileFormat.NPZ
    assert recognise_bytes(other.getvalue()) is FileFormat.ZIP
    assert recognise_bytes(arrays.getvalue()[:40]) is FileFormat.ZIP


def test_reads_how_many_shards_a_checkpoint_has(corpus):
    index = (corpus / "mtcnn/tf1.9.0/pnet/model.ckpt.index").read_bytes()
    old = (corpus / "bad-inputs/bad_half_plus_two/00000123/export").read_bytes()
    assert file_formats.read_shard_count(index) == 1
    assert file_formats.read_shard_count(old) is None
