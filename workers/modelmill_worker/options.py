"""Options of an edge: one frozen dataclass gives the command line, the JSON Schema and the checked value.

    @dataclass(frozen=True)
    class Freeze:
        outputs: Tuple[str, ...] = option((), "Nodes that the graph must compute.")
        mode: str = option("fast", "How.", choices=("fast", "careful"))

Field types: bool, int, float, str, Optional of those, Tuple[str, ...], Tuple[int, ...],
Dict[str, Tuple[int, ...]], Dict[str, str].
"""

import dataclasses
import typing
from typing import Any, Dict, Optional, Sequence, Type, TypeVar

from modelmill_worker.errors import StepError

T = TypeVar("T")

_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}


def option(default: Any, description: str, choices: Optional[Sequence[str]] = None) -> Any:
    """A field of an options dataclass, with the sentence that people read about it."""
    metadata = {"description": description, "choices": tuple(choices) if choices else None}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def json_schema(options: type) -> Dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an options dataclass."""
    hints = typing.get_type_hints(options)
    properties = {}
    for field in dataclasses.fields(options):
        schema = _schema_of(hints[field.name])
        schema["description"] = field.metadata.get("description", "")
        if field.metadata.get("choices"):
            schema["enum"] = list(field.metadata["choices"])
        schema["default"] = _plain(_default(field))
        properties[field.name] = schema
    return {"type": "object", "properties": properties, "additionalProperties": False}


def parse(options: Type[T], values: Dict[str, Any]) -> T:
    """An instance of `options` from JSON values, where whole numbers may have come as floats.

    Raises StepError INVALID_OPTION for an unknown name or a value of the wrong type.
    """
    hints = typing.get_type_hints(options)
    fields = {field.name: field for field in dataclasses.fields(options)}
    parsed = {}
    for name, value in values.items():
        if name not in fields:
            raise _invalid(name, value, "there is no such option; known are: " + (", ".join(sorted(fields)) or "none"))
        try:
            parsed[name] = _convert(hints[name], value)
        except (TypeError, ValueError, OverflowError) as error:
            raise _invalid(name, value, str(error)) from error
        choices = fields[name].metadata.get("choices")
        if choices and parsed[name] is not None and parsed[name] not in choices:
            raise _invalid(name, value, "give one of: " + ", ".join(choices))
    return options(**parsed)


def _invalid(name: str, value: Any, why: str) -> StepError:
    return StepError(
        "INVALID_OPTION",
        "The option {} cannot be {!r}: {}.".format(name, value, why),
        {"option": name, "value": value},
    )


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:  # type: ignore[misc]
        return field.default_factory()  # type: ignore[misc]
    return field.default


def _arguments(hint: Any) -> Any:
    return getattr(hint, "__args__", ()) or ()


def _origin(hint: Any) -> Any:
    """tuple, dict, typing.Union or None; Python 3.6 says typing.Tuple where later ones say tuple."""
    origin = getattr(hint, "__origin__", None)
    return {typing.Tuple: tuple, typing.Dict: dict}.get(origin, origin)


def _schema_of(hint: Any) -> Dict[str, Any]:
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    origin, arguments = _origin(hint), _arguments(hint)
    if origin is typing.Union:
        inner = _schema_of(arguments[0])
        inner["type"] = [inner["type"], "null"]
        return inner
    if origin is tuple:
        return {"type": "array", "items": _schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])}
    raise TypeError("an option cannot be of type {}".format(hint))


def _convert(hint: Any, value: Any) -> Any:
    if hint in _SCALARS:
        return _convert_scalar(hint, value)
    origin, arguments = _origin(hint), _arguments(hint)
    if origin is typing.Union:
        return None if value is None else _convert(arguments[0], value)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise TypeError("a list is needed")
        return tuple(_convert(arguments[0], item) for item in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise TypeError("an object is needed")
        return {key: _convert(arguments[1], item) for key, item in value.items()}
    raise TypeError("an option cannot be of type {}".format(hint))


def _convert_scalar(hint: type, value: Any) -> Any:
    if hint is bool or isinstance(value, bool):
        if hint is bool and isinstance(value, bool):
            return value
    elif hint is int:
        if isinstance(value, (int, float)) and value == int(value):
            return int(value)
    elif hint is float:
        if isinstance(value, (int, float)):
            return float(value)
    elif isinstance(value, str):
        return value
    raise TypeError("{} is needed".format(_SCALARS[hint]))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
