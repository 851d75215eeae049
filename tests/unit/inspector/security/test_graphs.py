"""What is said of operations, and that what is harmless is left in peace."""

import random
import string

import modelmill_inspector
import pytest
from modelmill_inspector._options import InspectOptions
from modelmill_inspector.security import SEVERITIES, _findings, _operations, is_at_least, scan_tree
from modelmill_inspector.security._embedded import LARGEST
from modelmill_worker import op_versions_table
from modelmill_worker.plugin_api import Step, Tree


def tree(path):
    if path.is_file():
        return Tree("source", path.parent, (path.name,))
    names = sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())
    return Tree("source", path, tuple(names))


@pytest.mark.parametrize(
    "path",
    [
        "mtcnn/tf1.9.0",
        "mtcnn/tf1.15.5",
        "mtcnn/keras2",
        "mtcnn/keras3",
        "posenet",
        "kws-tf1-frozen",
        "basic-pitch",
        "kws-dscnn",
        "resnet8",
        "keras-mnist-cnn",
        "keras-nlf-classifier",
        "keras-audio-classifier",
        "tfjs",
        "edgetpu-pairs",
        "bad-inputs",
        "calibration",
    ],
)
def test_finds_savers_only_in_models_that_people_use(corpus, path):
    facts = scan_tree(tree(corpus / path))
    assert facts["scanned"]["files"] > 0
    worth_a_word = {(one["severity"], one["reason"]) for one in facts["findings"]}
    assert worth_a_word <= {
        ("low", "SAVES_CHECKPOINT"),
        ("low", "RESTORES_CHECKPOINT"),
        ("info", "KERAS_OPERATION_LAYER"),
    }


def test_reports_the_saver_of_a_training_graph_as_one(corpus):
    facts = scan_tree(tree(corpus / "mtcnn/tf1.15.5/pnet/graph.pb"), ["prob:0"])
    assert {one["op"] for one in facts["findings"]} == {"SaveV2", "RestoreV2"}
    assert facts["highest"] == "low"


@pytest.mark.parametrize(
    ("operation", "severity", "reason"),
    [
        ("WriteFile", "critical", "WRITES_FILES"),
        ("MergeV2Checkpoints", "critical", "SAVES_CHECKPOINT"),
        ("CreateSummaryFileWriter", "critical", "WRITES_FILES"),
        ("ReadFile", "high", "READS_FILES"),
        ("ImmutableConst", "high", "READS_FILES"),
        ("TFRecordDatasetV2", "high", "READS_FILES"),
        ("EagerPyFunc", "high", "RUNS_PYTHON"),
        ("Rpc", "high", "OPENS_NETWORK"),
        ("DataServiceDatasetV4", "high", "OPENS_NETWORK"),
        ("XlaCustomCallV2", "high", "CALLS_NATIVE_CODE"),
        ("XlaCallModule", "medium", "HOLDS_A_PROGRAM"),
        ("_Send", "medium", "SPEAKS_TO_OTHER_PROCESSES"),
        ("Abort", "medium", "STOPS_PROCESS"),
        ("_XlaRun", "medium", "INTERNAL_OPERATION"),
        ("TPUExecute", "medium", "OPERATION_NOT_ALLOWED"),
        ("ZeroInitializer", "medium", "OPERATION_OF_CONTRIB"),
        ("MyOwnOperation", "medium", "OPERATION_UNKNOWN"),
        ("Print", "info", "PRINTS"),
    ],
)
def test_tells_what_an_operation_could_do(found, graph_of, operation, severity, reason):
    assert found(graph_of(("n", operation)), ["n"]) == [(severity, reason, "n")]


def test_no_operation_of_tensorflow_passes_unless_it_is_on_the_list():
    for operation in op_versions_table.table().operations():
        passes = _operations.danger_of_operation(operation) is None
        assert passes == (operation in _operations.allowed())


def test_the_list_and_the_catalogue_have_nothing_in_common():
    assert [operation for operation in _operations.allowed() if _operations.feared(operation)] == []
    assert {"Conv2D", "While", "VarHandleOp", "MatMul", "TensorListStack", "HashTableV2"} <= _operations.allowed()


def test_attributes_tell_what_an_operation_does(found, graph_of):
    graph = graph_of(("print", "PrintV2"), ("debug", "DebugIdentity"), ("sample", "FixedUnigramCandidateSampler"))
    everything = [node.name for node in graph.node]
    assert found(graph, everything) == [("info", "PRINTS", "print")]
    graph.node[0].attr["output_stream"].s = b"file:///tmp/log"
    graph.node[1].attr["debug_urls"].list.s.append(b"grpc://there:80")
    graph.node[2].attr["vocab_file"].s = b"/etc/passwd"
    assert found(graph, everything) == [
        ("high", "WRITES_FILES", "print"),
        ("high", "SENDS_DEBUG_DATA", "debug"),
        ("high", "READS_FILES", "sample"),
    ]


def test_a_cache_in_memory_is_harmless_and_one_in_a_file_is_not(found, graph_of):
    for path, findings in ((b"", []), (b"/tmp/cache", [("critical", "WRITES_FILES", "cache")])):
        graph = graph_of(("data", "Placeholder"), ("path", "Const", path), ("cache", "CacheDataset", "data", "path"))
        assert found(graph, ["cache"]) == findings


