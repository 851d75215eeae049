"""The fact `tensorflow`: what models of the corpus are read by. Each expectation was seen in those versions."""

import io
import json
import zipfile

import h5py
import pytest
from modelmill_inspector import _hdf5, _keras_file, _keras_versions
from modelmill_inspector._recognition import recognise_source
from modelmill_worker import op_versions
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Tree

ALL = list(op_versions.versions())


def between(first, last="2.21"):
    return ALL[ALL.index(first) : ALL.index(last) + 1]


def fact(path):
    if path.is_dir():
        names = sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())
        return recognise_source(Tree("source", path, tuple(names))).facts["tensorflow"]
    return recognise_source(Tree("source", path.parent, (path.name,))).facts["tensorflow"]


def partition(found):
    return sorted(found["readable"] + list(found["readable_stripped"]) + list(found["unreadable"]), key=ALL.index)


def test_a_frozen_graph_that_all_read(corpus):
    found = fact(corpus / "posenet/frozen.pb")
    assert found == {
        "writer": "",
        "keras": "",
        "readable": ALL,
        "readable_stripped": {},
        "ignored": {},
        "unreadable": {},
    }


def test_a_graph_that_older_versions_read_once_it_is_stripped(corpus):
    found = fact(corpus / "mtcnn/tf1.15.5/pnet/frozen.pb")
    assert found["readable"] == between("1.14")
    assert found["readable_stripped"] == {version: ["Conv2D.explicit_paddings"] for version in between("1.5", "1.13")}


def test_an_operation_that_old_versions_lack(corpus):
    found = fact(corpus / "kws-tf1-frozen/CRNN_S.pb")
    assert found["readable"] == between("1.8")
    assert found["unreadable"]["1.5"].startswith(
        "the operation DecodeWav, at decoded_sample_data, is known from 1.8 on"
    )


def test_only_what_the_outputs_need_counts_in_a_checkpoint(corpus, tmp_path):
    net = corpus / "mtcnn/tf1.15.5/pnet"
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001", "model.ckpt.meta"):
        (tmp_path / name).symlink_to(net / name)
    found = fact(tmp_path)
    assert found["writer"] == "1.15.5"
    assert set(found["readable_stripped"]["1.5"]) == {"Conv2D.explicit_paddings"}


def test_a_saved_model_of_tensorflow_1_is_stripped_by_its_loader(corpus):
    found = fact(corpus / "mtcnn/tf1.15.5/pnet/saved_model")
    assert (found["writer"], found["readable"], found["readable_stripped"]) == ("1.15.5", ALL, {})


def test_a_saved_model_of_keras_2_with_its_optimizer(corpus):
    found = fact(corpus / "basic-pitch/nmp")
    assert found["writer"] == "2.4.1"
    assert found["readable"] == ["1.14", "1.15", *between("2.2", "2.15")]
    assert "exponential_avg_factor" in found["unreadable"]["2.0"]
    assert "include_optimizer=False" in found["unreadable"]["2.16"]
    assert found["frozen"]["readable"] == ["1.14", "1.15", *between("2.0")]
    assert partition(found) == ALL


def test_a_saved_model_with_an_attribute_that_newer_versions_ignore(corpus):
    found = fact(corpus / "mtcnn/keras2/pnet_saved_model")
    assert found["writer"] == "2.15.1"
    assert set(between("2.12")) <= set(found["readable"])
    assert found["ignored"]["2.12"] == ["VarHandleOp.debug_name"]
    assert "DisableCopyOnRead" in found["unreadable"]["2.8"]
    assert "debug_name" in found["unreadable"]["2.4"]


