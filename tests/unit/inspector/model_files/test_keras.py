import io
import json
import zipfile

import h5py
import pytest
from modelmill_inspector import _keras_weights
from modelmill_inspector._keras_layers import describe_layers


@pytest.mark.parametrize(
    ("path", "model_class", "layers", "parameters", "optimizer"),
    [
        ("resnet8/pretrainedResnet.h5", "Functional", 30, 78666, ("Adam", 69)),
        ("keras-audio-classifier/model.keras", "Sequential", 13, 25921, ("Custom>Adam", 33)),
        ("mtcnn/keras2/pnet.h5", "Functional", 12, 6632, ("", 0)),
        ("mtcnn/keras2/onet.h5", "Functional", 21, 389040, ("", 0)),
        ("mtcnn/keras2/onet.keras", "Functional", 21, 389040, ("", 0)),
        ("mtcnn/keras3/onet.keras", "Functional", 21, 389040, ("", 0)),
        ("mtcnn/keras3/pnet.keras", "Functional", 12, 6632, ("", 0)),
        ("keras-mnist-cnn/model.keras", "Sequential", 9, 93322, ("", 22)),
        ("keras-nlf-classifier/model.keras", "Sequential", 7, 76545, ("Adam", 13)),
    ],
)
def test_tells_the_layers_with_their_weights(inspect, corpus, path, model_class, layers, parameters, optimizer):
    facts = inspect(corpus / path).facts
    assert (facts["model_class"], facts["nodes"], facts["layers_count"]) == (model_class, layers, layers)
    assert facts["parameters"] == parameters
    assert facts["parameters_by_dtype"] == {"float32": parameters}
    assert facts["parameter_bytes"] == 4 * parameters
    assert sum(layer.get("parameters", 0) for layer in facts["layers"]) == parameters
    assert (facts["optimizer"]["class"], facts["optimizer"]["variables"]) == optimizer
    assert json.loads(json.dumps(facts)) == facts


def test_tells_ends_and_the_way_through_the_layers(inspect, corpus):
    for path in ("mtcnn/keras2/onet.h5", "mtcnn/keras2/onet.keras", "mtcnn/keras3/onet.keras"):
        facts = inspect(corpus / path).facts
        assert facts["inputs"] == [{"name": "input", "tensor": "input", "dtype": "float32", "shape": [-1, 48, 48, 3]}]
        assert [end["name"] for end in facts["outputs"]] == ["prob", "bbox", "landmarks"]
        layers = {layer["name"]: layer for layer in facts["layers"]}
        assert layers["input"]["output_shape"] == [-1, 48, 48, 3]
        assert layers["conv1"]["inputs"] == ["input"]
        assert [weight["shape"] for weight in layers["conv1"]["weights"]] in (
            [[3, 3, 3, 32], [32]],
            [[32], [3, 3, 3, 32]],
        )


def test_tells_shapes_where_the_file_does(inspect, corpus):
    layers = inspect(corpus / "keras-mnist-cnn/model.keras").facts["layers"]
    assert layers[0]["output_shape"] == [-1, 28, 28, 1]
    assert {layer["name"]: layer.get("input_shape") for layer in layers if layer["class"] == "Conv2D"} == {
        "conv2d_6": [-1, 28, 28, 1],
        "conv2d_7": [-1, 13, 13, 32],
        "conv2d_8": [-1, 5, 5, 64],
    }
    # A Sequential model's layers come one after the other.
    assert [layer["inputs"] for layer in layers[:3]] == [[], ["input_layer_2"], ["conv2d_6"]]


def test_names_weights_as_the_file_does(inspect, corpus):
    layers = {layer["name"]: layer for layer in inspect(corpus / "mtcnn/keras2/pnet.h5").facts["layers"]}
    assert layers["PReLU1"]["weights"] == [{"name": "alpha:0", "dtype": "float32", "shape": [1, 1, 10]}]
    layers = {layer["name"]: layer for layer in inspect(corpus / "keras-mnist-cnn/model.keras").facts["layers"]}
    assert [weight["name"] for weight in layers["conv2d_7"]["weights"]] == ["0", "1"]
    assert layers["conv2d_7"]["parameters"] == 3 * 3 * 32 * 64 + 64


def test_tells_what_a_model_was_compiled_with(inspect, corpus):
    facts = inspect(corpus / "resnet8/pretrainedResnet.h5").facts
    assert facts["compiled"] == {"loss": "categorical_crossentropy", "metrics": "accuracy"}
    assert (facts["keras"], facts["backend"]) == ("2.4.0", "tensorflow")
    assert "compiled" not in inspect(corpus / "mtcnn/keras2/pnet.h5").facts


