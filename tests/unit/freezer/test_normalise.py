import pytest
from modelmill_freezer import _preload, modelmill_plugins
from modelmill_freezer._steps import FreezeOptions, normalise
from modelmill_worker import graph_def, options, signature, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Preference, Role, Step, Tree


@pytest.fixture
def run(tmp_path):
    """Normalise one file; returns facts, graph and signature."""

    def normalise_file(path, **values):
        output = tmp_path / "output"
        output.mkdir()
        tree = Tree("tf.graph_def", path.parent, (path.name,))
        step = Step({"model": tree}, options.parse(FreezeOptions, values), output, tmp_path)
        facts = normalise(step)
        assert sorted(one.name for one in output.iterdir()) == ["graph.pb", "signature.json"]
        return facts, graph_def.read(output / "graph.pb"), signature.read(output)

    return normalise_file


def test_posenet_keeps_its_nodes_and_gets_a_signature(run, corpus):
    facts, graph, endpoints = run(corpus / "posenet/frozen.pb")
    assert facts["nodes_before"] == facts["nodes"] == len(graph.node) == 152
    assert [tensor.tensor for tensor in endpoints.inputs] == ["image:0"]
    assert endpoints.inputs[0].shape == (1, 385, 385, 3)
    assert {tensor.name for tensor in endpoints.outputs} == {
        f"MobilenetV1/{head}_2/BiasAdd" for head in ("heatmap", "offset", "displacement_fwd", "displacement_bwd")
    }


def test_named_outputs_cut_the_graph_and_shapes_are_fixed(run, corpus):
    facts, graph, endpoints = run(
        corpus / "mtcnn/tf1.9.0/pnet/frozen.pb", outputs=["bbox:0"], input_shapes={"pnet/input": [1, 48, 48, 3]}
    )
    assert facts["outputs"] == ["bbox"]
    assert "prob" not in graph_def.nodes_by_name(graph)
    assert endpoints.inputs[0].shape == (1, 48, 48, 3)
    placeholder = graph_def.nodes_by_name(graph)["pnet/input"]
    assert tensors.decode_shape(placeholder.attr["shape"].shape) == (1, 48, 48, 3)


def test_refuses_variables_without_values_and_writes_nothing(run, corpus, tmp_path):
    with pytest.raises(StepError) as caught:
        run(corpus / "mtcnn/tf1.9.0/pnet/graph.pbtxt")
    assert caught.value.reason == "CHECKPOINT_MISSING"
    assert list((tmp_path / "output").iterdir()) == []


def test_leaves_the_place_behind_where_the_graph_was_written(run, graph_of, tmp_path):
    graph = graph_of(("x", "Placeholder"), ("y", "Relu", "x"))
    graph.node[1].device = "/gpu:0"
    graph.node[1].attr["_class"].list.s.append(b"loc:@gone")
    graph.node[1].attr["_output_shapes"].list.shape.add().dim.add().size = 3
    graph_def.write(tmp_path / "graph.pb", graph)
    _, written, endpoints = run(tmp_path / "graph.pb")
    assert written.node[1].device == ""
    assert list(written.node[1].attr) == []
    assert endpoints.outputs[0].shape == (3,)


def test_settings_take_their_default(run, graph_of, tmp_path):
    graph = graph_of(
        ("x", "Placeholder"), ("rate", "PlaceholderWithDefault", "one"), ("one", "Const"), ("y", "Mul", "x", "rate")
    )
    tensors.encode_shape((), graph.node[1].attr["shape"].shape)
    graph_def.write(tmp_path / "graph.pb", graph)
    facts, written, endpoints = run(tmp_path / "graph.pb")
    rate = graph_def.nodes_by_name(written)["rate"]
    assert (rate.op, rate.attr["T"].type, list(rate.input)) == ("Identity", 1, ["one"])
    assert [tensor.name for tensor in endpoints.inputs] == ["x"]
    assert facts["notes"] == ["rate takes its default value."]


@pytest.mark.parametrize("chosen", [False, True])
def test_notes_batch_normalisation_in_training_mode(run, graph_of, tmp_path, chosen):
    feeder = ("s", "Switch", "x", "x") if chosen else ("s", "Relu", "x")
    graph = graph_of(("x", "Placeholder"), feeder, ("bn", "FusedBatchNorm", "s", "s", "s", "s", "s"))
    graph_def.write(tmp_path / "graph.pb", graph)
    facts, _, _ = run(tmp_path / "graph.pb")
    assert bool(facts["notes"]) is not chosen


def test_describes_its_edges():
    (plugin,) = modelmill_plugins()
    edges = {edge.name: edge for edge in plugin.edges}
    freeze, normalise_edge = edges["freeze"], edges["normalise"]
    assert {name: edge.inputs[0][1] for name, edge in edges.items()} == {
        "freeze": "tf.checkpoint",
        "freeze-saved-model": "tf.saved_model",
        "freeze-keras-h5": "keras.h5",
        "freeze-keras": "keras.v3",
        "normalise": "tf.graph_def",
        "select": "tf.frozen_graph",
    }
    assert plugin.name == "freezer"
    assert (freeze.role, freeze.inputs, freeze.output) == (
        Role.CONVERT,
        (("model", "tf.checkpoint"),),
        "tf.frozen_graph",
    )
    assert (freeze.requires, freeze.preference) == (("tensorflow>=1.5",), Preference.WRITER)
    assert (normalise_edge.inputs, normalise_edge.requires) == ((("model", "tf.graph_def"),), ())
    assert {"outputs", "inputs", "input_shapes", "settings"} <= set(options.json_schema(freeze.options)["properties"])


def test_preloads_nothing_where_there_is_no_tensorflow():
    _preload()


def test_the_signature_of_a_meta_graph_names_the_outputs(run, graph_of, tmp_path):
    meta_graph = graph_def.meta_graph_class()()
    graph = graph_of(("x", "Placeholder"), ("hidden", "Relu", "x"), ("prob", "Softmax", "hidden"))
    meta_graph.graph_def.ParseFromString(graph.SerializeToString())
    meta_graph.signature_def["features"].outputs["any"].name = "hidden:0"
    (tmp_path / "model.meta").write_bytes(meta_graph.SerializeToString())
    facts, written, endpoints = run(tmp_path / "model.meta")
    assert facts["outputs"] == [tensor.name for tensor in endpoints.outputs] == ["hidden"]
    assert [node.name for node in written.node] == ["x", "hidden"]


def test_names_given_come_before_those_of_a_signature(run, graph_of, tmp_path):
    meta_graph = graph_def.meta_graph_class()()
    graph = graph_of(("x", "Placeholder"), ("hidden", "Relu", "x"), ("prob", "Softmax", "hidden"))
    meta_graph.graph_def.ParseFromString(graph.SerializeToString())
    meta_graph.signature_def["features"].outputs["any"].name = "hidden:0"
    (tmp_path / "model.meta").write_bytes(meta_graph.SerializeToString())
    assert run(tmp_path / "model.meta", outputs=["prob:0"])[0]["outputs"] == ["prob"]


def test_tells_the_changes_that_made_the_graph_infer(run, graph_of, tmp_path):
    graph = graph_of(("x", "Placeholder"), ("checked", "CheckNumerics", "x"), ("y", "Relu", "checked"))
    graph_def.write(tmp_path / "graph.pb", graph)
    facts, written, _ = run(tmp_path / "graph.pb")
    (change,) = facts["changes"]
    assert (change["nodes"], change["count"]) == (["checked"], 1)
    assert [node.op for node in written.node] == ["Placeholder", "Identity", "Relu"]
