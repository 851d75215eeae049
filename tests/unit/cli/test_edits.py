"""The edits of a command line as files for the farm."""

import pytest
from modelmill.cli.edits import collect_edits
from modelmill.errors import ModelmillError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine" / "arrays").mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    return tmp_path / "mine"


def collect(folder, text, *more):
    (folder / "edits.txt").write_text(text)
    return collect_edits(more, folder / "edits.txt", folder.parent / "scratch")


def test_there_are_none_where_none_are_given(tmp_path):
    assert collect_edits((), None, tmp_path) is None


def test_takes_the_arrays_that_a_list_names(folder):
    for name in ("a.npy", "arrays/b c.npy", "d.npy"):
        (folder / name).write_bytes(b"array")
    found = collect(folder, 'replace_constant(node=x, value=a.npy)\nreplace_constant(node=y, value="arrays/b c.npy")\n')
    assert [file.path for file in found.files] == ["edits.txt", "a.npy", "arrays/b c.npy"]
    assert found.files[1].file == folder / "a.npy"


def test_takes_a_log_that_a_list_names(folder):
    (folder / "runs.log").write_text("log")
    found = collect(folder, "freeze_requantization_ranges(min_percentile=1, min_max_log_file=runs.log)\n")
    assert [file.path for file in found.files] == ["edits.txt", "runs.log"]


def test_what_the_command_line_says_comes_behind_the_list(folder):
    found = collect(folder, "prune_unused\n", "prelu", "remove_identities")
    assert found.files[0].file.read_text().split() == ["prune_unused", "prelu", "remove_identities"]


def test_arrays_of_the_command_line_lie_in_the_working_folder(folder, monkeypatch):
    (folder / "a.npy").write_bytes(b"array")
    monkeypatch.chdir(folder)
    found = collect_edits(("replace_constant(node=x, value=a.npy)",), None, folder.parent / "scratch")
    assert [file.path for file in found.files] == ["edits.txt", "a.npy"]


def test_a_comment_names_no_array(folder):
    assert len(collect(folder, "# replace_constant(value=gone.npy)\nprune_unused\n").files) == 1


@pytest.mark.parametrize("name", ["gone.npy", "../outside.npy", "/outside.npy"])
def test_refuses_an_array_that_does_not_lie_beside_the_list(folder, name):
    (folder.parent / "outside.npy").write_bytes(b"array")
    with pytest.raises(ModelmillError, match=r"There is no .*npy in") as raised:
        collect(folder, f"replace_constant(node=x, value={name})")
    assert raised.value.reason == "ARRAY_NOT_FOUND"


def test_refuses_a_list_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(ModelmillError) as raised:
        collect_edits((), tmp_path / "gone.txt", tmp_path)
    assert raised.value.reason == "EDITS_NOT_FOUND"
    (tmp_path / "edits").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelmillError) as raised:
        collect_edits((), tmp_path / "edits", tmp_path)
    assert raised.value.reason == "EDITS_UNREADABLE"
