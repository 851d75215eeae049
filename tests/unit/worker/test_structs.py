import pytest
from modelmill_worker import StepError, json_values, structs


def test_gives_back_what_it_took():
    values = {"i": 3, "f": 0.5, "s": "x", "n": None, "b": True, "l": [1, [2.5], {}], "o": {"p": {"q": -1}}}
    back = structs.to_json(structs.from_json(values))
    assert back == values
    assert isinstance(back["i"], int)
    assert isinstance(back["b"], bool)


def test_takes_tuples_as_lists():
    assert structs.to_json(structs.from_json({"shape": (1, 2)})) == {"shape": [1, 2]}


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"a": float("nan")}, "facts.a"),
        ({"a": [0, {"b": float("inf")}]}, "facts.a[1].b"),
        ({"a": 2**53 + 1}, "facts.a"),
        ({"a": b"bytes"}, "facts.a"),
        ({"a": {1: 2}}, "facts.a"),
    ],
)
def test_refuses_what_would_not_survive_and_says_where(values, where):
    with pytest.raises(StepError) as caught:
        structs.from_json(values)
    assert caught.value.reason == "NOT_JSON"
    assert caught.value.details["where"] == where


def test_tells_in_text_what_a_failure_cannot_carry():
    told = json_values.tolerated({"error": float("nan"), 1: {2}, "type": int})
    assert told == {"error": "nan", "1": [2], "type": "<class 'int'>"}
