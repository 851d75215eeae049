"""A graph that was frozen here is asked for again, under the names that its signature has."""

import pytest
from modelmill_freezer._steps import FreezeOptions, select
from modelmill_worker import graph_def, options, signature
from modelmill_worker.plugin_api import Step, Tree
from modelmill_worker.signature import Signature, Tensor

ENDS = Signature(
    (Tensor("image", "serving_default_x:0", "float32", (-1, 3)),),
    (
        Tensor("probabilities", "Identity:0", "float32", (-1, 3)),
        Tensor("features", "hidden:0", "float32", (-1, 3)),
    ),
)


@pytest.fixture
def run(tmp_path, graph_of):
    def call(**values):
        model, output = tmp_path / "model", tmp_path / "output"
        model.mkdir()
        output.mkdir()
        graph = graph_of(
            ("serving_default_x", "Placeholder"),
            ("hidden", "Relu", "serving_default_x"),
            ("Identity", "Tanh", "hidden"),
        )
        for node in graph.node[1:]:
            node.attr["T"].type = 1
        graph_def.write(model / "graph.pb", graph)
        signature.write(model, ENDS)
        tree = Tree("tf.frozen_graph", model, ("graph.pb", "signature.json"))
        facts = select(Step({"model": tree}, options.parse(FreezeOptions, values), output, tmp_path))
        return facts, signature.read(output)

    return call


def names(ends):
    return [tensor.name for tensor in ends.inputs], [tensor.name for tensor in ends.outputs]


@pytest.mark.parametrize("name", ["features", "hidden", "hidden:0"])
def test_an_output_keeps_its_name_however_it_is_called(run, name):
    facts, ends = run(outputs=[name])
    assert names(ends) == (["image"], ["features"])
    assert facts["outputs"] == ["features"]


@pytest.mark.parametrize("name", ["image", "serving_default_x"])
def test_an_input_is_given_a_shape_under_either_name(run, name):
    _, ends = run(input_shapes={name: [5, 3]})
    assert names(ends) == (["image"], ["probabilities", "features"])
    assert ends.inputs[0].shape == (5, 3)


def test_without_a_wish_nothing_changes(run):
    facts, ends = run()
    assert ends == ENDS
    assert facts["changes"] == []
