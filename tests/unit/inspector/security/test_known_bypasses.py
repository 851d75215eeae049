"""What is known to pass other scanners, which look at the main graph of a file with the right suffix only."""

import base64
import gzip
import json
import marshal
import zipfile

import pytest
from modelmill_worker.plugin_api import Tree


def shown(findings):
    return {(one["severity"], one["reason"], one["node"]) for one in findings}


def in_string(graph_of, content, operation="DatasetFromGraph"):
    """A graph that holds bytes in a constant and hands them to an operation that its output needs."""
    return graph_of(("hidden", "Const", content), ("dataset", operation, "hidden"), ("out", "Identity", "dataset"))


def test_a_graph_in_a_string_that_a_dataset_is_made_of(found, graph_of, writer, saved_model, meta_graph_of):
    tree = saved_model(meta_graph_of(in_string(graph_of, writer.SerializeToString()), "out:0"))
    findings = found(tree, whole=True)
    assert shown(findings) == {
        ("critical", "WRITES_FILES", "write"),
        ("high", "RUNS_HIDDEN_GRAPH", "dataset"),
        ("medium", "GRAPH_IN_STRING", "hidden"),
    }
    assert findings[0]["where"] == "saved_model.pb > constant hidden"
    assert "/tmp/taken" in findings[0]["text"]


def test_a_graph_in_an_attribute(found, graph_of, writer):
    graph = graph_of(("dataset", "DatasetFromGraph"))
    graph.node[0].attr["graph_def"].s = writer.SerializeToString()
    findings = found(graph, ["dataset"], whole=True)
    assert ("critical", "WRITES_FILES", "write") in shown(findings)
    assert findings[0]["where"] == "attribute graph_def of dataset"


def test_a_saver_that_a_signature_calls(found, graph_of, saved_model, meta_graph_of):
    graph = graph_of(
        ("prefix", "Const", b"variables/variables"),
        ("names", "Const", b"w"),
        ("slices", "Const", b""),
        ("value", "Placeholder"),
        ("save", "SaveV2", "prefix", "names", "slices", "value"),
        ("out", "Identity", "value", "^save"),
    )
    meta_graph = meta_graph_of(graph, "out:0")
    assert found(saved_model(meta_graph)) == [("critical", "SAVES_CHECKPOINT", "save")]
    # The same nodes are what a saver has, as long as nothing else calls them.
    del meta_graph.graph_def.node[-1].input[1:]
    meta_graph.saver_def.save_tensor_name = "save:0"
    (finding,) = found(saved_model(meta_graph), whole=True)
    assert (finding["severity"], finding["reason"]) == ("low", "SAVES_CHECKPOINT")
    assert "only when somebody saves" in finding["text"]
    # A saver's restoring runs at loading: nothing may be written then.
    meta_graph.saver_def.restore_op_name = "save"
    assert found(saved_model(meta_graph)) == [("critical", "SAVES_CHECKPOINT", "save")]


@pytest.mark.parametrize("by", ["operation", "attribute", "list", "argument"])
def test_a_function_that_a_signature_calls(found, graph_of, function_of, saved_model, meta_graph_of, by):
    graph = graph_of(("call", "PartitionedCall"), ("out", "Identity", "call"))
    if by == "operation":
        graph.node[0].op = "outer"
    elif by == "attribute":
        graph.node[0].attr["f"].func.name = "outer"
    elif by == "list":
        graph.node[0].attr["branches"].list.func.add().name = "outer"
    else:
        graph.node[0].attr["f"].func.name = "missing"
        graph.node[0].attr["f"].func.attr["body"].func.name = "outer"
    function_of(graph, "outer", ("call", "inner"))
    function_of(graph, "inner", ("read", "ReadFile", "path"))
    (finding,) = found(saved_model(meta_graph_of(graph, "out:0")), whole=True)
    assert (finding["severity"], finding["reason"], finding["node"]) == ("high", "READS_FILES", "read")
    assert finding["where"] == "saved_model.pb > function inner"


