import json
from itertools import permutations

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_verifier.contrast import contrast_datasets
from modelmill_verifier.datasets import Dataset
from modelmill_worker.signature import Signature, Tensor


def outputs(**arrays):
    tensors = tuple(Tensor(name, name + ":0", "float32", None) for name in sorted(arrays))
    return Dataset(Signature((), tensors), {name: np.asarray(values) for name, values in arrays.items()})


def skipped(why):
    return Dataset(outputs(y=[1.0]).signature, {}, skipped=why)


def test_tells_each_pair_both_ways_by_its_worst_output_for_the_range(run_edge, tmp_path):
    given = {
        "tflite@1.9": outputs(small=[0.0, 0.5, 1.0], large=[0.0, 100.0]),
        "tflite@1.12": outputs(small=[0.0, 0.7, 1.0], large=[1.0, 100.0]),
        "tflite@2.21": outputs(small=[0.0, 0.5, 1.0], large=[0.0, 125.0]),
    }
    inputs = {}
    for label, dataset in given.items():
        inputs[label] = tmp_path / label
        inputs[label].mkdir()
        datasets.write(inputs[label], dataset)
    facts, folder = run_edge("contrast", inputs)

    found = facts["differences"]
    # 0.2 of 1 is more than 1 of 100.
    assert found["tflite@1.9"]["tflite@1.12"] == {
        "output": "small",
        "max_abs_difference": pytest.approx(0.2),
        "of_range": pytest.approx(0.2),
    }
    # The range is that of both: 0 to 125.
    assert found["tflite@1.9"]["tflite@2.21"] == {"output": "large", "max_abs_difference": 25.0, "of_range": 0.2}
    assert all(found[one][other] == found[other][one] for one, other in permutations(given, 2))
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == facts
    assert facts["notes"] == []


def test_equal_outputs_do_not_differ_even_where_they_are_constant():
    report = contrast_datasets({"a": outputs(y=[3.0, 3.0]), "b": outputs(y=[3.0, 3.0])})
    assert report["differences"]["a"]["b"] == {"output": "y", "max_abs_difference": 0.0, "of_range": 0.0}


def test_what_was_skipped_is_left_out_and_noted():
    report = contrast_datasets({"a": outputs(y=[1.0]), "b": outputs(y=[2.0]), "c": skipped("There is no Node.")})
    assert sorted(report["differences"]) == ["a", "b"]
    assert report["differences"]["a"]["b"]["of_range"] == 1.0
    assert report["notes"] == ["c is not compared with the others: There is no Node."]


def test_one_alone_has_no_differences():
    assert contrast_datasets({"a": outputs(y=[1.0])})["differences"] == {"a": {}}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (outputs(y=[[1.0, 2.0]]), "in the output y, the shapes are [2] and [1, 2]"),
        (outputs(y=[1.0, float("nan")]), "in the output y, NaN or infinite values are not in the same places"),
        (outputs(y=[1.0, float("inf")]), "in the output y, NaN or infinite values are not in the same places"),
        (outputs(y=[b"a", b"b"]), "in the output y, the texts differ"),
        (outputs(z=[1.0, 2.0]), "in the output y, which only one of them has, there is nothing to compare"),
        (outputs(y=[-1.7e308, 1.7e308]), None),
    ],
)
def test_pairs_without_a_number_say_why_and_the_others_go_on(other, why):
    given = {"a": outputs(y=[1.0, 2.0]), "b": other, "c": outputs(y=[1.0, 4.0])}
    report = contrast_datasets(given)
    assert report["differences"]["a"]["c"]["max_abs_difference"] == 2.0
    assert "b" not in report["differences"]["a"]
    assert why is None or report["incomparable"]["a"]["b"] == report["incomparable"]["b"]["a"] == why
    assert any("a and b cannot be compared" in note for note in report["notes"])
    json.dumps(report, allow_nan=False)


def test_nan_and_infinities_in_the_same_places_are_equal():
    values = [float("nan"), float("inf"), float("-inf"), 1.0]
    report = contrast_datasets({"a": outputs(y=values), "b": outputs(y=[*values[:3], 3.0])})
    assert report["differences"]["a"]["b"]["max_abs_difference"] == 2.0


def test_whole_numbers_texts_and_truth_values_are_compared_too():
    one = outputs(n=np.uint8([0, 255]), t=[b"cat"], b=[True, False])
    two = outputs(n=np.uint8([255, 0]), t=[b"cat"], b=[True, False])
    report = contrast_datasets({"a": one, "b": two})
    assert report["differences"]["a"]["b"] == {"output": "n", "max_abs_difference": 255.0, "of_range": 1.0}


def test_thirty_versions_agree_with_a_plain_comparison_of_each_pair():
    random = np.random.RandomState(0)
    base = random.uniform(-1, 1, (1, 5, 5, 4))
    given = {f"v{n}": outputs(y=base + random.normal(0, 1e-3, base.shape)) for n in range(30)}
    report = contrast_datasets(given)
    for one, other in permutations(given, 2):
        pair = np.stack([given[one].arrays["y"], given[other].arrays["y"]])
        expected = np.abs(pair[0] - pair[1]).max()
        found = report["differences"][one][other]
        assert found["max_abs_difference"] == pytest.approx(expected)
        assert found["of_range"] == pytest.approx(expected / (pair.max() - pair.min()))
