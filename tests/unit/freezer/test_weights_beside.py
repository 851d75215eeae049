"""Freezing past a limit that is low here; runs where TensorFlow is."""

import numpy as np
import pytest
from modelmill_freezer import modelmill_plugins
from modelmill_worker import graph_def, installed_tensorflow, options, signature, weights_beside
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Step, Tree

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
v1 = installed_tensorflow.v1()


@pytest.fixture
def run_edge(tmp_path):
    count = iter(range(9))

    def run(name, folder, **values):
        (plugin,) = modelmill_plugins()
        (edge,) = [edge for edge in plugin.edges if edge.name == name]
        output = tmp_path / f"output-{next(count)}"
        output.mkdir()
        files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        tree = Tree(edge.inputs[0][1], folder, tuple(files))
        facts = edge.run(Step({"model": tree}, options.parse(edge.options, values), output, tmp_path))
        return facts, output

    return run


@pytest.fixture(params=[False, True], ids=["reference", "resource"])
def model(request, tmp_path):
    """A folder with the checkpoint and the graph y = relu(x w v), z = x w + b, one with its SavedModel, and w."""
    (tmp_path / "checkpoint").mkdir()
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 20], name="x")
        variables = [
            v1.get_variable(name, shape, use_resource=request.param)
            for name, shape in (("w", [20, 30]), ("v", [30, 40]), ("b", [30]))
        ]
        w, v, b = [tf.convert_to_tensor(variable) for variable in variables]
        z = tf.add(tf.matmul(x, w), b, name="z")
        y = tf.nn.relu(tf.matmul(z, v), name="y")
        saver = v1.train.Saver()
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, str(tmp_path / "checkpoint/model.ckpt"), write_meta_graph=False, write_state=False)
            matrix = session.run(w)
            builder = v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "saved"))
            ends = v1.saved_model.signature_def_utils.predict_signature_def({"x": x}, {"y": y, "z": z})
            builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": ends})
            builder.save()
    (tmp_path / "checkpoint/graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    return tmp_path / "checkpoint", tmp_path / "saved", matrix


@pytest.fixture
def low_limit(monkeypatch):
    """Neither matrix would fit; the rest does."""
    monkeypatch.setattr(graph_def, "LARGEST_GRAPH", 2300)


def constants(graph):
    return {node.name: node for node in graph.node if node.op == "Const"}


def test_every_source_gets_its_weights_beside(run_edge, model, low_limit):
    checkpoint, saved, matrix = model
    for edge, folder in (("freeze", checkpoint), ("freeze-saved-model", saved)):
        facts, output = run_edge(edge, folder, outputs=["y"])
        assert sorted(path.name for path in output.iterdir()) == ["graph.pb", "graph.weights", "signature.json"]
        graph = graph_def.read(output / "graph.pb")
        contents = weights_beside.contents(output, graph)
        assert set(contents) == {"w", "v"}
        np.testing.assert_array_equal(contents["w"](), matrix)
        assert facts["parameters"] == 20 * 30 + 30 * 40 + 30
        assert signature.read(output).outputs[0].shape == (-1, 40)


def test_what_is_selected_of_it_fits_into_one_file_where_it_can(run_edge, model, low_limit, monkeypatch):
    _, frozen = run_edge("freeze", model[0], outputs=["y"])
    _, same = run_edge("select", frozen)
    assert (same / "graph.weights").read_bytes() == (frozen / "graph.weights").read_bytes()
    assert (same / "graph.pb").read_bytes() == (frozen / "graph.pb").read_bytes()
    monkeypatch.setattr(graph_def, "LARGEST_GRAPH", 5000)
    _, part = run_edge("select", frozen, outputs=["z"])
    assert sorted(path.name for path in part.iterdir()) == ["graph.pb", "signature.json"]
    found = constants(graph_def.read(part / "graph.pb"))
    assert set(found) == {"w", "b"}
    np.testing.assert_array_equal(graph_def.constant_value(found["w"]), model[2])


def test_a_large_variable_of_another_shape_is_refused_and_leaves_no_file(run_edge, model, tmp_path):
    checkpoint = model[0]
    graph = graph_def.read(checkpoint / "graph.pb")
    variable = graph_def.nodes_by_name(graph)["w"]
    variable.attr["shape"].shape.dim[0].size = 21
    graph_def.write(checkpoint / "graph.pb", graph)
    with pytest.raises(StepError) as caught:
        run_edge("freeze", checkpoint, outputs=["y"])
    assert caught.value.reason == "VARIABLE_MISMATCH"
    assert list((tmp_path / "output-0").iterdir()) == []
