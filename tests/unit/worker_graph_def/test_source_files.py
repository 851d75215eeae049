import shutil

import pytest
from modelmill_worker import source_files
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Tree

PNET = "mtcnn/tf1.15.5/pnet"
DATA = "model.ckpt.data-00000-of-00001"


@pytest.fixture
def survey(corpus, tmp_path):
    """Survey copies of these of P-Net's files, and all else that lies beside them."""

    def run(*names):
        for name in names:
            shutil.copyfile(corpus / PNET / name, tmp_path / name)
        files = tuple(sorted(path.name for path in tmp_path.iterdir()))
        return source_files.survey(Tree("source", tmp_path, files))

    return run


def reason_of(function, *arguments):
    with pytest.raises(StepError) as caught:
        function(*arguments)
    return caught.value.reason


def test_chooses_the_checkpoint_and_its_graph(survey, tmp_path):
    files = survey("model.ckpt.index", DATA, "graph.pbtxt", "checkpoint")
    checkpoint = source_files.choose_checkpoint(files)
    assert (checkpoint.name, checkpoint.prefix, checkpoint.shards) == ("model.ckpt", tmp_path / "model.ckpt", 1)
    assert source_files.choose_graph(files, checkpoint).name == "graph.pbtxt"


def test_the_checkpoints_own_meta_yields_to_a_graph_that_was_named(survey):
    files = survey("model.ckpt.index", DATA, "model.ckpt.meta", "graph.pb")
    assert source_files.choose_graph(files, source_files.choose_checkpoint(files)).name == "graph.pb"


def test_the_checkpoints_own_meta_will_do(survey):
    files = survey("model.ckpt.index", DATA, "model.ckpt.meta")
    assert source_files.choose_graph(files, source_files.choose_checkpoint(files)).name == "model.ckpt.meta"


@pytest.mark.parametrize(
    ("there", "missing"), [("model.ckpt.index", DATA), (DATA, "model.ckpt.index"), ("model.ckpt.meta", None)]
)
def test_names_the_part_that_is_missing(survey, there, missing):
    files = survey(there)
    with pytest.raises(StepError) as caught:
        source_files.choose_checkpoint(files)
    if missing is None:
        assert caught.value.reason == "CHECKPOINT_MISSING"
    else:
        assert caught.value.reason == "CHECKPOINT_INCOMPLETE"
        assert caught.value.details["missing"] == [missing]
        assert missing in caught.value.message


def test_names_every_shard_that_is_missing(survey, tmp_path):
    # A BundleHeaderProto of three shards under the empty key, and the magic number at the end of an sstable.
    header = b"\0\0\x02\x08\x03"
    (tmp_path / "big.index").write_bytes(header + bytes(48) + bytes.fromhex("57fb808b247547db"))
    (tmp_path / "big.data-00001-of-00003").write_bytes(b"x")
    with pytest.raises(StepError) as caught:
        source_files.choose_checkpoint(survey())
    assert caught.value.details["missing"] == ["big.data-00000-of-00003", "big.data-00002-of-00003"]


def test_refuses_several_checkpoints_by_name(survey, tmp_path):
    (tmp_path / "other.data-00000-of-00001").write_bytes(b"x")
    files = survey("model.ckpt.index", DATA)
    with pytest.raises(StepError) as caught:
        source_files.choose_checkpoint(files)
    assert caught.value.reason == "AMBIGUOUS_SOURCE"
    assert caught.value.details["candidates"] == ["model.ckpt", "other"]


def test_refuses_several_graphs_by_name(survey):
    files = survey("model.ckpt.index", DATA, "graph.pb", "graph.pbtxt")
    assert reason_of(source_files.choose_graph, files, None) == "AMBIGUOUS_SOURCE"


def test_says_that_a_graph_is_missing(survey):
    files = survey("model.ckpt.index", DATA)
    with pytest.raises(StepError, match="--graph") as caught:
        source_files.choose_graph(files, source_files.choose_checkpoint(files))
    assert caught.value.reason == "GRAPH_MISSING"


@pytest.mark.parametrize("empty", ["model.ckpt.index", DATA])
def test_refuses_an_empty_part(survey, tmp_path, empty):
    survey("model.ckpt.index", DATA)
    (tmp_path / empty).write_bytes(b"")
    assert reason_of(source_files.choose_checkpoint, survey()) == "EMPTY_FILE"


def test_refuses_an_index_that_was_cut(survey, tmp_path):
    survey("model.ckpt.index", DATA)
    index = tmp_path / "model.ckpt.index"
    index.write_bytes(index.read_bytes()[:-20])
    assert reason_of(source_files.choose_checkpoint, survey()) == "CHECKPOINT_UNREADABLE"


def test_takes_a_checkpoint_of_the_old_one_file_format(corpus):
    folder = corpus / "bad-inputs/bad_half_plus_two/00000123"
    files = source_files.survey(Tree("source", folder, ("checkpoint", "export", "export.meta")))
    checkpoint = source_files.choose_checkpoint(files)
    assert checkpoint.prefix == folder / "export"
    assert source_files.choose_graph(files, checkpoint).name == "export.meta"


def two_checkpoints(survey, tmp_path, note):
    survey("model.ckpt.index", DATA, "model.ckpt.meta")
    for name in ("model.ckpt.index", DATA, "model.ckpt.meta"):
        shutil.copyfile(tmp_path / name, tmp_path / name.replace("model.ckpt", "model.ckpt-7"))
    (tmp_path / "checkpoint").write_text(note)
    return survey()


@pytest.mark.parametrize("path", ["model.ckpt-7", "/data/run/model.ckpt-7"])
def test_takes_the_checkpoint_that_is_noted_as_the_latest_with_its_own_graph(survey, tmp_path, path):
    older = 'all_model_checkpoint_paths: "model.ckpt"'
    files = two_checkpoints(survey, tmp_path, f'model_checkpoint_path: "{path}"\n{older}\n')
    checkpoint = source_files.choose_checkpoint(files)
    assert checkpoint.name == "model.ckpt-7"
    assert source_files.choose_graph(files, checkpoint).name == "model.ckpt-7.meta"
    assert source_files.checkpoint_names(files) == ["model.ckpt", "model.ckpt-7"]


def test_a_note_of_another_checkpoint_does_not_help_to_choose(survey, tmp_path):
    files = two_checkpoints(survey, tmp_path, 'model_checkpoint_path: "gone"\n')
    assert reason_of(source_files.choose_checkpoint, files) == "AMBIGUOUS_SOURCE"


def test_the_variables_of_a_saved_model_ask_for_the_folder_above(corpus):
    folder = corpus / PNET / "saved_model/variables"
    files = source_files.survey(Tree("source", folder, tuple(sorted(path.name for path in folder.iterdir()))))
    with pytest.raises(StepError, match="the folder above") as caught:
        source_files.choose_graph(files, source_files.choose_checkpoint(files))
    assert caught.value.reason == "GRAPH_MISSING"


def test_weights_that_keras_saved_ask_for_the_whole_model(corpus, tmp_path):
    """The variables of a SavedModel of TensorFlow 2 are such weights; under their own name it shows."""
    folder = corpus / "kws-dscnn/kws_ref_model/variables"
    for path in folder.iterdir():
        shutil.copyfile(path, tmp_path / path.name.replace("variables", "weights"))
    files = source_files.survey(Tree("source", tmp_path, tuple(sorted(path.name for path in tmp_path.iterdir()))))
    with pytest.raises(StepError, match="save_weights") as caught:
        source_files.choose_graph(files, source_files.choose_checkpoint(files))
    assert caught.value.reason == "GRAPH_MISSING"
