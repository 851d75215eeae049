import os

import pytest
from modelmill_worker import StepError
from modelmill_worker.step_folder import InputFile, StepFolder, output_files, read_json, write_json


@pytest.fixture
def folder(tmp_path):
    folder = StepFolder(tmp_path / "step")
    folder.create()
    return folder


def test_lays_out_links_to_the_same_bytes(folder, tmp_path):
    blob = tmp_path / "blob"
    blob.write_bytes(b"bytes")
    folder.lay_out("model", [InputFile("a", blob), InputFile("deep/er/b", blob)])
    assert (folder.inputs / "model/deep/er/b").read_bytes() == b"bytes"
    assert (folder.inputs / "model/a").stat().st_ino == blob.stat().st_ino


@pytest.mark.parametrize("path", ["", "/a", "a/../../b", "..", "a/", "./a", "a\0b"])
def test_refuses_a_path_that_leaves_the_tree(folder, tmp_path, path):
    (tmp_path / "blob").touch()
    with pytest.raises(StepError) as caught:
        folder.lay_out("model", [InputFile(path, tmp_path / "blob")])
    assert caught.value.reason == "INVALID_PATH"


def test_lists_the_files_made(folder):
    (folder.output / "b").mkdir()
    (folder.output / "b/c").touch()
    (folder.output / "a").touch()
    (folder.output / "empty").mkdir()
    assert output_files(folder.output) == ["a", "b/c"]


def test_refuses_no_file_at_all(folder):
    with pytest.raises(StepError) as caught:
        output_files(folder.output)
    assert caught.value.reason == "PLUGIN_GAVE_NOTHING"


@pytest.mark.parametrize("make", ["symlink", "dangling", "folder link", "pipe"])
def test_refuses_what_is_no_plain_file(folder, tmp_path, make):
    path = folder.output / "odd"
    if make == "pipe":
        os.mkfifo(str(path))
    else:
        path.symlink_to({"symlink": "/etc/passwd", "dangling": "/nowhere", "folder link": str(tmp_path)}[make])
    with pytest.raises(StepError) as caught:
        output_files(folder.output)
    assert caught.value.reason == "OUTPUT_REFUSED"
    assert caught.value.details["path"] == "odd"


def test_reads_what_it_wrote_and_nothing_else(folder):
    path = folder.report / "result.json"
    assert read_json(path) is None
    write_json(path, {"facts": {}})
    assert read_json(path) == {"facts": {}}
    assert [entry.name for entry in folder.report.iterdir()] == ["result.json"]
    path.write_text("{half")
    assert read_json(path) is None
    path.write_text("[]")
    assert read_json(path) is None


def test_removes_folders_that_were_made_unreadable(folder):
    locked = folder.scratch / "locked"
    locked.mkdir()
    (locked / "file").touch()
    locked.chmod(0)
    folder.remove()
    assert not folder.root.exists()
