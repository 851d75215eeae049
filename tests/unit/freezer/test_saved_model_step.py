"""SavedModels that cannot be frozen as they are, and what a signature's names become."""

import shutil

import pytest
from modelmill_freezer import modelmill_plugins
from modelmill_worker import graph_def, options, signature
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Step, Tree

saved_model_pb2 = pytest.importorskip(
    "tensorflow.core.protobuf.saved_model_pb2", reason="needs an environment with TensorFlow"
)


@pytest.fixture
def freeze(tmp_path):
    def run(folder, **values):
        (plugin,) = modelmill_plugins()
        (edge,) = [edge for edge in plugin.edges if edge.name == "freeze-saved-model"]
        files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        output = tmp_path / "output"
        output.mkdir()
        tree = Tree("tf.saved_model", folder, tuple(files))
        facts = edge.run(Step({"model": tree}, options.parse(edge.options, values), output, tmp_path))
        return facts, graph_def.nodes_by_name(graph_def.read(output / "graph.pb")), signature.read(output)

    return run


@pytest.fixture
def saved_model(corpus, tmp_path):
    """A copy of the P-Net's SavedModel."""
    shutil.copytree(str(corpus / "mtcnn/tf1.15.5/pnet/saved_model"), str(tmp_path / "model"))
    return tmp_path / "model"


def test_outputs_are_called_as_in_the_signature(freeze, saved_model):
    facts, nodes, ends = freeze(saved_model, outputs=["bbox"], input_shapes={"input": [1, 48, 48, 3]})
    assert facts["outputs"] == ["bbox"]
    assert [(it.name, it.shape) for it in ends.inputs] == [("input", (1, 48, 48, 3))]
    assert [it.name for it in ends.outputs] == ["bbox"]
    assert graph_def.node_name(ends.outputs[0].tensor) in nodes
    assert ends.outputs[0].shape == (1, 19, 19, 4)
    assert facts["nodes"] == len(nodes) < facts["nodes_before"]


def test_says_that_the_folder_of_the_variables_is_missing(freeze, saved_model):
    shutil.rmtree(str(saved_model / "variables"))
    with pytest.raises(StepError) as caught:
        freeze(saved_model)
    assert caught.value.reason == "CHECKPOINT_MISSING"
    assert "whole folder" in caught.value.message


def test_names_the_file_of_the_variables_that_is_missing(freeze, saved_model):
    (data,) = (saved_model / "variables").glob("*.data-*")
    data.unlink()
    with pytest.raises(StepError) as caught:
        freeze(saved_model)
    assert caught.value.reason == "CHECKPOINT_INCOMPLETE"
    assert caught.value.details["missing"] == ["variables/variables.data-00000-of-00001"]


def test_names_the_outputs_that_there_are(freeze, saved_model):
    with pytest.raises(StepError) as caught:
        freeze(saved_model, outputs=["box"])
    assert (caught.value.reason, caught.value.details["candidates"]) == ("OUTPUT_NOT_FOUND", ["bbox", "prob"])


def test_names_the_signatures_that_there_are(freeze, saved_model):
    with pytest.raises(StepError) as caught:
        freeze(saved_model, signature_key="serve")
    assert (caught.value.reason, caught.value.details["known"]) == ("SIGNATURE_NOT_FOUND", ["serving_default"])


def test_takes_named_outputs_where_there_is_no_signature(freeze, saved_model):
    path = saved_model / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    model.meta_graphs[0].signature_def.clear()
    path.write_bytes(model.SerializeToString())
    facts, _, ends = freeze(saved_model, outputs=["prob"], inputs=["pnet/input=1,24,24,3"])
    assert [(it.name, it.shape) for it in ends.inputs] == [("pnet/input", (1, 24, 24, 3))]
    assert [(it.name, it.shape) for it in ends.outputs] == [("prob", (1, 7, 7, 2))]
    assert facts["signature"] == ""