def test_a_function_that_nothing_calls_is_reported_a_step_lower(found, graph_of, function_of):
    graph = graph_of(("out", "Placeholder"))
    function_of(graph, "innocent", ("n", "WriteFile", "path", "content"))
    (finding,) = found(graph, ["out:0"], whole=True)
    assert (finding["severity"], finding["reason"]) == ("high", "WRITES_FILES")
    assert "Nothing that the model offers depends on it" in finding["text"]


def test_a_function_that_may_be_put_in_anothers_place(found, graph_of, function_of):
    graph = graph_of(("out", "used"))
    for name, operation in (("used", "Relu"), ("other", "WriteFile")):
        function_of(graph, name, ("n", operation)).attr["api_implements"].s = b"lstm"
    assert found(graph, ["out"]) == [("critical", "WRITES_FILES", "n")]


def test_a_graph_in_a_graph_in_a_graph(found, graph_of, writer):
    inner = in_string(graph_of, writer.SerializeToString())
    outer = in_string(graph_of, inner.SerializeToString())
    findings = found(outer, ["out"], whole=True)
    assert ("critical", "WRITES_FILES", "write") in shown(findings)
    assert findings[0]["where"] == "constant hidden > constant hidden"


def test_a_graph_in_a_constant_of_no_obvious_use(found, graph_of, writer):
    graph = graph_of(("vocabulary", "Const", writer.SerializeToString()), ("out", "Identity", "vocabulary"))
    assert ("critical", "WRITES_FILES", "write") in found(graph, ["out"])
    # Where nothing needs the constant, what it holds is a step lower.
    assert ("high", "WRITES_FILES", "write") in found(graph_of(*_with(graph)), ["other"])


def _with(graph):
    return [("vocabulary", "Const", graph.node[0].attr["value"].tensor.string_val[0]), ("other", "Placeholder")]


def _length_first(content):
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return length + bytes([size]) + content


@pytest.mark.parametrize(
    "wrap",
    [
        gzip.compress,
        base64.b64encode,
        base64.urlsafe_b64encode,
        lambda content: b"\x0a" + _length_first(b"\x12" + _length_first(content)),  # in other messages
        lambda content: b"\xfa\x01\x04junk" + content,  # behind a field that nobody knows
    ],
)
def test_a_wrapped_graph(found, graph_of, writer, wrap):
    graph = in_string(graph_of, wrap(writer.SerializeToString()), "DecodeRaw")
    assert ("critical", "WRITES_FILES", "write") in found(graph, ["out"])


def test_a_string_that_is_stored_in_tensor_content(found, graph_of, writer):
    graph = in_string(graph_of, b"", "DecodeRaw")
    tensor = graph.node[0].attr["value"].tensor
    del tensor.string_val[:]
    tensor.tensor_content = _length_first(writer.SerializeToString())
    assert ("critical", "WRITES_FILES", "write") in found(graph, ["out"])


def test_what_a_graph_is_a_part_of_is_searched_as_well(found, graph_of, writer, meta_graph_of, function_of):
    library = graph_of()
    function_of(library, "f", ("write", "WriteFile", "path", "content"))
    meta_graph = meta_graph_of(writer, "out:0")
    for content in (
        library.library.SerializeToString(),
        library.library.function[0].SerializeToString(),
        meta_graph.SerializeToString(),
        b"\x08\x01\x12" + _length_first(meta_graph.SerializeToString()),
    ):
        findings = found(in_string(graph_of, content, "DecodeRaw"), ["out"])
        assert ("critical", "WRITES_FILES", "write") in findings, content[:40]


def test_another_graph_of_the_file_than_the_one_that_is_served(found, graph_of, writer, saved_model, meta_graph_of):
    harmless = meta_graph_of(graph_of(("x", "Placeholder")), "x:0")
    other = meta_graph_of(writer, "out:0")
    other.meta_info_def.tags[:] = ["train"]
    (finding,) = found(saved_model(harmless, other), whole=True)
    assert (finding["severity"], finding["where"]) == ("critical", "saved_model.pb > graph of train")


@pytest.mark.parametrize("key", ["saved_model_main_op", "legacy_init_op"])
def test_what_a_loader_runs(found, graph_of, writer, saved_model, meta_graph_of, key):
    meta_graph = meta_graph_of(writer, "content:0")
    meta_graph.collection_def[key].node_list.value.append("write")
    (finding,) = found(saved_model(meta_graph), whole=True)
    assert finding["severity"] == "critical"
    assert "when the model is loaded" in finding["text"]


