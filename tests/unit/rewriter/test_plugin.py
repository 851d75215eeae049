"""The edge as a step process runs it."""

import os
import subprocess
import sys
from pathlib import Path

import modelmill_rewriter
import numpy as np
import pytest
from modelmill_rewriter import RewriteOptions, steps
from modelmill_rewriter.sequences import GROUPS, passes_for
from modelmill_worker import graph_def, options, signature
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Role, Step, Tree

CORPUS = Path(os.environ.get("MODELMILL_CORPUS", Path(__file__).parents[4] / "shared" / "corpus"))


def step_for(folder, graph, named, **chosen):
    model, output = folder / "model", folder / "output"
    model.mkdir()
    output.mkdir()
    graph_def.write(model / "graph.pb", graph)
    signature.write(model, named)
    tree = Tree("tf.frozen_graph", model, ("graph.pb", "signature.json"))
    return Step({"model": tree}, options.parse(RewriteOptions, chosen), output, folder)


def named(inputs, outputs, shape=(-1, 2)):
    def tensors(names):
        return tuple(signature.Tensor(name, name + ":0", "float32", shape) for name in names)

    return signature.Signature(tensors(inputs), tensors(outputs), 0.001)


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
    return graph.message


def run(step):
    (plugin,) = modelmill_rewriter.modelmill_plugins()
    (edge,) = [edge for edge in plugin.edges if edge.role is Role.REWRITE]
    assert (edge.output, edge.requires) == ("tf.frozen_graph", ())
    return edge.run(step)


def test_rewrites_and_passes_the_signature_on(tmp_path, model):
    step = step_for(tmp_path, model, named(["x"], ["y"]), target="tflite")
    facts = run(step)
    rewritten = graph_def.read(step.output / "graph.pb")
    assert sorted(path.name for path in step.output.iterdir()) == ["graph.pb", "signature.json"]
    assert signature.read(step.output) == named(["x"], ["y"])
    assert [node.op for node in rewritten.node].count("Identity") == 0
    fired = {report["rule"]: len(report["fired"]) for report in facts["rules"]}
    assert fired["prelu"] == 1
    assert fired["remove_identities"] == 1
    assert {"rule", "fired", "refused", "pictures"} == set(facts["rules"][0])


def test_tolerates_what_rules_cost_by_their_nature(tmp_path, graph):
    graph.placeholder("x", (-1, 100))
    graph.constant("w", np.random.default_rng(0).normal(size=(100, 20)))
    graph.node("y", "MatMul", "x", "w")
    step = step_for(tmp_path, graph.message, named(["x"], ["y"]), rewrite=["quantize_weights"])
    run(step)
    assert signature.read(step.output).expected_error == 0.25


def test_tells_why_a_rule_refused(tmp_path, model):
    next(node for node in model.node if node.name == "alpha").attr["dtype"].type = 1
    graph = graph_def.copy(model)
    alpha = next(node for node in graph.node if node.name == "alpha")
    alpha.CopyFrom(graph_def.new_node("alpha", "Placeholder"))
    alpha.attr["dtype"].type = 1
    facts = run(step_for(tmp_path, graph, named(["x", "alpha"], ["y"])))
    prelu = next(report for report in facts["rules"] if report["rule"] == "prelu")
    assert prelu["refused"] == [{"node": "y", "reason": "alpha, alpha, is computed and not constant"}]


def test_runs_exactly_the_rules_that_are_named(tmp_path, model):
    facts = run(step_for(tmp_path, model, named(["x"], ["y"]), rewrite=["prune_unused", "remove_identities"]))
    assert [report["rule"] for report in facts["rules"]] == ["prune_unused", "remove_identities"]


def test_leaves_out_a_rule_or_a_group(tmp_path, model):
    facts = run(step_for(tmp_path, model, named(["x"], ["y"]), target="tfjs", no_rewrite=["remove_training_nodes"]))
    ran = [report["rule"] for report in facts["rules"]]
    assert ran == [item.name for item in passes_for("tfjs", (), ()) if item.name not in GROUPS["remove_training_nodes"]]
    assert ran[-1] == "remove_default_attributes"


@pytest.mark.parametrize("option", ["rewrite", "no_rewrite"])
def test_refuses_an_unknown_rule_and_names_the_nearest(tmp_path, model, option):
    step = step_for(tmp_path, model, named(["x"], ["y"]), **{option: ["prelus"]})
    with pytest.raises(StepError, match="Did you mean 'prelu'") as raised:
        run(step)
    assert raised.value.reason == "UNKNOWN_RULE"
    assert raised.value.details["known"][0] == "prelu"
    assert "remove_training_nodes" in raised.value.details["known"]
    assert list(step.output.iterdir()) == []


