"""Ranges measured over a dataset, and the edit that gives them."""

import numpy as np
import pytest
from modelmill_rewriter import modelmill_plugins
from modelmill_rewriter.calibrating import as_edit, measure_ranges
from modelmill_rewriter.sequences import passes_for
from modelmill_worker import arrays, graph_def, options, signature
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Step, Tree
from modelmill_worker.signature import Signature, Tensor

pytest.importorskip("tensorflow", reason="needs TensorFlow")


@pytest.fixture
def net(graph):
    """y = relu6(x w) v, of which y and x lack a range; what comes between has none of its own or tells it."""
    graph.placeholder("x", (-1, 2))
    graph.constant("w", [[1.0, -1.0], [0.5, 2.0]])
    graph.node("hidden", "MatMul", "x", "w")
    graph.node("active", "Relu6", "hidden")
    graph.constant("v", [[1.0], [-3.0]])
    graph.outputs.append(graph.node("y", "MatMul", "active", "v"))
    return graph


def named(batch=-1):
    return Signature((Tensor("in", "x:0", "float32", (batch, 2)),), (Tensor("out", "y:0", "float32", (batch, 1)),))


EXAMPLES = np.array([[1, 0], [-2, 4], [0.5, -0.25], [3, 3]], np.float32)


def measured(net, dataset, batch=-1):
    told = []
    ranges = measure_ranges(
        graph_def.copy(net.message), named(batch), dataset, lambda fraction, message: told.append(message)
    )
    return ranges, told


def test_measures_what_lacks_a_range_and_nothing_else(net):
    ranges, _ = measured(net, {"in": EXAMPLES})
    hidden = EXAMPLES @ np.array([[1, -1], [0.5, 2]])
    y = np.clip(hidden, 0, 6) @ np.array([1, -3])
    assert ranges == {
        "x": (-2.0, 4.0),
        "y": (pytest.approx(min(y.min(), 0), rel=1e-6), pytest.approx(max(y.max(), 0), rel=1e-6)),
    }


def test_runs_as_many_rows_at_once_as_the_model_takes(net):
    net.find("x").attr["shape"].shape.dim[0].size = 2
    ranges, told = measured(net, {"x:0": EXAMPLES[:3]}, batch=2)
    assert told == ["batch 1 of 1"]
    assert ranges["x"] == (-2.0, 4.0)


def test_an_open_batch_is_run_in_parts(net):
    _, told = measured(net, {"in": np.repeat(EXAMPLES, 20, axis=0)})
    assert told == ["batch 1 of 3", "batch 2 of 3", "batch 3 of 3"]


def test_the_edit_gives_what_was_measured(net, run_rules):
    ranges, _ = measured(net, {"in": EXAMPLES})
    text = as_edit(ranges, len(EXAMPLES))
    assert text.startswith("# The smallest and the largest values over 4 examples; give this file with --edits.\n")
    rewritten = run_rules(net, *passes_for("", [text], []))
    assert rewritten.refused == {}
    assert rewritten.find("y").op == "FakeQuantWithMinMaxVars"
    again = measure_ranges(rewritten.message, named(), {"in": EXAMPLES}, lambda *_: None)
    assert again == {}


@pytest.mark.parametrize(
    ("dataset", "reason", "words"),
    [
        ({"other": EXAMPLES}, "CALIBRATION_INPUT_MISSING", "The dataset has no array 'in' with a row for each example"),
        ({"in": EXAMPLES[:, :1]}, "CALIBRATION_FAILED", "The model cannot be run on the dataset: Cannot feed value of"),
        ({"in": EXAMPLES * np.float32(np.inf)}, "CALIBRATION_NOT_FINITE", "x is not finite for batch 1 of the dataset"),
    ],
)
def test_refuses_a_dataset_that_does_not_fit(net, dataset, reason, words):
    with pytest.raises(StepError) as raised:
        measured(net, dataset)
    assert raised.value.reason == reason
    assert words in raised.value.message


def test_the_edge_writes_the_edit(net, tmp_path):
    folders = {name: tmp_path / name for name in ("model", "inputs", "output", "scratch")}
    for folder in folders.values():
        folder.mkdir()
    graph_def.write(folders["model"] / "graph.pb", net.message)
    signature.write(folders["model"], named())
    arrays.write(folders["inputs"] / "arrays.npz", {"in": EXAMPLES})
    (plugin,) = modelmill_plugins()
    edge = next(edge for edge in plugin.edges if edge.name == "measure-ranges")
    inputs = {
        "model": Tree("tf.frozen_graph", folders["model"], ("graph.pb", "signature.json")),
        "inputs": Tree("dataset", folders["inputs"], ("arrays.npz",)),
    }
    facts = edge.run(Step(inputs, options.parse(edge.options, {}), folders["output"], folders["scratch"]))
    assert (sorted(facts["ranges"]), facts["examples"]) == (["x", "y"], 4)
    (item,) = passes_for("", [(folders["output"] / "ranges.txt").read_text()], [])
    assert [text.split(":")[0] for text in item.ranges] == ["x", "y"]
