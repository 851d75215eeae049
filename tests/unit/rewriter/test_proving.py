"""Proof by execution, with TensorFlow."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from modelmill_rewriter import modelmill_plugins
from modelmill_rewriter.proving import prove
from modelmill_rewriter.rules_api import YES, Dtype, Rule, Target, relu, value
from modelmill_rewriter.sequences import passes_for
from modelmill_worker import arrays, graph_def, options, signature
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Step, Tree
from modelmill_worker.signature import Signature, Tensor

pytest.importorskip("tensorflow", reason="needs TensorFlow")


@dataclass(frozen=True)
class Shrinking(Rule):
    """relu(x) -> minimum(x, x): wrong where x is below zero"""

    name: ClassVar[str] = "shrinking"
    summary: ClassVar[str] = "For these tests."

    def pattern(self):
        return relu(value("x"))

    def check(self, match):
        return YES

    def rewrite(self, match, make):
        return make.node("Minimum", match["x"], match["x"])


@dataclass(frozen=True)
class Breaking(Shrinking):
    """relu(x) -> an operation that there is not"""

    name: ClassVar[str] = "breaking"

    def rewrite(self, match, make):
        return make.node("NoSuchOperation", match["x"], attributes={"T": Dtype(1)})


@pytest.fixture
def net(graph):
    graph.placeholder("x", (-1, 2))
    graph.node("same", "Identity", "x")
    graph.outputs.append(graph.node("y", "Relu", "same"))
    return graph


NAMED = Signature((Tensor("in", "x:0", "float32", (-1, 2)),), (Tensor("out", "y:0", "float32", (-1, 2)),))
INPUTS = {"in": np.array([[-3, 1], [2, 5]], np.float32)}


def proved(graph, passes, inputs=INPUTS):
    def read():
        return graph_def.copy(graph.message)

    return prove(read, NAMED, passes, Target(), inputs, lambda _: {}, lambda fraction, message: None)


def test_tells_of_each_rule_by_how_much_it_moved_the_outputs(net):
    proof = proved(net, [*passes_for("", ["remove_identities"], []), Shrinking()])
    same = {"output": "out", "max_abs_difference": 0.0, "of_range": 0.0}
    moved = {"output": "out", "max_abs_difference": 3.0, "of_range": 0.6}
    assert proof["rules"] == [
        {"rule": "remove_identities", "fired": 1, "outputs": [same]},
        {"rule": "shrinking", "fired": 1, "outputs": [moved]},
    ]
    assert proof["outputs"] == proof["rules"][1]["outputs"]


def test_what_changed_nothing_moved_nothing(net):
    proof = proved(net, passes_for("", ["remove_dropout"], []))
    assert proof["rules"] == []
    assert proof["outputs"] == [{"output": "out", "max_abs_difference": 0.0, "of_range": 0.0}]


def test_says_what_could_not_be_run(net):
    (rule,) = proved(net, [Breaking()])["rules"]
    assert "NoSuchOperation" in rule["why_not"]
    assert "outputs" not in rule


def test_follows_renamed_nodes_and_cuts(net):
    passes = passes_for("", ["rename_nodes(old=*, new=a/*) cut_graph(inputs=a/same) rename_nodes(old=a/*, new=*)"], [])
    rules = proved(net, passes, {"same": INPUTS["in"]})["rules"]
    assert [(rule["rule"], rule["outputs"][0]["max_abs_difference"]) for rule in rules] == [
        ("rename_nodes", 0.0),
        ("cut_graph", 0.0),
        ("rename_nodes", 0.0),
    ]


def test_nan_and_infinity_that_stay_are_no_difference(net):
    inputs = {"in": np.array([[np.nan, np.inf], [2, 5]], np.float32)}
    (output,) = proved(net, passes_for("", ["remove_identities"], []), inputs)["outputs"]
    assert (output["max_abs_difference"], output["of_range"]) == (0.0, 0.0)


def test_refuses_where_the_model_cannot_be_run_as_it_was(net):
    with pytest.raises(StepError) as raised:
        proved(net, [], {"in": np.zeros((2, 3), np.float32)})
    assert raised.value.reason == "PROOF_IMPOSSIBLE"
    assert "Cannot feed value of shape (2, 3)" in raised.value.message


def edge(name):
    (plugin,) = modelmill_plugins()
    return next(edge for edge in plugin.edges if edge.name == name)


def tree(kind: str, path: Path) -> Tree:
    return Tree(kind, path, tuple(sorted(file.name for file in path.iterdir())))


@pytest.fixture
def step(net, tmp_path):
    """A step over the net, with inputs and a list of edits."""
    folders = {name: tmp_path / name for name in ("model", "inputs", "edits", "output", "scratch")}
    for folder in folders.values():
        folder.mkdir()
    graph_def.write(folders["model"] / "graph.pb", net.message)
    signature.write(folders["model"], NAMED)
    arrays.write(folders["inputs"] / "arrays.npz", INPUTS)
    (folders["edits"] / "edits.txt").write_text("# one\nretype_input(input=x, dtype=int32)\n")
    trees = {
        "model": tree("tf.frozen_graph", folders["model"]),
        "inputs": tree("dataset", folders["inputs"]),
        "edits": tree("graph.edits", folders["edits"]),
    }

    def made(name, **given):
        chosen = edge(name)
        inputs = {key: trees[key] for key, _ in chosen.inputs}
        return Step(inputs, options.parse(chosen.options, given), folders["output"], folders["scratch"])

    return made


def test_the_edge_proves_what_a_rewrite_changes(step):
    asked = step("prove", rewrite=["remove_identities"])
    facts = edge("prove").run(asked)
    assert [rule["rule"] for rule in facts["proof"]["rules"]] == ["remove_identities"]
    assert [path.name for path in asked.output.iterdir()] == ["report.json"]


def test_the_edge_proves_what_edits_change(step):
    facts = edge("prove-edits").run(step("prove-edits"))
    (rule,) = facts["proof"]["rules"]
    assert (rule["rule"], rule["outputs"][0]["of_range"]) == ("retype_input", 0.0)


def test_edits_change_the_signature(step):
    asked = step("edit")
    facts = edge("edit").run(asked)
    assert signature.read(asked.output).inputs == (Tensor("in", "x:0", "int32", (-1, 2)),)
    assert [rule["rule"] for rule in facts["rules"]] == ["retype_input"]


def test_a_rewrite_takes_no_edit(step):
    with pytest.raises(StepError) as raised:
        edge("rewrite").run(step("rewrite", rewrite=["retype_input(input=x, dtype=int32)"]))
    assert raised.value.reason == "RULE_IS_AN_EDIT"
    assert "--edit 'retype_input'" in raised.value.message


def test_a_list_of_edits_is_text(step):
    asked = step("edit")
    (asked.inputs["edits"].path / "edits.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(StepError) as raised:
        edge("edit").run(asked)
    assert raised.value.reason == "EDITS_UNREADABLE"
