import json
import shutil

import pytest

LAYERS = "tfjs/nsfwjs-mobilenetv2-layers/mobilenet_v2"


SHAPE = {"dim": [{"size": "-1"}]}


@pytest.fixture
def write_model(tmp_path):
    """Write a model.json and its shards: a dictionary from file names to their bytes."""

    def write(content, shards=()):
        folder = tmp_path / "tfjs"
        folder.mkdir()
        (folder / "model.json").write_text(json.dumps(content))
        for name, data in dict(shards).items():
            (folder / name).write_bytes(data)
        return folder

    return write


def weight(name, shape, dtype="float32", stored=""):
    found = {"name": name, "shape": shape, "dtype": dtype}
    if stored:
        found["quantization"] = {"dtype": stored, "min": 0.0, "scale": 1.0}
    return found


def graph_model(weights, paths=("shard1of1.bin",), **more):
    nodes = [
        {"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}, "shape": {"shape": SHAPE}}},
        {"name": "w", "op": "Const"},
        {"name": "y", "op": "Add", "input": ["x", "w"]},
        {"name": "check", "op": "NoOp", "input": ["^y"]},
    ]
    manifest = [{"paths": list(paths), "weights": weights}]
    return dict({"modelTopology": {"node": nodes}, "weightsManifest": manifest}, **more)


def test_describes_a_graph_model(inspect, corpus):
    found = inspect(corpus / "tfjs/posenet")
    facts = found.facts
    assert found.kind == "tfjs.graph_model"
    assert facts["operations"] == {"Const": 62, "FusedDepthwiseConv2dNative": 13, "Placeholder": 1, "_FusedConv2D": 18}
    assert facts["inputs"] == [{"name": "image:0", "tensor": "image:0", "dtype": "float32", "shape": [1, 385, 385, 3]}]
    assert {end["name"]: end["shape"][-1] for end in facts["outputs"]} == {
        "MobilenetV1/heatmap_2/BiasAdd:0": 17,
        "MobilenetV1/offset_2/BiasAdd:0": 34,
        "MobilenetV1/displacement_fwd_2/BiasAdd:0": 32,
        "MobilenetV1/displacement_bwd_2/BiasAdd:0": 32,
    }
    assert (facts["format"], facts["converted_by"]) == ("graph-model", "https://github.com/vladmandic")
    assert facts["parameters"] == 1258195
    assert facts["shards"] == {
        "files": [{"path": "posenet.bin", "bytes": 5032780}],
        "files_count": 1,
        "bytes": 4 * 1258195,
        "expected_bytes": 4 * 1258195,
        "unused_bytes": 0,
    }
    assert json.loads(json.dumps(facts)) == facts


def test_describes_a_layers_model_of_the_old_style(inspect, corpus):
    found = inspect(corpus / LAYERS)
    facts = found.facts
    assert (found.kind, facts["format"], facts["model_class"]) == ("tfjs.layers_model", "layers-model", "Model")
    assert (facts["keras"], facts["backend"], facts["optimizer"]["class"]) == ("2.2.4", "tensorflow", "SGD")
    assert facts["operations"]["DepthwiseConv2D"] == 17
    assert facts["inputs"] == [{"name": "input_1", "tensor": "input_1", "dtype": "float32", "shape": [-1, 224, 224, 3]}]
    assert facts["weights"][0] == {
        "name": "Conv1/kernel",
        "dtype": "float32",
        "shape": [3, 3, 3, 32],
        "quantised_to": "uint8",
    }
    # Bytes of uint8: as many as there are parameters.
    assert facts["parameters"] == facts["parameter_bytes"] == facts["shards"]["bytes"]
    assert sum(layer.get("parameters", 0) for layer in facts["layers"]) == facts["parameters"]
    layers = {layer["name"]: layer for layer in facts["layers"]}
    assert (layers["Conv1"]["inputs"], layers["Conv1"]["parameters"]) == (["Conv1_pad"], 864)


def test_describes_a_layers_model_as_tensorflow_js_saves_it(inspect, write_model):
    dense = {
        "class_name": "Dense",
        "config": {"name": "d", "units": 2, "batch_input_shape": [None, 3], "dtype": "float32"},
    }
    topology = {"class_name": "Sequential", "config": {"name": "s", "layers": [dense]}}
    topology.update({"keras_version": "tfjs-layers 4.22.0", "backend": "tensor_flow.js"})
    content = {"format": "layers-model", "generatedBy": "TensorFlow.js tfjs-layers v4.22.0", "modelTopology": topology}
    content["weightsManifest"] = [
        {"paths": ["weights.bin"], "weights": [weight("d/kernel", [3, 2]), weight("d/bias", [2])]}
    ]
    facts = inspect(write_model(content, {"weights.bin": bytes(32)})).facts
    assert facts["generated_by"] == "TensorFlow.js tfjs-layers v4.22.0"
    assert facts["layers"] == [
        {
            "name": "d",
            "class": "Dense",
            "inputs": [],
            "parameters": 8,
            "weights": [
                {"name": "kernel", "dtype": "float32", "shape": [3, 2]},
                {"name": "bias", "dtype": "float32", "shape": [2]},
            ],
        }
    ]
    assert facts["inputs"][0]["shape"] == [-1, 3]


def test_finds_the_ends_of_a_graph_model_without_signature(inspect, write_model):
    facts = inspect(write_model(graph_model([weight("w", [2])]), {"shard1of1.bin": bytes(8)})).facts
    assert facts["inputs"] == [{"name": "x", "tensor": "x:0", "dtype": "float32", "shape": [-1]}]
    assert facts["outputs"] == []  # y is taken by nothing but a control edge
    assert facts["signatures"] == []


def test_tells_functions_and_control_flow(inspect, write_model):
    content = graph_model([])
    body = [{"name": "a", "op": "Add"}, {"name": "b", "op": "StatelessIf"}]
    content["modelTopology"]["node"].append({"name": "loop", "op": "StatelessWhile"})
    content["modelTopology"]["library"] = {"function": [{"signature": {"name": "body"}, "nodeDef": body}]}
    content["modelTopology"]["versions"] = {"producer": 1087}
    content["signature"] = {
        "inputs": {"in": {"name": "x:0", "dtype": "DT_FLOAT", "tensorShape": {"unknownRank": True}}}
    }
    content["userDefinedMetadata"] = {"about": "this"}
    facts = inspect(write_model(content, {"shard1of1.bin": b""})).facts
    assert facts["control_flow"] == {"v1": 0, "v2": 2, "loops": 1, "conditions": 1}
    assert facts["functions"] == [{"name": "body", "nodes": 2}]
    assert (facts["operations"]["Add"], facts["producer"], facts["user_metadata"]) == (2, 1087, ["about"])
    assert facts["inputs"] == [{"name": "in", "tensor": "x:0", "dtype": "float32", "shape": None}]


def test_sums_groups_and_quantised_weights(inspect, write_model):
    content = graph_model([weight("a", [10], "float32", "uint16"), weight("b", [3], "int32")], ("one", "two"))
    content["weightsManifest"].append(
        {"paths": ["three"], "weights": [weight("c", [5], "bool"), weight("d", [2], "string")]}
    )
    facts = inspect(write_model(content, {"one": bytes(16), "two": bytes(16), "three": bytes(20)})).facts
    assert facts["parameters_by_dtype"] == {"bool": 5, "float32": 10, "int32": 3, "string": 2}
    assert facts["shards"]["expected_bytes"] == 20 + 12 + 5
    assert facts["shards"]["unused_bytes"] == 0
    assert facts["weights_count"] == 4


def test_says_what_is_too_much_in_the_shards(inspect, write_model):
    facts = inspect(write_model(graph_model([weight("w", [2])]), {"shard1of1.bin": bytes(11)})).facts
    assert facts["shards"]["unused_bytes"] == 3


def test_refuses_shards_that_are_too_short(refusal, write_model, corpus, tmp_path):
    error = refusal(write_model(graph_model([weight("w", [2])], ("one", "two")), {"one": bytes(4), "two": bytes(3)}))
    assert (error.reason, error.details) == (
        "WEIGHTS_DAMAGED",
        {"paths": ["one", "two"], "bytes": 7, "expected_bytes": 8},
    )
    copy = tmp_path / "copy"
    shutil.copytree(str(corpus / LAYERS), str(copy), copy_function=shutil.copyfile)
    shard = copy / "group1-shard1of1"
    shard.write_bytes(shard.read_bytes()[:-1])
    error = refusal(copy)
    assert error.reason == "WEIGHTS_DAMAGED"
    assert "2,619,460 bytes" in error.message


def test_names_a_shard_that_is_missing(refusal, write_model):
    error = refusal(write_model(graph_model([weight("w", [2])], ("one", "two")), {"one": bytes(8)}))
    assert (error.reason, error.details["missing"]) == ("WEIGHTS_MISSING", ["two"])


@pytest.mark.parametrize("shape", [[-1], [2.5], ["3"], [True], [2**40, 2**40], [1] * 100, "12", None])
def test_refuses_weights_of_no_possible_shape(refusal, write_model, shape):
    error = refusal(write_model(graph_model([weight("w", shape)]), {"shard1of1.bin": bytes(8)}))
    assert error.reason == "TFJS_MODEL_DAMAGED"


def test_a_path_out_of_the_model_is_missing(refusal, write_model, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(8))
    error = refusal(write_model(graph_model([weight("w", [2])], ("../secret",)), {}))
    assert error.reason == "WEIGHTS_MISSING"


def test_json_that_is_nested_without_end_is_no_model(refusal, tmp_path):
    (tmp_path / "model.json").write_text('{"modelTopology": ' + "[" * 200000)
    assert refusal(tmp_path / "model.json").reason == "NO_MODEL_FOUND"
