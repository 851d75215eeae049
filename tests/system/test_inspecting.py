"""An inspection by a real coordinator: what recognises a source, and what else tells of its kind."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from modelmill.client import Client
from modelmill_worker import graph_def

MODELMILL = Path(sys.executable).with_name("modelmill")


def test_tells_what_a_rewrite_would_change(corpus: Path, client: Client) -> None:
    facts = client.inspect(corpus / "mtcnn" / "tf1.15.5" / "pnet" / "frozen.pb")
    assert facts["kind"] == "tf.graph_def"
    found = {(one["target"], one["rule"]): one["count"] for one in facts["rewrites"]}
    assert found["tflite", "prelu"] == found["tfjs", "prelu"] == 3


def test_further_inspections_add_facts_and_change_none(client: Client, tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", x=np.zeros(3))
    facts = client.inspect(tmp_path / "arrays.npz", {"outputs": ["x"], "signature_key": "unknown to the others"})
    assert facts["kind"] == "dataset"
    assert facts["looked_for"] == ["x"]
    assert "Somebody looked again." in facts["notes"]


def test_a_further_inspection_that_fails_costs_a_note(client: Client, tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", y=np.zeros(3))
    facts = client.inspect(tmp_path / "arrays.npz")
    assert facts["notes"][-1] == (
        "What nosy's look-away would say is not known: There was nothing to see. (NOTHING_SEEN)"
    )


def test_the_largest_picture_travels(client: Client, tmp_path: Path) -> None:
    graph = graph_def.new_graph()
    names = [f"a/rather/long/scope/in/which/nodes/are/{number}" for number in range(25000)]
    graph.node.append(graph_def.new_node("x", "Placeholder"))
    graph.node[0].attr["dtype"].type = 1
    for before, name in zip(["x", *names], names, strict=False):
        graph.node.append(graph_def.new_node(name, "Relu", (before,)))
    graph_def.write(tmp_path / "long.pb", graph)
    picture = client.inspect(tmp_path / "long.pb", {"picture": True})["picture"]
    assert picture["nodes_count"] == 25001
    assert len(picture["nodes"]) == 20000
    assert picture["nodes"][2] == {"name": names[1], "op": "Relu", "inputs": [names[0]]}


def test_fail_on_ends_a_pipeline_with_the_findings(corpus: Path, shared_coordinator) -> None:
    model = corpus / "kws-dscnn" / "kws_ref_model"
    command = [MODELMILL, "inspect", model, "--server", shared_coordinator.address, "--json", "--fail-on"]
    low = subprocess.run([*command, "low"], capture_output=True, text=True, timeout=120, check=False)
    high = subprocess.run([*command, "high"], capture_output=True, text=True, timeout=120, check=False)
    assert (low.returncode, high.returncode) == (3, 0)
    assert "RESTORES_CHECKPOINT at RestoreV2" in low.stderr
    assert json.loads(low.stdout) == json.loads(high.stdout)


def test_the_command_writes_the_page_and_prints_proto_json(corpus: Path, shared_coordinator, tmp_path: Path) -> None:
    page = tmp_path / "out" / "posenet.html"
    model = corpus / "posenet" / "frozen.pb"
    command = [MODELMILL, "inspect", model, "--server", shared_coordinator.address, "--html", page, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    answer = json.loads(done.stdout)
    assert list(answer) == ["model"]
    assert answer["model"]["parameters"] == 1258195
    assert len(answer["model"]["picture"]["nodes"]) == 152
    assert "DepthwiseConv2dNative" in page.read_text()
