"""Kinds of command-line values: targets with options, options of plug-ins, shapes, sizes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

_UNITS = {"": 1, **{unit: 1 << (10 * power) for power, unit in enumerate("KMGT", 1)}}
_UNITS |= {f"{unit}IB": factor for unit, factor in _UNITS.items() if unit}
_UNITS |= {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[a-zA-Z]*)")
#: A node or tensor, a shape, a data type; "images:0" is a tensor's name.
_INPUT = re.compile(r"[^=:]+(:\d+)?(=(?P<shape>[-?,0-9]*))?(:[a-z][a-z0-9]*)?")


@dataclass(frozen=True)
class TargetChoice:
    """A target's name and its options, as `NAME:key=value,key=value` says them."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PluginOption:
    """One option of a plug-in, as `PLUGIN.KEY=VALUE` says it."""

    plugin: str
    key: str
    value: Any


@dataclass(frozen=True)
class InputShape:
    """The shape of an input, as `NAME=1,224,224,3` says it."""

    name: str
    dimensions: tuple[int, ...]


@dataclass(frozen=True)
class Setting:
    """A placeholder and the value that it shall always have, as `NAME=VALUE` says it."""

    name: str
    value: str


class TargetType(click.ParamType):  # type: ignore[type-arg]
    """`NAME` or `NAME:key=value,...`."""

    name = "NAME[:KEY=VALUE,...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TargetChoice:
        """The choice."""
        if isinstance(value, TargetChoice):
            return value
        name, _, rest = str(value).partition(":")
        pairs = [self._pair(item, param, ctx) for item in split(rest)]
        return TargetChoice(name, collect_values(pairs))

    def _pair(self, item: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            self.fail(f"{item!r} is not of the form KEY=VALUE.", param, ctx)
        return key.strip(), parse_value(text)


class PluginOptionType(click.ParamType):  # type: ignore[type-arg]
    """`PLUGIN.KEY=VALUE`."""

    name = "PLUGIN.KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> PluginOption:
        """The option."""
        if isinstance(value, PluginOption):
            return value
        path, equals, text = str(value).partition("=")
        plugin, dot, key = path.partition(".")
        if not (equals and dot and plugin and key):
            self.fail(f"{value!r} is not of the form {self.name}.", param, ctx)
        return PluginOption(plugin, key, parse_value(text))


class ShapeType(click.ParamType):  # type: ignore[type-arg]
    """`NAME=1,224,224,3`."""

    name = "NAME=DIMENSIONS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> InputShape:
        """The shape."""
        if isinstance(value, InputShape):
            return value
        name, _, text = str(value).rpartition("=")
        dimensions = text.split(",")
        if not name or not all(dimension.strip().isdecimal() and int(dimension) > 0 for dimension in dimensions):
            self.fail(f"{value!r} is not of the form NAME=1,224,224,3, all above 0.", param, ctx)
        return InputShape(name, tuple(int(dimension) for dimension in dimensions))


class InputType(click.ParamType):  # type: ignore[type-arg]
    """`NAME`, `NAME=1,224,224,3` or `NAME=1,224,224,3:float32`, where -1 or ? leaves a size open."""

    name = "NAME[=SHAPE][:DTYPE]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as the freezer takes it, without blanks."""
        text = "".join(str(value).split())
        match = _INPUT.fullmatch(text)
        sizes = match["shape"].split(",") if match is not None and match["shape"] else []
        if match is None or not all(size in ("-1", "?") or (size.isdecimal() and int(size) > 0) for size in sizes):
            self.fail(
                f"{value!r} is not of the form NAME, NAME=1,224,224,3 or NAME=1,224,224,3:float32; "
                "sizes are above 0, or -1 where they are open.",
                param,
                ctx,
            )
        return text


class SettingType(click.ParamType):  # type: ignore[type-arg]
    """`NAME=VALUE`."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Setting:
        """The placeholder's name and its value, as text."""
        if isinstance(value, Setting):
            return value
        name, _, text = str(value).partition("=")
        if not name.strip() or not text.strip():
            self.fail(f"{value!r} is not of the form NAME=VALUE, such as is_training=false.", param, ctx)
        return Setting(name.strip(), text.strip())


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """Bytes, such as `4GiB`, `500MB` or `1073741824`; `4G` means GiB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None or match["unit"].upper() not in _UNITS or float(match["number"]) == 0:
            self.fail(f"{value!r} is not a size such as 4GiB, 500MB or 1073741824.", param, ctx)
        return int(float(match["number"]) * _UNITS[match["unit"].upper()])


def parse_value(text: str) -> Any:
    """A JSON value where the text is one, else the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def collect_values(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Values by key; a key that is repeated has the list of its values."""
    values: dict[str, list[Any]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: given[0] if len(given) == 1 else given for key, given in values.items()}


def split(text: str) -> list[str]:
    """The parts between commas, where those inside brackets or quotes do not count."""
    parts, depth, quoted, escaped = [""], 0, False, False
    for character in text:
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = character == "\\" and not escaped
        depth += 0 if quoted else (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]


def _refuse(constant: str) -> None:
    """NaN and Infinity are no JSON, though Python's reader takes them."""
    raise ValueError(constant)