def weights_file(tree):
    """HDF5 with datasets of the given paths and shapes."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as made:
        for path, shape in tree.items():
            made.create_dataset(path, shape=shape, dtype="float16" if "half" in path else "float32")
    return buffer.getvalue()


def archive(folder, layers, tree, packed=False):
    path = folder / "model.keras"
    config = {"class_name": "Functional", "config": {"name": "m", "layers": layers}}
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as made:
        made.writestr("config.json", json.dumps(config))
        made.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
        made.writestr("model.weights.h5", tree if isinstance(tree, bytes) else weights_file(tree))
    return path


def layer(name, class_name="Dense", **config):
    return {"class_name": class_name, "config": dict(config, name=name)}


@pytest.mark.parametrize("packed", [False, True])
def test_finds_the_weights_of_archives_that_name_groups_by_class_and_by_layer(inspect, tmp_path, packed):
    mine = [layer("second"), layer("first"), layer("norm", "BatchNormalization")]
    by_class = {
        "layers/dense/vars/0": (2, 3),
        "layers/dense_1/vars/0": (3, 4),
        "layers/batch_normalization/vars/0": (4,),
    }
    by_layer = {"layers/second/vars/0": (2, 3), "layers/first/vars/0": (3, 4), "layers/norm/vars/0": (4,)}
    for tree in (by_class, by_layer):
        facts = inspect(
            archive(tmp_path, mine, dict(tree, **{"optimizer/vars/0": (), "metrics/x/vars/0": ()}), packed)
        ).facts
        assert {one["name"]: one["parameters"] for one in facts["layers"]} == {"second": 6, "first": 12, "norm": 4}
        assert (facts["parameters"], facts["optimizer"]["variables"]) == (22, 1)


def test_counts_the_weights_of_a_model_in_a_model(inspect, tmp_path):
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [layer("a"), layer("b")]}}
    tree = {"layers/sequential/layers/dense/vars/0": (2, 2), "layers/sequential/layers/dense_1/half": (5,)}
    facts = inspect(archive(tmp_path, [inner, layer("c", "Flatten")], tree)).facts
    assert [(one["name"], one.get("inside"), one.get("parameters")) for one in facts["layers"]] == [
        ("inner", None, 9),
        ("a", ["inner"], None),
        ("b", ["inner"], None),
        ("c", None, None),
    ]
    assert facts["parameters_by_dtype"] == {"float16": 5, "float32": 4}
    assert facts["parameter_bytes"] == 2 * 5 + 4 * 4


def test_follows_no_link_into_another_file(inspect, tmp_path):
    (tmp_path / "other.h5").write_bytes(weights_file({"secret": (1000,)}))
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as made:
        made["layers/dense/vars"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        made["layers/dense_1"] = h5py.SoftLink("/layers")
    facts = inspect(archive(tmp_path, [layer("a"), layer("b")], buffer.getvalue())).facts
    assert facts["parameters"] == 0


def test_a_group_that_contains_itself_is_damage(refusal, tmp_path):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as made:
        group = made.create_group("layers")
        group["again"] = group
    error = refusal(archive(tmp_path, [layer("a")], buffer.getvalue()))
    assert error.reason == "KERAS_FILE_DAMAGED"


def test_refuses_weights_that_are_no_hdf5(refusal, tmp_path):
    assert refusal(archive(tmp_path, [layer("a")], b"nothing")).reason == "KERAS_FILE_DAMAGED"


def test_weights_too_large_to_unpack_are_left(inspect, tmp_path, monkeypatch):
    monkeypatch.setattr(_keras_weights, "_LARGEST_PACKED", 100)
    facts = inspect(archive(tmp_path, [layer("a")], {"layers/dense/vars/0": (10, 10)}, packed=True)).facts
    assert facts["weights_unread"] is True
    assert "parameters" not in facts


def test_reads_the_layers_of_every_keras():
    old = {"class_name": "Sequential", "config": [layer("a", batch_input_shape=[None, 3]), layer("b")]}
    assert [one["name"] for one in describe_layers(old, {})["layers"]] == ["a", "b"]
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "keras_history": ["x", 0, 0]}}
    called = dict(layer("y"), inbound_nodes=[{"args": [[tensor, tensor]], "kwargs": {}}])
    new = {"class_name": "Functional", "config": {"layers": [layer("x", "InputLayer"), called]}}
    new["config"].update({"input_layers": {"image": ["x", 0, 0]}, "output_layers": ["y", 0, 0]})
    found = describe_layers(new, {})
    assert found["layers"][1]["inputs"] == ["x"]
    assert ([end["name"] for end in found["inputs"]], [end["name"] for end in found["outputs"]]) == (["x"], ["y"])


def test_models_nested_without_end_are_refused():
    model = layer("last")
    for _ in range(200):
        model = {"class_name": "Sequential", "config": {"name": "m", "layers": [model]}}
    with pytest.raises(ValueError, match="nested"):
        describe_layers(model, {})
