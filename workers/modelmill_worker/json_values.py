"""Checks that a value is JSON that survives protobuf's Struct, which knows numbers as doubles only."""

import math
from typing import Any, Dict

from modelmill_worker.errors import TOOL, StepError

#: Doubles hold every whole number up to here.
LARGEST_WHOLE = 2**53


def checked(value: Any, where: str) -> Any:
    """`value` with tuples made lists. Raises StepError NOT_JSON that says where something else lies."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST_WHOLE:
            raise _not_json(where, value, "whole numbers beyond 2^53 are not kept exactly; give it as text")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _not_json(where, value, "JSON has no such number")
        return float(value)
    if isinstance(value, (list, tuple)):
        return [checked(item, "{}[{}]".format(where, index)) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return _checked_object(value, where)
    raise _not_json(where, value, "a {} is no JSON value".format(type(value).__name__))


def tolerated(value: Any) -> Any:
    """`value` with all that is no JSON told in text instead: for details of failures, which must always arrive."""
    if isinstance(value, dict):
        return {str(key): tolerated(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [tolerated(item) for item in value]
    try:
        return checked(value, "")
    except StepError:
        return str(value)


def _checked_object(value: Dict[Any, Any], where: str) -> Dict[str, Any]:
    result = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise _not_json(where, key, "the keys of a JSON object are text")
        result[key] = checked(item, "{}.{}".format(where, key))
    return result


def _not_json(where: str, value: Any, why: str) -> StepError:
    return StepError(
        "NOT_JSON",
        "{} is {!r:.80}: {}. This is a mistake in the plug-in; report it to its author.".format(where, value, why),
        {"where": where},
        fault=TOOL,
    )