@pytest.mark.parametrize(
    ("file", "keras", "versions"),
    [
        ("keras-mnist-cnn/model.keras", "3.8.0", between("2.16")),
        ("keras-nlf-classifier/model.keras", "2.15.0", ["2.15"]),
        ("keras-audio-classifier/model.keras", "2.12.0", between("2.3", "2.15")),
        ("mtcnn/keras2/pnet.h5", "2.15.0", between("2.3")),
        ("mtcnn/keras2/onet.keras", "2.15.0", ["2.15"]),
        ("mtcnn/keras3/pnet.keras", "3.15.1", between("2.16")),
        ("resnet8/pretrainedResnet.h5", "2.4.0", between("2.3")),
    ],
)
def test_keras_files(corpus, file, keras, versions):
    found = fact(corpus / file)
    assert (found["writer"], found["keras"], found["readable"]) == ("", keras, versions)
    assert partition(found) == ALL


def test_hdf5_that_is_called_keras_is_to_be_renamed(corpus):
    assert "rename it to .h5" in fact(corpus / "keras-audio-classifier/model.keras")["unreadable"]["2.16"]


def test_what_no_tensorflow_runs_has_no_such_fact(corpus):
    facts = recognise_source(Tree("source", corpus / "resnet8", ("pretrainedResnet.tflite",))).facts
    assert "tensorflow" not in facts


def empty_hdf5():
    content = io.BytesIO()
    h5py.File(content, "w").close()
    return content.getvalue()


def archive(folder, config, **metadata):
    path = folder / "model.keras"
    with zipfile.ZipFile(str(path), "w") as made:
        made.writestr("config.json", config)
        made.writestr("metadata.json", json.dumps(metadata))
        made.writestr("model.weights.h5", empty_hdf5())
    return path


@pytest.mark.parametrize(
    ("version", "versions"),
    [("2.13.1", ["2.13", "2.14"]), ("2.14.0", ["2.13", "2.14"]), ("2.15.0", ["2.15"]), ("3.0.5", between("2.16"))],
)
def test_an_archive_is_loaded_by_the_keras_that_lays_weights_out_so(tmp_path, version, versions):
    path = archive(tmp_path, '{"class_name": "Sequential", "config": {}}', keras_version=version)
    assert fact(path)["readable"] == versions


def test_an_archive_that_is_damaged(tmp_path):
    with pytest.raises(StepError) as raised:
        fact(archive(tmp_path, '{"class_name": '))
    assert raised.value.reason == "KERAS_FILE_DAMAGED"


def old_file(*arguments):
    return _keras_file.KerasFile("model.h5", False, "2.2.4-tf", "tensorflow", frozenset(arguments))


def test_old_hdf5_that_keras_3_does_not_load():
    initializer = [("Model", ""), ("InputLayer", ""), ("Conv2D", ""), ("Zeros", ""), ("Zeros", "dtype")]
    assert _keras_versions.of_keras(old_file(*initializer))["readable"] == between("1.11", "2.15")
    assert _keras_versions.of_keras(old_file(("Sequential", ""), ("Dense", "")))["readable"] == between("1.11", "2.15")
    assert _keras_versions.of_keras(old_file(("Model", ""), ("InputLayer", "")))["readable"] == between("1.11")


def test_reads_attributes_of_hdf5(corpus):
    file = corpus / "mtcnn/keras2/pnet.h5"
    assert _hdf5.read_text(file, "keras_version") == "2.15.0"
    assert _hdf5.read_text(file, "backend") == "tensorflow"
    assert json.loads(_hdf5.read_text(file, "model_config"))["class_name"] == "Functional"
    assert _hdf5.read_text(file, "model_confi") is None
    assert _hdf5.read_text(corpus / "bad-inputs/weights_only.h5", "model_config") is None


def test_bytes_that_only_look_like_an_attribute_are_none(tmp_path):
    file = tmp_path / "model.h5"
    for message in (
        b"keras_version\0",
        b"\1\0\x0e\0\xff\xff\xff\xffkeras_version\0\0\0",
        b"\1\0\x0e\0\x08\0\x08\0keras_version\0\0\0\x19",
    ):
        file.write_bytes(message)
        assert _hdf5.read_text(file, "keras_version") is None
