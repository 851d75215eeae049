"""What a user writes to name passes and give them options, as TensorFlow's TransformGraph took it.

    fold_constants(ignore_errors=true) remove_nodes(op=Identity, op=CheckNumerics), strip_unused_nodes

Passes are divided by spaces, ends of lines or commas; a line that begins with # says nothing. A value is quoted where
it has a comma, a space or a parenthesis in it:
``shape="1,299,299,3"``. A key that is given again adds to a list.
(tensorflow/tools/graph_transforms/transform_graph.cc, ParseTransformParameters.)
"""

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, TypeVar

from modelmill_worker.errors import StepError

T = TypeVar("T")

_TOKEN = re.compile(r"""\s*(?:(?P<mark>[(),=])|"(?P<quoted>[^"]*)"|'(?P<single>[^']*)'|(?P<word>[^\s(),="']+))""")
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Call(NamedTuple):
    """One pass as it was written: its name, and keys with values in order."""

    name: str
    arguments: Tuple[Tuple[str, str], ...] = ()


def argument(default: Any, description: str, name: str = "") -> Any:
    """A field of a pass: an option of that name, or of the field's name.

    description: the sentence that people read about it.
    """
    return dataclasses.field(default=default, metadata={"description": description, "argument": name})


def arguments_of(item: Any) -> Dict[str, "dataclasses.Field[Any]"]:
    """The options of a pass, by the names that users know."""
    return {field.metadata.get("argument") or field.name: field for field in dataclasses.fields(item)}


def parse_calls(text: str) -> List[Call]:
    """The passes that a text names. Raises StepError INVALID_OPTION where it cannot be read."""
    calls: List[Call] = []
    tokens = _tokens(_COMMENT.sub("", text))
    position = 0
    while position < len(tokens):
        mark, word = tokens[position]
        position += 1
        if mark == ",":
            continue
        if mark:
            raise _unreadable(text, "{!r} stands where the name of a pass is expected".format(mark))
        arguments: List[Tuple[str, str]] = []
        if position < len(tokens) and tokens[position][0] == "(":
            position = _read_arguments(text, tokens, position + 1, arguments)
        calls.append(Call(word, tuple(arguments)))
    return calls


def with_arguments(item: T, arguments: Tuple[Tuple[str, str], ...], folder: Optional[Path] = None) -> T:
    """A pass with its options set.

    folder: where the files lie that options name; where there is none, options that are a Path cannot be given.

    Raises StepError INVALID_OPTION for an unknown option, a value of the wrong type or a file that is not there.
    """
    known = arguments_of(item)
    hints = typing.get_type_hints(type(item))
    values: Dict[str, Any] = {}
    for key, text in arguments:
        if key not in known:
            raise invalid_option(item, key, text, "there is no such option; known are: " + (", ".join(known) or "none"))
        field = known[key].name
        if Path in (hints[field], *(getattr(hints[field], "__args__", None) or ())):
            values[field] = _file(item, key, text, folder)
        else:
            values[field] = _converted(item, hints[field], key, text, values.get(field, ()))
    return dataclasses.replace(item, **values) if values else item  # type: ignore[type-var]


def _tokens(text: str) -> List[Tuple[str, str]]:
    """Pairs of (mark, word), of which one is empty, but for a quoted nothing."""
    tokens: List[Tuple[str, str]] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unreadable(text, "a quotation mark at {} has no other".format(position))
        position = match.end()
        words = [match.group(name) for name in ("quoted", "single", "word")]
        tokens.append((match.group("mark") or "", next((word for word in words if word is not None), "")))
    return tokens


def _read_arguments(text: str, tokens: List[Tuple[str, str]], position: int, found: List[Tuple[str, str]]) -> int:
    """Fill in what stands between parentheses; returns the position behind them."""
    while position < len(tokens):
        mark, word = tokens[position]
        if mark == ")":
            return position + 1
        if mark == ",":
            position += 1
            continue
        marks = [token[0] for token in tokens[position : position + 3]]
        if marks != ["", "=", ""]:
            raise _unreadable(text, "behind {!r} there must be '=' and a value".format(mark or word))
        found.append((word, tokens[position + 2][1]))
        position += 3
    raise _unreadable(text, "a parenthesis is open at the end")


def _file(item: Any, key: str, text: str, folder: Optional[Path]) -> Path:
    if folder is None:
        raise invalid_option(item, key, text, "files can be named in edits only: give the rule with --edit or --edits")
    path = (folder / text).resolve()
    if folder.resolve() not in path.parents or not path.is_file():
        raise invalid_option(item, key, text, "there is no such file beside the edits")
    return path


def _converted(item: Any, hint: Any, key: str, text: str, before: Any) -> Any:
    origin, inner = getattr(hint, "__origin__", None), getattr(hint, "__args__", None) or ()
    if origin in (tuple, typing.Tuple):
        return (*before, _converted(item, inner[0], key, text, ()))
    if origin is typing.Union:
        return _converted(item, inner[0], key, text, before)
    try:
        if hint is bool:
            return _BOOLEANS[text.lower()]
        return hint(text)
    except (KeyError, ValueError):
        needed = {bool: "true or false", int: "a whole number", float: "a number"}[hint]
        raise invalid_option(item, key, text, "give {}".format(needed)) from None


def invalid_option(item: Any, key: str, text: str, why: str) -> StepError:
    """The error for an option that a pass cannot use; why: what to give instead, without a full stop."""
    return StepError(
        "INVALID_OPTION",
        "The option {} of the rule {} cannot be {!r}: {}.".format(key, item.name, text, why),
        {"rule": item.name, "option": key, "value": text},
    )


def _unreadable(text: str, why: str) -> StepError:
    return StepError(
        "INVALID_OPTION",
        "The rules {!r} cannot be read: {}. Write them as in: remove_nodes(op=Identity) fold_constants.".format(
            text, why
        ),
        {"option": "rewrite", "value": text},
    )