def test_refuses_a_version_that_is_none(tmp_path, model):
    with pytest.raises(StepError) as raised:
        run(step_for(tmp_path, model, named(["x"], ["y"]), tensorflow="newest"))
    assert raised.value.reason == "INVALID_OPTION"


def test_writes_what_the_converting_tensorflow_can_read(tmp_path, model):
    step = step_for(tmp_path, model, named(["x"], ["y"]), tensorflow="1.9.0")
    run(step)
    assert "Maximum" in [node.op for node in graph_def.read(step.output / "graph.pb").node]


def test_removes_what_the_converting_tensorflow_does_not_know_and_says_so(tmp_path, graph):
    graph.placeholder("x", (-1, 2))
    graph.constant("axis", 1, "int32")
    graph.node("y", "MatMul", "x", "x", grad_a=False, grad_b=False)
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    old = step_for(tmp_path / "old", graph.message, named(["x"], ["y"]), tensorflow="2.4.4")
    new = step_for(tmp_path / "new", graph.message, named(["x"], ["y"]), tensorflow="2.21.0")
    assert run(old)["notes"] == [
        "Attributes that TensorFlow 2.4 does not know were dropped, as they have their defaults: "
        "MatMul.grad_a of 1 node, MatMul.grad_b of 1 node."
    ]
    assert run(new)["notes"] == []
    (x, y) = graph_def.read(old.output / "graph.pb").node
    assert (x.op, sorted(y.attr)) == ("Placeholder", ["T"])
    assert sorted(graph_def.read(new.output / "graph.pb").node[-1].attr) == ["T", "grad_a", "grad_b"]


def test_refuses_a_tensorflow_older_than_what_is_known(tmp_path, model):
    with pytest.raises(StepError) as raised:
        run(step_for(tmp_path, model, named(["x"], ["y"]), tensorflow="1.4.0"))
    assert raised.value.reason == "TENSORFLOW_VERSION_UNKNOWN"


def test_refuses_a_broken_graph_and_leaves_nothing_behind(tmp_path, model):
    model.node[3].input[0] = "nowhere"
    step = step_for(tmp_path, model, named(["x"], ["y"]))
    with pytest.raises(StepError) as raised:
        run(step)
    assert raised.value.reason == "GRAPH_INVALID"
    assert list(step.output.iterdir()) == []


def test_gives_the_same_bytes_each_time(tmp_path, model):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        run(step_for(folder, graph_def.copy(model), named(["x"], ["y"])))
    assert (first / "output/graph.pb").read_bytes() == (second / "output/graph.pb").read_bytes()


def test_imports_no_tensorflow():
    code = (
        "import sys, modelmill_rewriter.rewriting, modelmill_rewriter.sequences\n"
        "from modelmill_worker import graph_def; graph_def.new_graph()\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("version", ["tf1.9.0", "tf1.15.5"])
@pytest.mark.parametrize(
    ("net", "outputs", "prelus"),
    [("pnet", ["prob", "bbox"], 3), ("rnet", ["prob", "bbox"], 4), ("onet", ["prob", "bbox", "landmarks"], 5)],
)
def test_spells_every_prelu_of_mtcnn_for_the_converters(tmp_path, version, net, outputs, prelus):
    source = CORPUS / "mtcnn" / version / net / "frozen.pb"
    if not source.exists():
        pytest.skip("the corpus is not here; MODELMILL_CORPUS names its folder")
    step = step_for(tmp_path, graph_def.read(source), named([f"{net}/input"], outputs), target="tflite")
    facts = run(step)
    rewritten = graph_def.read(step.output / "graph.pb")
    operations = [node.op for node in rewritten.node]
    reports = {report["rule"]: report for report in facts["rules"]}
    assert len(reports["prelu"]["fired"]) == prelus
    assert reports["prelu"]["refused"] == []
    # Of each PReLU there is one Neg left, inside the relu; before there were two.
    assert operations.count("Neg") == prelus
    assert operations.count("Relu") == 2 * prelus
    alphas = [graph_def.constant_value(node) for node in rewritten.node if node.name.endswith("minus_alpha")]
    assert [alpha.ndim for alpha in alphas].count(3) >= 3
    assert all(np.isfinite(alpha).all() for alpha in alphas)


def test_the_signature_tells_the_sizes_that_were_fixed(tmp_path, model):
    edits = tmp_path / "edits"
    edits.mkdir()
    (edits / "edits.txt").write_text('fix_input_shapes(shape="x:3,2")\n')
    step = step_for(tmp_path, model, named(["x"], ["y"]))
    step.inputs["edits"] = Tree("graph.edits", edits, ("edits.txt",))
    assert steps.edit(step)["notes"] == ["x is [3, 2] now and was [?, 2]."]
    assert signature.read(step.output) == named(["x"], ["y"], (3, 2))