def test_a_method_of_a_resource_that_a_loader_calls(found, graph_of, function_of, saved_model, meta_graph_of):
    graph = graph_of(("x", "Placeholder"))
    function_of(graph, "f", ("write", "WriteFile", "path", "content"))
    meta_graph = meta_graph_of(graph, "x:0")
    objects = meta_graph.object_graph_def.nodes
    child = objects.add().children.add()
    child.local_name, child.node_id = "_initialize", 1
    objects.add().function.concrete_functions.append("f")
    (finding,) = found(saved_model(meta_graph), whole=True)
    assert "when the model is loaded" in finding["text"]


CODE = marshal.dumps(compile("import os\ndef f(x):\n    return os.system(x)\n", "<lambda>", "exec"))


def lambda_layer(**config):
    return {
        "class_name": "Lambda",
        "module": "keras.layers",
        "registered_name": None,
        "config": dict(config, name="sly"),
    }


def keras_archive(path, config, *more):
    with zipfile.ZipFile(str(path), "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")
        for name, content in more:
            archive.writestr(name, content)
    return Tree("source", path.parent, (path.name,))


def test_code_that_runs_only_where_the_model_is_compiled(found, tmp_path):
    function = {"class_name": "__lambda__", "config": {"code": base64.encodebytes(CODE).decode("ascii")}}
    config = {
        "class_name": "Sequential",
        "module": "keras",
        "config": {"name": "net", "layers": []},
        "compile_config": {"optimizer": "adam", "loss": function},
    }
    findings = found(keras_archive(tmp_path / "model.keras", config), whole=True)
    assert {one["severity"] for one in findings} == {"critical"}
    assert {one["reason"] for one in findings} == {"KERAS_LAMBDA_CODE", "MARSHALLED_CODE"}
    assert findings[0]["where"] == "model.keras > config.json > compile_config"
    assert "only where the model is compiled" in findings[0]["text"]
    assert "system" in findings[0]["text"] or "os" in findings[0]["text"]


@pytest.mark.parametrize("first", ["my_op", "__inference_f_1"])
def test_a_first_node_of_another_kind_hides_no_graph(found, graph_of, writer, first):
    hidden = graph_of(("a", first))
    hidden.node.extend(writer.node)
    findings = found(in_string(graph_of, hidden.SerializeToString()), ["out"])
    assert ("critical", "WRITES_FILES", "write") in findings


def test_a_function_named_like_an_operation_hides_none(found, graph_of, function_of):
    graph = graph_of(("path", "Const", b"/tmp/taken"), ("write", "WriteFile", "path", "path"))
    function_of(graph, "WriteFile", ("nothing", "NoOp"))
    assert ("critical", "WRITES_FILES", "write") in found(graph, ["write"])


def test_every_member_of_a_gzip_file_is_searched(found, graph_of, writer):
    hidden = gzip.compress(b"") + gzip.compress(writer.SerializeToString())
    assert ("critical", "WRITES_FILES", "write") in found(in_string(graph_of, hidden), ["out"])


def test_a_function_that_saves_and_is_called_is_no_saver(found, graph_of, function_of, saved_model, meta_graph_of):
    meta_graph = meta_graph_of(graph_of(("x", "Placeholder")), "x:0")
    function_of(
        meta_graph.graph_def, "save", ("name", "Const", b"w"), ("out", "SaveV2", "name:output:0", "name:output:0")
    )
    objects = meta_graph.object_graph_def
    root, function, held = objects.nodes.add(), objects.nodes.add(), objects.nodes.add()
    function.function.concrete_functions.append("save")
    held.variable.name = "w"
    root.children.add(node_id=2, local_name="w")
    if hasattr(held, "saveable_objects"):  # TensorFlow 1's messages know none: there, all functions count as called.
        held.saveable_objects["w"].save_function = 1
        assert ("low", "SAVES_CHECKPOINT", "out") in found(saved_model(meta_graph))
    root.children.add(node_id=1, local_name="__call__")
    assert ("critical", "SAVES_CHECKPOINT", "out") in found(saved_model(meta_graph))
