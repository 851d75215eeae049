import json
import shutil
from pathlib import Path

import modelmill_inspector
import numpy as np
import pytest
from modelmill_inspector._options import InspectOptions
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Role, Step, Tree
from modelmill_worker.signature import Signature, Tensor
from modelmill_worker.signature import write as write_signature

PNET = "mtcnn/tf1.15.5/pnet"
DATA = "model.ckpt.data-00000-of-00001"


@pytest.fixture
def inspect(tmp_path):
    """Inspect a folder or a file; the facts returned are those of the report."""

    def run(source: Path, **options):
        if source.is_dir():
            names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
            tree = Tree("source", source, tuple(names))
        else:
            tree = Tree("source", source.parent, (source.name,))
        output = tmp_path / "output"
        output.mkdir()
        step = Step({"source": tree}, InspectOptions(**options), output, tmp_path)
        facts = modelmill_inspector.inspect(step)
        assert json.loads((output / "report.json").read_text()) == facts
        assert [path.name for path in output.iterdir()] == ["report.json"]
        return facts

    return run


@pytest.fixture
def folder_of(corpus, tmp_path):
    """A folder with copies of files of the corpus."""

    def make(*paths):
        folder = tmp_path / "source"
        folder.mkdir()
        for path in paths:
            shutil.copyfile(corpus / path, folder / Path(path).name)
        return folder

    return make


def refusal(inspect, source):
    with pytest.raises(StepError) as caught:
        inspect(source)
    return caught.value


def test_describes_a_checkpoint_with_its_graph(inspect, folder_of):
    facts = inspect(folder_of(*(f"{PNET}/{name}" for name in ("model.ckpt.index", DATA, "graph.pbtxt"))))
    assert facts["kind"] == "tf.checkpoint"
    assert facts["producer"] == 134
    assert [(one["name"], one["dtype"], one["shape"]) for one in facts["inputs"]] == [
        ("pnet/input", "float32", [-1, -1, -1, 3])
    ]
    assert [one["tensor"] for one in facts["outputs"]] == ["prob:0", "bbox:0"]
    # 3*3*3*10 + 10 + 10, 3*3*10*16 + 16 + 16, 3*3*16*32 + 32 + 32, 32*2 + 2, 32*4 + 4
    assert facts["parameters"] == 290 + 1472 + 4672 + 66 + 132
    assert facts["variables"] == 13
    assert facts["operations"]["Conv2D"] == 5
    assert facts["training_only"]["SaveV2"] == 1
    assert "Conv2D" not in facts["training_only"]
    assert "pnet/input -> prob, bbox" in facts["description"]


def test_counts_the_weights_of_a_frozen_graph_as_those_of_its_variables(inspect, corpus):
    facts = inspect(corpus / PNET / "frozen.pb")
    assert (facts["kind"], facts["parameters"], facts["variables"]) == ("tf.graph_def", 6632, 0)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("posenet/frozen.pb", "tf.graph_def"),
        ("bad-inputs/model_invoking_error.tflite", "tflite"),
        ("bad-inputs/native-crash/person_detect.tflite", "tflite"),
        ("bad-inputs/native-crash/keyword_scrambled.tflite", "tflite"),
        ("bad-inputs/native-crash/keyword_scrambled_8bit.tflite", "tflite"),
        ("bad-inputs/bad_half_plus_two", "tf.checkpoint"),
        ("resnet8/pretrainedResnet.h5", "keras.h5"),
        ("keras-audio-classifier/model.keras", "keras.h5"),
        ("keras-mnist-cnn/model.keras", "keras.v3"),
        ("tfjs/posenet", "tfjs.graph_model"),
        ("tfjs/nsfwjs-mobilenetv2-layers/mobilenet_v2", "tfjs.layers_model"),
        ("calibration/mnist2000.npz", "dataset"),
    ],
)
def test_recognises_the_kind_by_content(inspect, corpus, path, kind):
    assert inspect(corpus / path)["kind"] == kind


def test_takes_inputs_and_outputs_of_a_saved_model_from_its_signature(inspect, corpus):
    facts = inspect(corpus / "basic-pitch/nmp")
    assert facts["kind"] == "tf.saved_model"
    assert [one["name"] for one in facts["inputs"]] == ["input_2"]
    assert [one["name"] for one in facts["outputs"]] == ["contour", "note", "onset"]
    assert facts["inputs"][0]["shape"] == [-1, 43844, 1]
    assert facts["operations"]["Conv2D"] > 0


SAVED_MODEL_IN_TEXT = """
saved_model_schema_version: 1
meta_graphs {
  meta_info_def { tags: "serve" }
  graph_def {
    node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }
    node { name: "y" op: "Relu" input: "x" attr { key: "T" value { type: DT_FLOAT } } }
  }
  signature_def {
    key: "only"
    value {
      inputs { key: "in" value { name: "x:0" dtype: DT_FLOAT tensor_shape { dim { size: 3 } } } }
      outputs { key: "out" value { name: "y:0" dtype: DT_FLOAT tensor_shape { dim { size: 3 } } } }
    }
  }
}
"""


