"""What an inspection says of a graph: which rules would change it, and which nearly would."""

import os
from pathlib import Path

import modelmill_rewriter
import pytest
from modelmill_rewriter import PreviewOptions
from modelmill_worker import graph_def, signature
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Role, Step, Tree

CORPUS = Path(os.environ.get("MODELMILL_CORPUS", Path(__file__).parents[4] / "shared" / "corpus"))


@pytest.fixture
def preview(tmp_path):
    """Runs the edge for a kind on the graph; the entries by target and rule."""

    def run(graph, kind="tf.graph_def", outputs=(), named=None):
        model, output = tmp_path / "model", tmp_path / "output"
        model.mkdir()
        output.mkdir()
        graph_def.write(model / "graph.pb", graph)
        if named is not None:
            signature.write(model, named)
        before = (model / "graph.pb").read_bytes()
        (plugin,) = modelmill_rewriter.modelmill_plugins()
        (edge,) = [edge for edge in plugin.edges if edge.inputs == (("model", kind),) and edge.role is Role.INSPECT]
        tree = Tree(kind, model, tuple(sorted(file.name for file in model.iterdir())))
        facts = edge.run(Step({"model": tree}, PreviewOptions(tuple(outputs)), output, tmp_path))
        assert (model / "graph.pb").read_bytes() == before
        assert [file.name for file in output.iterdir()] == ["report.json"]
        assert list(facts) == ["rewrites"]
        return {(one["target"], one["rule"]): one for one in facts["rewrites"]}

    return run


@pytest.fixture
def model(graph):
    graph.placeholder("x", (-1, 2))
    graph.constant("alpha", [0.25, 0.5])
    graph.node("alpha/read", "Identity", "alpha")
    graph.node("relu", "Relu", "x")
    graph.node("neg", "Neg", "x")
    graph.node("mirrored", "Relu", "neg")
    graph.node("scaled", "Mul", "alpha/read", "mirrored")
    graph.node("y", "Sub", "relu", "scaled")
    graph.node("left", "Exp", "x")
    return graph.message


def test_says_for_each_target_what_would_change_and_where(preview, model):
    found = preview(model, outputs=["y"])
    assert set(found) == {
        (target, rule) for target in ("tfjs", "tflite") for rule in ("prune_unused", "remove_identities", "prelu")
    }
    assert found["tflite", "remove_identities"] == {
        "target": "tflite",
        "rule": "remove_identities",
        "count": 1,
        "nodes": ["alpha/read"],
        "nodes_count": 1,
        "nearly": [],
        "nearly_count": 0,
    }
    assert found["tfjs", "prune_unused"]["nodes"] == ["left"]
    assert "y" in found["tflite", "prelu"]["nodes"]


def test_says_what_nearly_would_be_and_why_not(preview, model):
    alpha = next(node for node in model.node if node.name == "alpha")
    alpha.CopyFrom(graph_def.new_node("alpha", "Placeholder"))
    alpha.attr["dtype"].type = 1
    found = preview(model, outputs=["y:0"])
    assert found["tflite", "prelu"]["count"] == 0
    assert found["tflite", "prelu"]["nearly"] == [{"node": "y", "reason": "alpha, alpha, is computed and not constant"}]


def test_finds_the_outputs_where_none_are_named(preview, model):
    assert ("tflite", "prelu") in preview(model)


def test_takes_the_outputs_of_a_frozen_graphs_signature(preview, model):
    x, y = (signature.Tensor(name, name + ":0", "float32", (-1, 2)) for name in ("x", "y"))
    found = preview(model, "tf.frozen_graph", named=signature.Signature((x,), (y,)))
    assert found["tflite", "prune_unused"]["nodes"] == ["left"]


def test_lists_ten_nodes_and_counts_all(preview, graph):
    graph.placeholder("x", (-1, 2))
    for number in range(30):
        graph.node(f"same_{number}", "Identity", f"same_{number - 1}" if number else "x")
    graph.node("y", "Relu", "same_29")
    found = preview(graph.message, outputs=["y"])["tflite", "remove_identities"]
    assert (found["count"], found["nodes_count"], len(found["nodes"])) == (30, 30, 10)


def test_a_graph_without_outputs_asks_for_their_names(preview, graph):
    graph.constant("alone", 1)
    with pytest.raises(StepError, match="--output-node") as caught:
        preview(graph.message)
    assert caught.value.reason == "OUTPUT_NOT_FOUND"


def test_an_output_that_is_not_there_is_named(preview, graph):
    graph.placeholder("x", (-1, 2))
    with pytest.raises(StepError, match="The graph has no node gone") as caught:
        preview(graph.message, outputs=["gone:0"])
    assert caught.value.reason == "OUTPUT_NOT_FOUND"


def test_sees_every_prelu_of_mtcnn(preview):
    source = CORPUS / "mtcnn" / "tf1.15.5" / "onet" / "frozen.pb"
    if not source.exists():
        pytest.skip("the corpus is not here; MODELMILL_CORPUS names its folder")
    found = preview(graph_def.read(source), outputs=["prob", "bbox", "landmarks"])
    assert found["tflite", "prelu"]["count"] == 5
