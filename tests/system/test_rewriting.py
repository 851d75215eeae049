"""Rewrites as a user asks for them, in a real farm: chosen rules, edits with an array, proofs, the page."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from modelmill_worker import graph_def, tensors

MODELMILL = Path(sys.executable).with_name("modelmill")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """out = relu(identity(in) * scale), in [?, 3]."""
    graph = graph_def.new_graph()
    graph.versions.producer = 134
    source = graph_def.new_node("in", "Placeholder")
    source.attr["dtype"].type = 1
    tensors.encode_shape((-1, 3), source.attr["shape"].shape)
    scale = graph_def.new_constant("scale", np.float32([1, 2, 3]))
    nodes = [source, scale]
    for name, operation, *inputs in (
        ("same", "Identity", "in"),
        ("scaled", "Mul", "same", "scale"),
        ("out", "Relu", "scaled"),
    ):
        nodes.append(graph_def.new_node(name, operation, tuple(inputs)))
        nodes[-1].attr["T"].type = 1
    graph.node.extend(nodes)
    graph_def.write(tmp_path / "net.pb", graph)
    return tmp_path / "net.pb"


def convert(shared_coordinator, model: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [MODELMILL, "convert", model, "--server", shared_coordinator.address, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def operations(graph_file: Path) -> list[str]:
    return [node.op for node in graph_def.read(graph_file).node]


def test_rewrites_a_frozen_graph_with_the_rules_that_are_named(shared_coordinator, net, tmp_path) -> None:
    done = convert(
        shared_coordinator, net, "--to", "frozen-graph", "--output", tmp_path / "out", "--rewrite", "remove_identities"
    )
    assert done.returncode == 0, done.stderr
    assert operations(tmp_path / "out" / "frozen-graph" / "graph.pb") == ["Placeholder", "Const", "Mul", "Relu"]
    assert "passed" in done.stdout


def test_edits_change_what_is_converted_and_compared_and_are_proved(shared_coordinator, net, tmp_path) -> None:
    np.save(tmp_path / "scale.npy", np.float32([4, 5, 6]))
    (tmp_path / "edits.txt").write_text("# other weights\nreplace_constant(node=scale, value=scale.npy)\n")
    done = convert(
        shared_coordinator,
        net,
        *("--to", "frozen-graph", "--output", tmp_path / "out", "--html", tmp_path / "report.html", "--prove"),
        *("--edits", tmp_path / "edits.txt", "--edit", "set_attribute(node=in, attribute=shape, value='2,3')"),
    )
    assert done.returncode == 0, done.stderr
    graph = graph_def.read(tmp_path / "out" / "frozen-graph" / "graph.pb")
    scale = next(node for node in graph.node if node.name == "scale")
    assert graph_def.constant_value(scale).tolist() == [4, 5, 6]
    signature = json.loads((tmp_path / "out" / "frozen-graph" / "signature.json").read_text())
    assert signature["inputs"] == [{"name": "in", "tensor": "in:0", "dtype": "float32", "shape": [2, 3]}]
    rows = [line.split() for line in done.stdout.splitlines()]
    (replaced,) = [row for row in rows if row[:2] == ["prove.edit", "replace_constant"]]
    assert float(replaced[-1]) > 0.1
    assert ["frozen-graph", "out", "2x3", "0", "0", "1.000000", "passed"] in rows
    assert "What edit changed" in (tmp_path / "report.html").read_text()


def test_an_edit_that_cannot_be_made_says_what_is_there(shared_coordinator, net, tmp_path) -> None:
    done = convert(
        shared_coordinator,
        net,
        "--to",
        "frozen-graph",
        "--output",
        tmp_path / "out",
        "--edit",
        "delete_nodes(node=sam)",
    )
    assert done.returncode == 1
    assert "Did you mean same or scale?" in done.stderr
    assert not list((tmp_path / "out").glob("frozen-graph/*"))


def test_another_distribution_adds_a_rule(shared_coordinator, net, tmp_path) -> None:
    done = convert(
        shared_coordinator, net, "--to", "frozen-graph", "--output", tmp_path / "out", "--rewrite", "relu_by_maximum"
    )
    assert done.returncode == 0, done.stderr
    assert operations(tmp_path / "out" / "frozen-graph" / "graph.pb")[-1] == "Maximum"


def test_measured_ranges_are_an_edit(shared_coordinator, net, tmp_path) -> None:
    np.savez(tmp_path / "examples.npz", **{"in": np.float32([[1, -1, 2], [0.5, 3, -2]])})
    measured = convert(
        shared_coordinator, net, "--to", "ranges", "--output", tmp_path / "out", "--dataset", tmp_path / "examples.npz"
    )
    assert measured.returncode == 0, measured.stderr
    ranges = tmp_path / "out" / "ranges" / "ranges.txt"
    assert '"in:-2.0:3.0"' in ranges.read_text()
    done = convert(
        shared_coordinator, net, "--to", "frozen-graph", "--output", tmp_path / "repaired", "--edits", ranges
    )
    assert done.returncode == 0, done.stderr
    made = operations(tmp_path / "repaired" / "frozen-graph" / "graph.pb")
    assert made.count("FakeQuantWithMinMaxVars") >= 2