def test_takes_the_outputs_that_the_signature_of_a_meta_graph_names(inspect, corpus, tmp_path):
    meta_graph = graph_def.meta_graph_class()()
    meta_graph.graph_def.ParseFromString((corpus / "posenet" / "frozen.pb").read_bytes())
    meta_graph.meta_info_def.tensorflow_version = "1.15.5"
    meta_graph.signature_def["predict"].outputs["offsets"].name = "MobilenetV1/offset_2/BiasAdd:0"
    (tmp_path / "model.meta").write_bytes(meta_graph.SerializeToString())
    facts = inspect(tmp_path / "model.meta")
    assert [tensor["name"] for tensor in facts["outputs"]] == ["MobilenetV1/offset_2/BiasAdd"]


def test_describes_the_outputs_that_are_named_in_a_saved_model(inspect, corpus):
    facts = inspect(corpus / "mtcnn" / "tf1.15.5" / "onet" / "saved_model", outputs=("bbox:0",))
    assert [tensor["name"] for tensor in facts["outputs"]] == ["bbox"]
    assert [tensor["name"] for tensor in facts["inputs"]] == ["onet/input"]


def test_describes_a_saved_model_in_text_form(inspect, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pbtxt").write_text(SAVED_MODEL_IN_TEXT)

    facts = inspect(tmp_path / "saved")

    assert facts["kind"] == "tf.saved_model"
    assert [(one["name"], one["shape"]) for one in facts["inputs"] + facts["outputs"]] == [("in", [3]), ("out", [3])]
    assert facts["operations"] == {"Placeholder": 1, "Relu": 1}
    assert "1.5" in facts["tensorflow"]["readable"]


def test_recognises_a_frozen_graph_by_its_signature(inspect, folder_of):
    folder = folder_of(PNET + "/frozen.pb")
    image = Tensor("image", "pnet/input:0", "float32", (-1, -1, -1, 3))
    write_signature(folder, Signature((image,), (Tensor("face", "prob:0", "float32", None),)))
    facts = inspect(folder)
    assert facts["kind"] == "tf.frozen_graph"
    assert [one["name"] for one in facts["inputs"] + facts["outputs"]] == ["image", "face"]
    assert facts["parameters"] == 6632 - 32 * 4 - 4


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [
        ("bad-inputs/checkpoint_without_data", "CHECKPOINT_INCOMPLETE", DATA),
        ("bad-inputs/text_graphdef_named_pb.pb", "CHECKPOINT_MISSING", "text_graphdef_named_pb.pb"),
        ("bad-inputs/weights_only.h5", "KERAS_WEIGHTS_ONLY", "weights_only.h5"),
        ("bad-inputs/native-crash", "AMBIGUOUS_SOURCE", "person_detect.tflite"),
        (PNET + "/graph.pbtxt", "CHECKPOINT_MISSING", "--graph"),
        (PNET + "/model.ckpt.index", "CHECKPOINT_INCOMPLETE", DATA),
        (PNET + "/" + DATA, "CHECKPOINT_INCOMPLETE", "model.ckpt.index"),
        (PNET + "/checkpoint", "NO_MODEL_FOUND", "which checkpoint is the latest"),
        (PNET, "AMBIGUOUS_SOURCE", "saved_model"),
        ("calibration", "NO_MODEL_FOUND", "images/README.txt"),
    ],
)
def test_refuses_what_is_broken_and_says_why(inspect, corpus, path, reason, words):
    error = refusal(inspect, corpus / path)
    assert error.reason == reason
    assert words in error.message


def test_asks_for_the_graph_of_a_checkpoint(inspect, folder_of):
    error = refusal(inspect, folder_of(PNET + "/model.ckpt.index", PNET + "/" + DATA))
    assert error.reason == "GRAPH_MISSING"
    assert "--graph" in error.message


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "fetch the file itself"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "Unpack it"),
        (b'model_checkpoint_path: "model.ckpt-10"\n', "give the folder or prefix"),
        (b"hello", "Give a checkpoint's prefix"),
    ],
)
def test_says_what_to_do_with_what_is_no_model(inspect, tmp_path, content, advice):
    (tmp_path / "frozen.pb").write_bytes(content)
    error = refusal(inspect, tmp_path / "frozen.pb")
    assert error.reason == "NO_MODEL_FOUND"
    assert advice in error.message


