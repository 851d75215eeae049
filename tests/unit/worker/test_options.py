from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import pytest
from modelmill_worker import StepError, option, options


@dataclass(frozen=True)
class Every:
    flag: bool = option(False, "A flag.")
    count: int = option(1, "A count.")
    ratio: float = option(0.5, "A ratio.")
    mode: str = option("fast", "How.", choices=("fast", "careful"))
    limit: Optional[int] = option(None, "A limit.")
    names: Tuple[str, ...] = option((), "Names.")
    sizes: Tuple[int, ...] = option((1, 2), "Sizes.")
    shapes: Dict[str, Tuple[int, ...]] = option({}, "Shapes.")  # noqa: RUF009 - it makes a field
    labels: Dict[str, str] = option({"a": "b"}, "Labels.")  # noqa: RUF009 - it makes a field


def test_schema_tells_type_default_and_description():
    properties = options.json_schema(Every)["properties"]
    assert {name: schema["type"] for name, schema in properties.items()} == {
        "flag": "boolean",
        "count": "integer",
        "ratio": "number",
        "mode": "string",
        "limit": ["integer", "null"],
        "names": "array",
        "sizes": "array",
        "shapes": "object",
        "labels": "object",
    }
    assert properties["mode"]["enum"] == ["fast", "careful"]
    assert properties["sizes"]["default"] == [1, 2]
    assert properties["labels"]["default"] == {"a": "b"}
    assert properties["shapes"]["additionalProperties"] == {"type": "array", "items": {"type": "integer"}}
    assert properties["count"]["description"] == "A count."


def test_takes_whole_numbers_that_came_as_floats():
    parsed = options.parse(
        Every, {"count": 3.0, "sizes": [4.0], "shapes": {"x": [1.0, -1.0]}, "limit": 5.0, "ratio": 2}
    )
    assert parsed == Every(count=3, sizes=(4,), shapes={"x": (1, -1)}, limit=5, ratio=2.0)
    assert isinstance(parsed.count, int)
    assert isinstance(parsed.ratio, float)


@pytest.mark.parametrize(
    "given",
    [
        {"flag": 1},
        {"count": 1.5},
        {"count": float("inf")},
        {"count": float("nan")},
        {"count": True},
        {"ratio": "1"},
        {"mode": "slow"},
        {"names": "one"},
        {"names": [1]},
        {"shapes": [1]},
        {"labels": {"a": 1}},
        {"unknown": 1},
        {"count": None},
    ],
)
def test_refuses_a_wrong_value_and_names_the_option(given):
    with pytest.raises(StepError) as caught:
        options.parse(Every, given)
    assert caught.value.reason == "INVALID_OPTION"
    assert next(iter(given)) in caught.value.message
