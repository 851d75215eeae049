import json

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_worker import StepError, arrays
from modelmill_worker.signature import Signature, Tensor


def signature_of(*inputs):
    return Signature(inputs, (Tensor("out", "out:0", "float32", None),), expected_error=0.0)


def tensor(name="net/x", dtype="float32", shape=(-1, -1, 3)):
    return Tensor(name, name + ":0", dtype, shape)


def values_of(folder):
    return datasets.read(folder).arrays


def test_samples_are_the_same_for_the_same_seed_only(run_edge, model_of):
    model = model_of(signature_of(tensor()))
    _, one = run_edge("sample", {"model": model}, {"seed": 5})
    _, two = run_edge("sample", {"model": model}, {"seed": 5})
    _, other = run_edge("sample", {"model": model}, {"seed": 6})

    assert (one / "arrays.npz").read_bytes() == (two / "arrays.npz").read_bytes()
    assert (one / "arrays.npz").read_bytes() != (other / "arrays.npz").read_bytes()


def test_samples_are_these_forever(run_edge, model_of):
    # Another stream would make every cached verification of every user another one.
    _, folder = run_edge("sample", {"model": model_of(signature_of(tensor(shape=(2,))))}, {"seed": 1})
    assert values_of(folder)["net/x"].tolist() == np.float32([-0.1659559905529022, 0.4406489729881287]).tolist()


def test_unknown_dimensions_become_a_batch_of_one_and_64(run_edge, model_of):
    _, folder = run_edge("sample", {"model": model_of(signature_of(tensor()))})
    assert values_of(folder)["net/x"].shape == (1, 64, 3)


def test_input_shapes_fill_unknown_dimensions(run_edge, model_of):
    _, folder = run_edge("sample", {"model": model_of(signature_of(tensor()))}, {"input_shapes": {"net/x": [2, -1, 3]}})
    assert values_of(folder)["net/x"].shape == (2, 64, 3)


@pytest.mark.parametrize("shapes", [{"x": [1]}, {"net/x": [1, 2]}, {"net/x": [1, 2, 4]}, {"net/x": [99999, 99999, 3]}])
def test_refuses_input_shapes_that_do_not_fit(run_edge, model_of, shapes):
    with pytest.raises(StepError) as caught:
        run_edge("sample", {"model": model_of(signature_of(tensor()))}, {"input_shapes": shapes})
    assert caught.value.reason == "INVALID_OPTION"


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float32", -1, 1),
        ("float16", -1, 1),
        ("uint8", 0, 255),
        ("int8", 0, 127),
        ("int64", 0, 255),
        ("bool", 0, 1),
    ],
)
def test_values_fill_the_range_of_their_type(run_edge, model_of, dtype, low, high):
    _, folder = run_edge("sample", {"model": model_of(signature_of(tensor(dtype=dtype, shape=(10000,))))})
    values = values_of(folder)["net/x"]

    assert values.dtype == dtype
    assert values.min() >= low
    assert values.max() <= high
    # 10,000 draws miss a hundredth of the range at either end with a probability below 1e-40.
    assert float(values.max()) - float(values.min()) >= 0.98 * (high - low)


@pytest.mark.parametrize("unfit", [tensor("text", "string", (1,)), tensor("vague", "float32", None)])
def test_what_cannot_be_made_up_is_told_as_skipped(run_edge, model_of, unfit):
    facts, folder = run_edge("sample", {"model": model_of(signature_of(tensor(), unfit))})

    assert unfit.name in facts["skipped"]
    assert "dataset" in facts["skipped"]
    assert datasets.read(folder).skipped == facts["skipped"]


def test_facts_are_json(run_edge, model_of):
    facts, _ = run_edge("sample", {"model": model_of(signature_of(tensor(shape=())))})
    assert json.loads(json.dumps(facts)) == {"inputs": [{"name": "net/x", "dtype": "float32", "shape": []}]}


@pytest.fixture
def adopt(run_edge, model_of, tmp_path):
    def run(inputs, given_arrays, file_name="arrays.npz"):
        folder = tmp_path / "given"
        folder.mkdir()
        arrays.write(folder / file_name, given_arrays)
        return run_edge("adopt", {"model": model_of(signature_of(*inputs)), "dataset": folder})

    return run


def test_adopts_arrays_by_name_tensor_or_node(adopt):
    inputs = (tensor("a", shape=(1,)), *(Tensor(name, f"node/{name}:0", "float32", (1,)) for name in "bc"))
    one = np.float32([1])
    _, folder = adopt(inputs, {"a": one, "node/b:0": 2 * one, "node/c": 3 * one}, "mine.npz")

    assert {name: values.tolist() for name, values in values_of(folder).items()} == {"a": [1], "b": [2], "c": [3]}
    assert datasets.read(folder).signature == signature_of(*inputs)


def test_adopts_values_of_a_wider_type_that_fit(adopt):
    inputs = (tensor("f", "float32", (1,)), tensor("i", "int32", (2,)), tensor("u", "uint8", (1,)))
    given_arrays = {"f": np.float64([0.1]), "i": np.int64([1, -2]), "u": np.int64([200])}
    _, folder = adopt(inputs, given_arrays)

    assert {name: values.dtype.name for name, values in values_of(folder).items()} == {
        "f": "float32",
        "i": "int32",
        "u": "uint8",
    }


def test_adopts_texts(adopt):
    _, folder = adopt((tensor("t", "string", (-1,)),), {"t": np.array([b"one", b"three"])})
    assert values_of(folder)["t"].tolist() == [b"one", b"three"]


@pytest.mark.parametrize(
    ("dtype", "given_array"),
    [
        ("float32", np.zeros((1, 2, 3), np.float32)[0]),
        ("float32", np.zeros((1, 2, 4), np.float32)),
        ("int32", np.zeros((1, 2, 3), np.float32)),
        ("uint8", np.full((1, 2, 3), 300)),
        ("uint8", np.full((1, 2, 3), -1)),
        ("float32", np.full((1, 2, 3), b"one")),
        ("string", np.zeros((1, 2, 3))),
        ("bfloat16", np.zeros((1, 2, 3))),
    ],
)
def test_refuses_arrays_that_do_not_fit(adopt, dtype, given_array):
    with pytest.raises(StepError) as caught:
        adopt((tensor("x", dtype),), {"x": given_array})
    assert caught.value.reason == "INPUT_MISMATCH"
    assert caught.value.details["input"] == "x"


def test_refuses_a_missing_array_and_names_the_ones_needed(adopt):
    with pytest.raises(StepError) as caught:
        adopt((tensor("x"), tensor("y")), {"x": np.zeros((1, 2, 3)), "z": np.zeros(1)})
    assert caught.value.reason == "INPUT_MISMATCH"
    assert "x, y" in caught.value.message
    assert caught.value.details["arrays"] == ["x", "z"]


def test_says_which_arrays_were_not_used(adopt):
    facts, _ = adopt((tensor("x"),), {"x": np.zeros((1, 2, 3)), "z": np.zeros(1)})
    assert "z" in facts["notes"][0]


@pytest.mark.parametrize("names", [[], ["one.npz", "two.npz"]])
def test_refuses_a_dataset_that_is_not_one_npz(run_edge, model_of, tmp_path, names):
    folder = tmp_path / "given"
    folder.mkdir()
    for name in names:
        arrays.write(folder / name, {})
    with pytest.raises(StepError) as caught:
        run_edge("adopt", {"model": model_of(signature_of(tensor())), "dataset": folder})
    assert caught.value.reason == "DATASET_UNREADABLE"
