import errno
import os
from pathlib import Path

import pytest
from modelmill.client import collect, sources
from modelmill.errors import ModelmillError


@pytest.fixture
def folder(tmp_path):
    for name in (
        "model.ckpt.index",
        "model.ckpt.data-00000-of-00002",
        "model.ckpt.data-00001-of-00002",
        "model.ckpt.meta",
        "model.ckpt-10.index",
        "model.ckpt-10.data-00000-of-00001",
        "graph.pbtxt",
        "checkpoint",
        ".hidden",
    ):
        (tmp_path / name).write_text(name)
    return tmp_path


CHECKPOINT = ["model.ckpt.index", "model.ckpt.data-00000-of-00002", "model.ckpt.data-00001-of-00002"]


def paths(source):
    return [file.path for file in source.files]


def test_a_prefix_stands_for_its_checkpoint_and_its_meta_graph(folder):
    source = collect(folder / "model.ckpt")
    assert paths(source) == [*CHECKPOINT, "model.ckpt.meta"]
    assert source.display_name == "model.ckpt"


def test_a_named_graph_takes_the_place_of_the_meta_graph(folder):
    assert paths(collect(folder / "model.ckpt", folder / "graph.pbtxt")) == [*CHECKPOINT, "graph.pbtxt"]


def test_a_prefix_takes_nothing_of_another_checkpoint_that_begins_alike(folder):
    other = ["model.ckpt-10.index", "model.ckpt-10.data-00000-of-00001"]
    assert paths(collect(folder / "model.ckpt-10"))[:-1] == other


@pytest.mark.parametrize("names", [["graph.pbtxt"], ["graph.pb", "graph.pbtxt"]])
def test_a_graph_beside_a_checkpoint_stands_in_for_its_meta_graph(folder, names):
    for name in names:
        (folder / name).touch()
    assert paths(collect(folder / "model.ckpt-10"))[-1] == names[0]


def test_a_meta_graph_stands_for_its_checkpoint(folder):
    assert paths(collect(folder / "model.ckpt.meta")) == [*CHECKPOINT, "model.ckpt.meta"]


def test_a_meta_graph_without_a_checkpoint_is_a_file(folder):
    (folder / "model.ckpt.index").unlink()
    assert paths(collect(folder / "model.ckpt.meta")) == ["model.ckpt.meta"]


@pytest.mark.parametrize("name", ["export", "export.meta"])
def test_a_checkpoint_in_one_file_comes_with_its_meta_graph(tmp_path, name):
    for there in ("export", "export.meta", "other"):
        (tmp_path / there).touch()
    assert paths(collect(tmp_path / name)) == ["export", "export.meta"]


@pytest.mark.parametrize("path", ["model.ckpt", "/home/somebody/run/model.ckpt", "D:\\\\run\\\\model.ckpt"])
def test_the_note_of_the_latest_checkpoint_stands_for_it(folder, path):
    older = 'all_model_checkpoint_paths: "model.ckpt-10"'
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{path}"\n{older}\n')
    assert paths(collect(folder / "checkpoint")) == [*CHECKPOINT, "model.ckpt.meta"]


def test_a_note_of_a_checkpoint_that_is_not_there_is_left_for_the_farm_to_judge(folder):
    (folder / "checkpoint").write_text('model_checkpoint_path: "gone"\n')
    assert paths(collect(folder / "checkpoint")) == ["checkpoint"]


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt"])
def test_a_saved_models_own_file_stands_for_its_folder(tmp_path, name):
    (tmp_path / "variables").mkdir()
    for there in (name, "variables/variables.index"):
        (tmp_path / there).touch()
    assert paths(collect(tmp_path / name)) == [name, "variables/variables.index"]


@pytest.mark.parametrize("name", ["model.ckpt.index", "model.ckpt.data-00001-of-00002"])
def test_a_part_of_a_checkpoint_stands_for_the_whole(folder, name):
    source = collect(folder / name)
    assert paths(source) == [*CHECKPOINT, "model.ckpt.meta"]
    assert source.display_name == "model.ckpt"


def test_a_file_is_itself(folder):
    assert paths(collect(folder / "graph.pbtxt")) == ["graph.pbtxt"]


def test_an_empty_file_is_collected_for_the_farm_to_judge(tmp_path):
    (tmp_path / "empty.pb").touch()
    assert paths(collect(tmp_path / "empty.pb")) == ["empty.pb"]


def test_a_folder_stands_for_all_that_is_in_it_and_not_hidden(folder):
    (folder / "variables").mkdir()
    (folder / "variables" / "v").touch()
    (folder / ".git").mkdir()
    (folder / ".git" / "config").touch()
    found = paths(collect(folder))
    assert "variables/v" in found
    assert "checkpoint" in found
    assert not [path for path in found if "hidden" in path or "git" in path]


def test_a_graph_that_is_part_of_the_source_counts_once(folder):
    assert paths(collect(folder, folder / "graph.pbtxt")).count("graph.pbtxt") == 1


def test_a_graph_with_the_name_of_another_file_gets_a_path_of_its_own(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "graph.pbtxt"
    other.touch()
    assert paths(collect(folder / "graph.pbtxt", other)) == ["graph.pbtxt", "graph/graph.pbtxt"]


def refusal(*arguments):
    with pytest.raises(ModelmillError) as caught:
        collect(*arguments)
    return caught.value


def test_a_source_that_is_not_there_is_answered_with_the_nearest_names(folder):
    error = refusal(folder / "modl.ckpt")
    assert error.reason == "SOURCE_NOT_FOUND"
    assert error.failure.details["nearest"][0] == "model.ckpt"
    assert "model.ckpt" in str(error)


def test_a_source_in_a_folder_that_is_not_there_says_so(folder):
    assert f"There is no folder {folder / 'nowhere'}" in str(refusal(folder / "nowhere" / "x"))


def test_a_graph_that_is_not_there_is_answered_with_the_nearest_names(folder):
    error = refusal(folder / "model.ckpt", folder / "graph.pb")
    assert error.reason == "GRAPH_NOT_FOUND"
    assert error.failure.details["nearest"] == ["graph.pbtxt"]


def test_a_checkpoint_without_its_index_is_told_from_a_name_that_is_wrong(folder):
    (folder / "model.ckpt.index").unlink()
    error = refusal(folder / "model.ckpt")
    assert error.reason == "CHECKPOINT_INDEX_MISSING"
    assert error.failure.details["found"] == [*CHECKPOINT[1:], "model.ckpt.meta"]


def test_an_empty_folder_holds_no_model(tmp_path):
    assert refusal(tmp_path).reason == "SOURCE_EMPTY"


def test_a_folder_that_is_too_large_to_be_a_model_is_refused(folder, monkeypatch):
    monkeypatch.setattr(sources, "FILES_LIMIT", 3)
    assert refusal(folder).reason == "SOURCE_TOO_LARGE"


def test_says_which_folder_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "model").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ModelmillError) as caught:
        collect(tmp_path / "model")
    assert caught.value.reason == "SOURCE_UNREADABLE"
    assert str(tmp_path / "model") in str(caught.value)


def test_a_name_too_long_for_any_file_is_not_found():
    with pytest.raises(ModelmillError) as caught:
        collect(Path("x" * 300))
    assert caught.value.reason == "SOURCE_NOT_FOUND"
