"""What an inspection predicts of graphs, small ones and those of the corpus."""

import os
import time
from pathlib import Path

import pytest
from modelmill_inspector._recognition import recognise_source
from modelmill_worker.plugin_api import Tree

from .graphs import INPUT, constant, operation, support_of, verdict


@pytest.fixture
def corpus() -> Path:
    project = Path(__file__).resolve().parents[4]
    folder = Path(os.environ.get("MODELMILL_CORPUS", str(project.parent / "shared" / "corpus")))
    if not folder.is_dir():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    return folder


def support_in(path: Path):
    if path.is_dir():
        names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        return recognise_source(Tree("source", path, tuple(names))).facts["support"]
    return recognise_source(Tree("source", path.parent, (path.name,))).facts["support"]


def test_names_the_node_that_a_version_lacks():
    support = support_of(INPUT + operation("negative", "Neg", "x") + operation("scores", "Softmax", "negative"))

    old, new = verdict(support, "tflite", "1.8"), verdict(support, "tflite", "1.9")
    assert (old["convertible"], old["missing"]) == (False, {"Neg": 1})
    assert "Neg" in old["why"]
    assert (new["convertible"], new["needs"], new["why"]) == (True, "builtin", "")
    (node,) = support["nodes"]
    assert (node["name"], node["op"]) == ("negative", "Neg")
    assert node["status"][f"tflite {old['version']}"] == "missing"
    assert node["status"][f"tflite {new['version']}"] == "builtin"
    assert support["nodes_count"] == 1


def test_tells_which_operations_need_tensorflow_operators():
    support = support_of(INPUT + operation("scores", "Sinh", "x"))

    found = verdict(support, "tflite", "2.15")
    assert (found["convertible"], found["needs"], found["select"]) == (True, "select", {"Sinh": 1})
    assert "allow_select_tf_ops" in found["why"]
    assert verdict(support, "tfjs", "4.22")["needs"] == "builtin"


def test_tells_which_operations_must_be_brought():
    found = verdict(support_of(INPUT + operation("scores", "Erfc", "x")), "tflite", "2.15")
    assert (found["needs"], found["custom"]) == ("custom", {"Erfc": 1})


def test_an_operation_of_a_users_own_is_missing_everywhere():
    support = support_of(INPUT + operation("scores", "MyOwnOperation", "x"))
    assert not any(entry["convertible"] for entry in support["targets"])
    (node,) = support["nodes"] or [None]
    assert set(node["status"].values()) == {"missing"}


def test_heeds_the_data_type():
    double = operation("scores", "Exp", "x").replace("DT_FLOAT", "DT_DOUBLE")
    support = support_of(INPUT.replace("DT_FLOAT", "DT_DOUBLE") + double)
    assert verdict(support, "tflite", "2.15")["needs"] == "select"
    assert verdict(support_of(INPUT + operation("scores", "Exp", "x")), "tflite", "2.15")["needs"] == "builtin"


def test_leaves_out_what_is_folded():
    weights = constant("c") + operation("folded", "Sinh", "c") + operation("scores", "Mul", "x", "folded")
    support = support_of(INPUT + weights)
    assert verdict(support, "tflite", "2.15")["needs"] == "builtin"
    assert "folded" not in [node["name"] for node in support["nodes"]]


def test_an_input_of_unknown_size_stops_toco_until_it_is_given():
    graph = INPUT.replace("dim { size: 4 }", "dim { size: -1 }") + operation("scores", "Relu", "x")
    before = support_of(graph)
    assert not verdict(before, "tflite", "1.15")["convertible"]
    assert "input_shapes" in verdict(before, "tflite", "1.15")["why"]
    assert verdict(before, "tflite", "2.15")["convertible"]
    assert verdict(support_of(graph, x=(2, 4)), "tflite", "1.15")["convertible"]


def test_the_edge_tpu_maps_what_is_documented():
    support = support_of(INPUT + operation("sum", "Relu", "x") + operation("scores", "Abs", "sum"))
    found = verdict(support, "edgetpu", "16")
    assert (found["convertible"], found["missing"]) == (True, {"Abs": 1})
    assert "quantised" in found["why"]


def test_a_thousand_nodes_take_little_time():
    from modelmill_inspector import support
    from modelmill_inspector.graphs import find_endpoints
    from modelmill_inspector.graphs.reach import needed_names

    from .graphs import graph_of

    names = ["x"] + [f"n{index}" for index in range(1000)]
    ops = ("Relu", "Sinh", "Exp", "Tanh")
    graph = graph_of(INPUT + "".join(operation(b, ops[i % 4], a) for i, (a, b) in enumerate(zip(names, names[1:]))))
    endpoints = find_endpoints(graph)
    needed = needed_names(graph, endpoints.outputs)
    support.describe(graph, needed, endpoints, {}, {})  # reads the tables

    times = []
    for _ in range(5):
        start = time.process_time()
        facts = support.describe(graph, needed, endpoints, {}, {})
        times.append(time.process_time() - start)

    assert min(times) < 0.2  # measured: 0.02 s
    assert (len(facts["nodes"]), facts["nodes_count"]) == (100, 500)


def test_posenet_converts_everywhere(corpus):
    assert all(entry["convertible"] for entry in support_in(corpus / "posenet" / "frozen.pb")["targets"])


def test_the_front_of_a_keyword_spotter_is_named(corpus):
    support = support_in(corpus / "kws-tf1-frozen" / "DS_CNN_S.pb")
    found = verdict(support, "tflite", "2.15")
    assert found["select"] == {"AudioSpectrogram": 1, "DecodeWav": 1, "Mfcc": 1}
    assert verdict(support, "tfjs", "4.22")["missing"] == {"AudioSpectrogram": 1, "DecodeWav": 1, "Mfcc": 1}


def test_a_saved_model_is_judged_by_its_functions(corpus):
    support = support_in(corpus / "basic-pitch" / "nmp")
    assert not verdict(support, "tflite", "1.15")["convertible"]
    assert verdict(support, "tflite", "2.15")["needs"] == "builtin"
    assert "MirrorPad" in verdict(support, "tfjs", "1.7")["missing"]
    assert any("/" in node["name"] for node in support["nodes"])