def test_says_which_of_several_checkpoints_it_takes(inspect, folder_of):
    folder = folder_of(*(f"{PNET}/{name}" for name in ("model.ckpt.index", DATA, "model.ckpt.meta", "checkpoint")))
    for name in ("model.ckpt.index", DATA, "model.ckpt.meta"):
        shutil.copyfile(folder / name, folder / name.replace("model.ckpt", "model.ckpt-0"))
    facts = inspect(folder)
    assert (facts["checkpoint"], facts["graph"]) == ("model.ckpt", "model.ckpt.meta")
    assert "Of 2 checkpoints" in facts["notes"][0]


def test_finds_the_one_model_some_folders_below(inspect, corpus, tmp_path):
    below = tmp_path / "source/export/Servo/1500000000"
    shutil.copytree(corpus / PNET / "saved_model", below, copy_function=shutil.copyfile)
    assert inspect(tmp_path / "source")["kind"] == "tf.saved_model"


def test_lists_the_models_below_where_there_are_several(inspect, corpus, tmp_path):
    for number in (1500000000, 1500000001):
        below = tmp_path / f"source/export/Servo/{number}"
        shutil.copytree(corpus / PNET / "saved_model", below, copy_function=shutil.copyfile)
    error = refusal(inspect, tmp_path / "source")
    assert error.reason == "AMBIGUOUS_SOURCE"
    assert error.details["candidates"] == [f"export/Servo/150000000{end}/saved_model.pb" for end in (0, 1)]


def test_names_the_graphs_among_which_it_cannot_choose(inspect, folder_of):
    error = refusal(inspect, folder_of("posenet/frozen.pb", PNET + "/graph.pb"))
    assert error.reason == "AMBIGUOUS_SOURCE"
    assert error.details["candidates"] == ["frozen.pb", "graph.pb"]


def test_names_the_shards_that_a_tfjs_model_lacks(inspect, folder_of):
    error = refusal(inspect, folder_of("tfjs/posenet/posenet.json"))
    assert error.reason == "WEIGHTS_MISSING"
    assert error.details["missing"] == ["posenet.bin"]


@pytest.mark.parametrize("content", ['{"modelTopology": 3}', '{"modelTopology": {}, "weightsManifest": [1]}'])
def test_refuses_a_tfjs_model_that_makes_no_sense(inspect, tmp_path, content):
    (tmp_path / "model.json").write_text(content)
    assert refusal(inspect, tmp_path / "model.json").reason == "TFJS_MODEL_DAMAGED"


def test_refuses_an_empty_file(inspect, tmp_path):
    (tmp_path / "graph.pb").touch()
    error = refusal(inspect, tmp_path / "graph.pb")
    assert (error.reason, error.details) == ("EMPTY_FILE", {"file": "graph.pb"})


def test_refuses_an_empty_folder(inspect, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert refusal(inspect, tmp_path / "nothing").reason == "NO_MODEL_FOUND"


def test_refuses_a_graph_that_was_cut(inspect, corpus, tmp_path):
    (tmp_path / "graph.pb").write_bytes((corpus / "posenet/frozen.pb").read_bytes()[:-1000])
    assert refusal(inspect, tmp_path / "graph.pb").reason == "GRAPH_DEF_DAMAGED"


def test_refuses_a_signature_of_somebody_else(inspect, folder_of):
    folder = folder_of(PNET + "/frozen.pb")
    (folder / "signature.json").write_text('{"doc_url": ""}')
    assert refusal(inspect, folder).reason == "SIGNATURE_DAMAGED"


@pytest.mark.parametrize("name", ["::", "", "^x", "x:y", "x:1:2"])
def test_refuses_a_signature_of_a_graph_that_names_no_tensor(inspect, tmp_path, name):
    graph = graph_def.new_graph()
    graph.node.append(graph_def.new_constant("x", np.float32(1)))
    graph_def.write(tmp_path / "graph.pb", graph)
    entry = {"name": "a", "tensor": name, "dtype": "float32", "shape": [1]}
    text = json.dumps({"inputs": [entry], "outputs": [{**entry, "tensor": "x:0"}], "expected_error": 0.1})
    (tmp_path / "signature.json").write_text(text)
    assert refusal(inspect, tmp_path).reason == "SIGNATURE_DAMAGED"


def test_refuses_one_half_of_a_saved_model(inspect, corpus, tmp_path):
    copy = tmp_path / "saved"
    shutil.copytree(corpus / PNET / "saved_model", copy, copy_function=shutil.copyfile)
    (copy / "variables/variables.index").unlink()
    error = refusal(inspect, copy)
    assert (error.reason, error.details["missing"]) == ("CHECKPOINT_INCOMPLETE", ["variables/variables.index"])


def test_runs_where_there_is_no_tensorflow():
    (plugin,) = modelmill_inspector.modelmill_plugins()
    (edge,) = plugin.edges
    assert (plugin.name, edge.name, edge.role, edge.output) == (
        "inspector",
        "inspect",
        Role.INSPECT,
        "report.inspection",
    )
    assert edge.inputs == (("source", "*"),)
    assert edge.requires == ()
