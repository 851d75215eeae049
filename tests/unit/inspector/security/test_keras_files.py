"""Keras files and archives that run, read or import what they should not; nothing of them is loaded."""

import base64
import json
import marshal
import pickle
import struct
import zipfile

import pytest
from modelmill_worker.plugin_api import Tree

CODE = marshal.dumps(compile("import os\ndef f(x):\n    return os.system(x)\n", "<lambda>", "exec"))
BASE64 = base64.encodebytes(CODE).decode("ascii")


def layer(kind, module="keras.layers", registered=None, **config):
    return {
        "class_name": kind,
        "module": module,
        "registered_name": registered,
        "config": dict(config, name="sly"),
    }


def model(*layers, **more):
    return dict(
        {"class_name": "Functional", "module": "keras", "config": {"name": "net", "layers": list(layers)}}, **more
    )


@pytest.fixture
def archive(tmp_path):
    def make(config, *more):
        with zipfile.ZipFile(str(tmp_path / "model.keras"), "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
            made.writestr("metadata.json", "{}")
            made.writestr("model.weights.h5", b"")
            for name, content in more:
                made.writestr(name, content)
        return Tree("source", tmp_path, ("model.keras",))

    return make


@pytest.fixture
def hdf5(tmp_path):
    """A file with an attribute message of a fixed string, as HDF5 has them (see test_tensorflow_versions.py)."""

    def make(*attributes, more=b""):
        content = b"\x89HDF\r\n\x1a\n" + b"\0" * 88
        for name, text in attributes:
            encoded, value = name.encode() + b"\0", text.encode()
            padded = encoded + b"\0" * (-len(encoded) % 8)
            datatype = b"\x13\0\0\0" + struct.pack("<I", len(value))
            dataspace = b"\x01\0\0\0\0\0\0\0"
            content += b"\x01\0" + struct.pack("<HHH", len(encoded), len(datatype), len(dataspace))
            content += padded + datatype + dataspace + value + b"\0" * 8
        (tmp_path / "model.h5").write_bytes(content + more)
        return Tree("source", tmp_path, ("model.h5",))

    return make


@pytest.mark.parametrize(
    "function",
    [
        [BASE64, None, None],
        [CODE.decode("latin-1"), None, None],
        {"class_name": "__lambda__", "config": {"code": BASE64, "defaults": None, "closure": None}},
        {"class_name": "__tuple__", "items": [BASE64, None, None]},
    ],
)
def test_a_lambda_layer_with_code(found, archive, hdf5, function):
    config = model(layer("Lambda", function=function))
    for source in (archive(config), hdf5(("model_config", json.dumps(config)))):
        findings = found(source, whole=True)
        assert (findings[0]["severity"], findings[0]["node"]) == ("critical", "sly")
        assert {one["reason"] for one in findings} & {"KERAS_LAMBDA_CODE", "MARSHALLED_CODE"}
        assert any("os" in one["text"] for one in findings)


def test_a_lambda_layer_that_names_its_function(found, archive):
    assert found(archive(model(layer("Lambda", function="my_function")))) == [("high", "KERAS_LAMBDA", "sly")]


def test_a_lambda_layer_in_a_model_in_a_layer(found, archive):
    inner = model(layer("Lambda", function=[BASE64, None, None]))
    outer = model(layer("TimeDistributed", layer=inner))
    assert ("critical", "KERAS_LAMBDA_CODE", "sly") in found(archive(outer))


def test_code_in_a_compiled_part_of_hdf5(found, hdf5):
    training = json.dumps({"loss": {"class_name": "__lambda__", "config": {"code": BASE64}}})
    findings = found(hdf5(("model_config", json.dumps(model())), ("training_config", training)), whole=True)
    assert findings[0]["severity"] == "critical"
    assert findings[0]["where"] == "model.h5 > training_config"


def test_a_second_configuration_behind_a_harmless_one(found, hdf5):
    harmless, real = json.dumps(model()), json.dumps(model(layer("Lambda", function=[BASE64])))
    assert ("critical", "KERAS_LAMBDA_CODE", "sly") in found(hdf5(("model_config", harmless), ("model_config", real)))


def test_a_lambda_layer_where_no_configuration_can_be_read(found, hdf5):
    assert found(hdf5(more=b'{"class_name": "Lambda", "config": {}}'))[0][:2] == ("high", "KERAS_LAMBDA")


@pytest.mark.parametrize(
    ("described", "severity", "reason"),
    [
        (layer("system", module="os"), "critical", "KERAS_DANGEROUS_FUNCTION"),
        (layer("Popen", module="subprocess"), "critical", "KERAS_DANGEROUS_FUNCTION"),
        (
            {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"},
            "critical",
            "KERAS_DANGEROUS_FUNCTION",
        ),
        (
            {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"},
            "critical",
            "KERAS_DANGEROUS_FUNCTION",
        ),
        (layer("TorchModuleWrapper"), "critical", "KERAS_UNPICKLES"),
        (layer("StringLookup", vocabulary="/etc/passwd"), "high", "KERAS_READS_FILE"),
        (layer("TFSMLayer", filepath="/elsewhere"), "high", "KERAS_LOADS_MODEL"),
        (layer("Attention", module="someone.layers"), "medium", "KERAS_CUSTOM_OBJECT"),
        (layer("Attention", module="keras_evil.layers"), "medium", "KERAS_CUSTOM_OBJECT"),
        (layer("Attention", module=None, registered="mine>Attention"), "medium", "KERAS_CUSTOM_OBJECT"),
        (
            {"module": "builtins", "class_name": "function", "config": "my_loss", "registered_name": "function"},
            "medium",
            "KERAS_CUSTOM_OBJECT",
        ),
        (layer("TFOpLambda", function="math.add"), "info", "KERAS_OPERATION_LAYER"),
    ],
)
def test_what_loading_would_import_call_or_read(found, archive, described, severity, reason):
    assert [one[:2] for one in found(archive(model(described)))] == [(severity, reason)]


def test_a_vocabulary_in_the_file_itself_is_harmless(found, archive):
    assert found(archive(model(layer("StringLookup", vocabulary=["a", "b"])))) == []


def test_entries_that_are_not_what_they_seem(found, archive):
    with pytest.warns(UserWarning, match="Duplicate"):
        tree = archive(model(), ("../../etc/cron.d/x", b"x"), ("config.json", "{}"), ("zeros", b"\0" * 2**24))
    assert {(one[0], one[1]) for one in found(tree)} == {
        ("high", "ARCHIVE_PATH_OUTSIDE"),
        ("high", "ARCHIVE_DUPLICATE"),
        ("high", "ARCHIVE_BOMB"),
    }


def test_an_encrypted_entry(found, archive):
    tree = archive(model())
    path = tree.path / "model.keras"
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # general purpose bit 0 of the first entry, in the directory
    path.write_bytes(bytes(content))
    assert ("medium", "ARCHIVE_ENCRYPTED", "") in found(tree)


class Harmful:
    def __reduce__(self):
        return print, ("unpickled",)


def test_pickles(found, archive, tmp_path, capsys):
    content = pickle.dumps(Harmful())
    assert found(archive(model(), ("assets/vocabulary.bin", content)))[0][:2] == ("high", "PICKLE")
    (tmp_path / "optimizer.pkl").write_bytes(content)
    (finding,) = found(Tree("source", tmp_path, ("optimizer.pkl",)), whole=True)
    assert "builtins.print" in finding["text"]
    assert capsys.readouterr().out == ""


def test_arrays_of_objects(found, tmp_path):
    import numpy as np

    np.savez(str(tmp_path / "data.npz"), x=np.array([{"a": 1}], dtype=object))
    assert found(Tree("source", tmp_path, ("data.npz",)))[0][:2] == ("high", "PICKLE")
    np.savez(str(tmp_path / "data.npz"), x=np.array([1.0]))
    assert found(Tree("source", tmp_path, ("data.npz",))) == []


def test_machine_code_beside_a_model(found, tmp_path):
    (tmp_path / "custom_ops.so").write_bytes(b"\x7fELF\x02\x01\x01" + b"\0" * 100)
    assert found(Tree("source", tmp_path, ("custom_ops.so",)))[0][:2] == ("medium", "MACHINE_CODE")


def test_links_to_other_files(found, hdf5):
    target = b"\0/etc/passwd\0/data\0"
    link = b"\x01\x08\x40\x06kernel" + struct.pack("<H", len(target)) + target
    (finding,) = found(hdf5(("model_config", json.dumps(model())), more=b"\0" * 5 + link), whole=True)
    assert (finding["severity"], finding["reason"]) == ("high", "HDF5_EXTERNAL_FILE")
    assert "/etc/passwd" in finding["text"]
    assert "kernel" in finding["text"]


def test_the_metadata_of_a_saved_model(found, tmp_path, saved_model, meta_graph_of, graph_of):
    config = json.dumps(layer("Lambda", function=[BASE64, None, None])).encode()
    inner = b"\x22" + bytes([len(config) & 127 | 128, len(config) >> 7]) + config
    outer = b"\x0a" + bytes([len(inner) & 127 | 128, len(inner) >> 7]) + inner
    (tmp_path / "keras_metadata.pb").write_bytes(outer)
    saved_model(meta_graph_of(graph_of(("x", "Placeholder")), "x:0"))
    findings = found(Tree("source", tmp_path, ("keras_metadata.pb", "saved_model.pb")), whole=True)
    assert (findings[0]["severity"], findings[0]["where"]) == ("critical", "keras_metadata.pb")


def test_a_tensorflow_js_model(found, tmp_path):
    content = {
        "format": "layers-model",
        "modelTopology": {"model_config": model(layer("Lambda", function=[BASE64]))},
        "weightsManifest": [{"paths": ["../../secret.bin"], "weights": []}],
    }
    (tmp_path / "model.json").write_text(json.dumps(content))
    reasons = {one[:2] for one in found(Tree("source", tmp_path, ("model.json",)))}
    assert {("critical", "KERAS_LAMBDA_CODE"), ("high", "WEIGHTS_OUTSIDE")} <= reasons


def test_a_tensorflow_js_graph(found, tmp_path):
    node = {"name": "write", "op": "WriteFile", "input": ["a", "b"]}
    content = {"format": "graph-model", "modelTopology": {"node": [node]}, "weightsManifest": []}
    (tmp_path / "model.json").write_text(json.dumps(content))
    (finding,) = found(Tree("source", tmp_path, ("model.json",)), whole=True)
    assert (finding["reason"], finding["where"]) == ("WRITES_FILES", "model.json > modelTopology")


def test_what_cannot_be_read_is_said(found, tmp_path):
    (tmp_path / "graph.pbtxt").write_text('node { name: "x" op: ')
    assert found(Tree("source", tmp_path, ("graph.pbtxt",)))[0][:2] == ("low", "NOT_SEARCHED")


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("TFOpLambda", {"function": "math.add"}, ("info", "KERAS_OPERATION_LAYER")),
        ("TFOpLambda", {"function": "nn.relu"}, ("info", "KERAS_OPERATION_LAYER")),
        ("TFOpLambda", {"function": "io.write_file"}, ("critical", "KERAS_OPERATION_NOT_ALLOWED")),
        ("TFOpLambda", {"function": "load_op_library"}, ("critical", "KERAS_OPERATION_NOT_ALLOWED")),
        ("TFOpLambda", {"function": "numpy_function"}, ("critical", "KERAS_OPERATION_NOT_ALLOWED")),
        ("TFOpLambda", {"function": "something_new"}, ("medium", "KERAS_OPERATION_NOT_ALLOWED")),
        ("TFOpLambda", {"function": "raw_ops.WriteFile"}, ("critical", "WRITES_FILES")),
        ("TFOpLambda", {"function": "raw_ops.AddV2"}, ("info", "KERAS_OPERATION_LAYER")),
        ("TensorFlowOpLayer", {"node_def": {"name": "w", "op": "WriteFile"}}, ("critical", "WRITES_FILES")),
        ("TensorFlowOpLayer", {"node_def": '{"name": "w", "op": "WriteFile"}'}, ("critical", "WRITES_FILES")),
        ("TensorFlowOpLayer", {"node_def": {"name": "a", "op": "AddV2"}}, ("info", "KERAS_OPERATION_LAYER")),
    ],
)
def test_layers_that_call_operations_by_name_pass_only_what_computes(found, archive, kind, config, expected):
    assert found(archive(model(layer(kind, **config)))) == [(*expected, "sly")]


@pytest.mark.parametrize("module", ["keras.src.utils.file_utils", "keras.utils", "keras.models"])
def test_a_function_of_keras_that_no_model_needs(found, archive, module):
    described = {"class_name": "function", "module": module, "config": "rmtree", "registered_name": "rmtree"}
    assert found(archive(model(layer("Dense", activation=described)))) == [("high", "KERAS_DANGEROUS_FUNCTION", "sly")]


@pytest.mark.parametrize("module", ["keras.activations", "keras.src.losses.losses"])
def test_a_function_that_models_are_made_with(found, archive, module):
    described = {"class_name": "function", "module": module, "config": "relu", "registered_name": "relu"}
    assert found(archive(model(layer("Dense", activation=described)))) == []


@pytest.mark.parametrize("before", [b"junkjunk", b"\x89HDF\r\n\x1a\n" + bytes(88), b"\x1c\0\0\0TFL3" + bytes(40)])
def test_an_archive_behind_something_else_is_searched(found, archive, before):
    tree = archive(model(layer("Lambda", function=[BASE64, None, None])))
    file = tree.path / "model.keras"
    file.write_bytes(before + file.read_bytes())
    assert ("critical", "KERAS_LAMBDA_CODE", "sly") in found(tree)


def test_a_file_is_searched_whatever_it_is_called(found, hdf5, tmp_path):
    config = json.dumps(model(layer("Lambda", function=[BASE64, None, None])))
    hdf5(("model_config", config))
    name = "model.data-00000-of-00001"
    (tmp_path / "model.h5").rename(tmp_path / name)
    assert ("critical", "KERAS_LAMBDA_CODE", "sly") in found(Tree("source", tmp_path, (name,)))
    (tmp_path / name).write_bytes(pickle.dumps(json.loads))
    assert found(Tree("source", tmp_path, (name,))) == [("high", "PICKLE", "")]


def test_a_damaged_weights_file_in_an_archive_is_told(found, archive):
    tree = archive(model(), ("more.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 400))
    file = tree.path / "model.keras"
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(str(file)) as made:
        entry = made.getinfo("more.weights.h5")
    place = entry.header_offset + 30 + len(entry.filename) + entry.compress_size - 20
    content[place] ^= 0xFF
    file.write_bytes(bytes(content))
    assert ("low", "NOT_SEARCHED", "") in found(tree)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("payload", b"cos\nsystem\n(S'ls'\ntR."),
        (
            "payload.npy",
            b"\x93NUMPY\x01\0v\0{'descr': [('a', 'O')], 'fortran_order': False, 'shape': (1,), }" + b" " * 40,
        ),
        ("payload.npy", b'\x93NUMPY\x01\0v\0{"descr": "|O", "fortran_order": False, "shape": (1,), }' + b" " * 40),
    ],
)
def test_what_unpickles_is_found_in_every_form(found, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert found(Tree("source", tmp_path, (name,))) == [("high", "PICKLE", "")]


def test_a_message_with_more_fields_than_are_looked_at_says_so(found, tmp_path):
    config = json.dumps(model(layer("Lambda", function=[BASE64, None, None]))).encode()
    length = bytes([len(config) & 127 | 128, len(config) >> 7])
    (tmp_path / "keras_metadata.pb").write_bytes(b"\x78\x01" * 100_001 + b"\x0a" + length + config)
    assert ("medium", "SEARCH_BOUND_MET", "") in found(Tree("source", tmp_path, ("keras_metadata.pb",)))