def test_a_vocabulary_is_the_models_own_or_another_file(found, graph_of, meta_graph_of, saved_model):
    graph = graph_of(
        ("table", "HashTableV2"),
        ("path", "Const", b"words.txt"),
        ("fill", "InitializeTableFromTextFileV2", "table", "path"),
    )
    meta_graph = meta_graph_of(graph)
    meta_graph.collection_def["legacy_init_op"].node_list.value.append("fill")
    assert found(saved_model(meta_graph)) == [("high", "READS_VOCABULARY", "fill")]
    asset = meta_graph.asset_file_def.add()
    asset.filename, asset.tensor_info.name = "words.txt", "path:0"
    assert found(saved_model(meta_graph)) == [("low", "READS_VOCABULARY", "fill")]
    asset.filename = "../../secret.txt"
    assert found(saved_model(meta_graph))[0][:2] == ("high", "ASSET_OUTSIDE")


def test_counts_what_is_alike(found, graph_of):
    graph = graph_of(*[(f"read{index}", "ReadFile") for index in range(7)])
    (finding,) = found(graph, [node.name for node in graph.node], whole=True)
    assert (finding["node"], finding["count"]) == ("read0", 7)


def test_strings_without_a_graph_are_no_graph(found, graph_of):
    generator = random.Random(7)
    words = ["".join(generator.choices(string.ascii_letters, k=generator.randint(12, 40))) for _ in range(3000)]
    blobs = [bytes(generator.choices(range(256), k=generator.randint(12, 400))) for _ in range(3000)]
    graph = graph_of(("out", "Const", b""))
    graph.node[0].attr["value"].tensor.string_val.extend([word.encode() for word in words] + blobs)
    assert found(graph, ["out"]) == []


def test_the_object_graph_of_a_checkpoint_is_no_graph(found, graph_of):
    """A SavedModel keeps it as a string; a variable that is named "Variable" makes it look like a node."""
    attribute = b"\x0a\x0eVARIABLE_VALUE\x12\x08Variable\x1a\x01k"
    node = b"\x0a\x05\x08\x01\x12\x01v" + b"\x12" + bytes([len(attribute)]) + attribute
    content = b"\x0a" + bytes([len(node)]) + node
    assert found(graph_of(("out", "Const", content)), ["out"]) == []


def test_says_where_it_did_not_search(found, graph_of):
    graph = graph_of(("big", "Const", b"a" * (LARGEST + 1)))
    (finding,) = found(graph, ["big"], whole=True)
    assert (finding["severity"], finding["reason"]) == ("medium", "SEARCH_BOUND_MET")
    assert "more than 32 MB" in finding["text"]


def test_graphs_without_end_are_followed_so_far_only(found, graph_of):
    graph = graph_of(("out", "Const", b"nothing"))
    for _ in range(30):
        graph = graph_of(("out", "Const", graph.SerializeToString()))
    findings = found(graph, ["out"])
    assert ("medium", "SEARCH_BOUND_MET", "out") in findings


def test_a_list_of_findings_ends(found, graph_of):
    graph = graph_of(*[(f"n{index}", f"Own{index}") for index in range(6000)])
    facts = _scan(graph)
    assert len(facts["findings"]) == 200
    assert facts["findings_count"] == 5001


def _scan(graph):
    from modelmill_inspector.security import scan_graph

    return scan_graph(graph, [node.name for node in graph.node])


def test_operators_of_a_tflite_model(tmp_path):
    facts = scan_tree(
        Tree("source", tmp_path, ()),
        custom_operators={"Own": 2, "edgetpu-custom-op": 1},
        flex_operators={"FlexErf": 1, "FlexReadFile": 1},
    )
    assert [(one["severity"], one["reason"], one["op"]) for one in facts["findings"]] == [
        ("high", "READS_FILES", "ReadFile"),
        ("medium", "CUSTOM_OPERATOR", "Own"),
        ("info", "CUSTOM_OPERATOR", "edgetpu-custom-op"),
        ("info", "FLEX_OPERATOR", "Erf"),
    ]


def test_severities_are_in_order():
    assert SEVERITIES == ("none", "info", "low", "medium", "high", "critical")
    assert is_at_least("high", "medium")
    assert is_at_least("medium", "medium")
    assert not is_at_least("low", "medium")
    assert [_findings.lowered(severity) for severity in SEVERITIES[1:]] == ["info", "info", "low", "medium", "high"]


def test_every_inspection_says_what_was_found(graph_of, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "output").mkdir()
    graph = graph_of(("path", "Placeholder"), ("read", "ReadFile", "path"), ("probabilities", "Identity", "read"))
    graph.node[0].attr["dtype"].type = 7
    (tmp_path / "source" / "graph.pb").write_bytes(graph.SerializeToString())
    step = Step(
        {"source": Tree("source", tmp_path / "source", ("graph.pb",))}, InspectOptions(), tmp_path / "output", tmp_path
    )
    facts = modelmill_inspector.inspect(step)["security"]
    assert facts["highest"] == "high"
    assert [(one["reason"], one["node"], one["where"]) for one in facts["findings"]] == [
        ("READS_FILES", "read", "graph.pb")
    ]
