"""What holds for which versions, in one sentence: "read by 1.12 to 2.21; not by 1.5 to 1.11: ..."."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from modelmill.version_order import version_of

_WRITERS = (("TensorFlow", "writer"), ("Keras", "keras"))

#: How many operations are named for what a target needs or lacks.
_NAMED = 4


def describe_versions(found: Any) -> str:
    """Who wrote the model and which TensorFlow versions read it; empty where nothing is known."""
    if not isinstance(found, dict):
        return ""
    stripped, unreadable = found.get("readable_stripped") or {}, found.get("unreadable") or {}
    order = _in_order([*(found.get("readable") or []), *stripped, *unreadable])
    parts = [f"written by {name} {found[key]}" for name, key in _WRITERS if found.get(key)]
    if readable := ranges(found.get("readable") or [], order):
        parts.append(f"read by {readable}")
    for attributes, versions in _grouped(stripped):
        parts.append(f"by {ranges(versions, order)} without {attributes}")
    for reason, versions in _grouped(unreadable):
        parts.append(f"not by {ranges(versions, order)}: {reason}")
    return "; ".join(parts)


def describe_support(targets: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A sentence for each target, such as "tflite: builtin in 1.12 to 2.21; not in 1.5 to 1.11: no Foo"."""
    rows = list(targets)
    for name in dict.fromkeys(str(row.get("target", "")) for row in rows):
        verdicts = {
            str(version): support_verdict(row)
            for row in rows
            if row.get("target") == name
            for version in row.get("versions") or [row.get("version", "")]
        }
        order = _in_order(verdicts)
        said = [_held(verdict, ranges(versions, order)) for verdict, versions in _grouped(verdicts)]
        yield f"{name}: {'; '.join(said)}"


def support_verdict(row: Mapping[str, Any]) -> str:
    """What becomes of a model's operations: "builtin", "not convertible: no Foo", "needs select ops: Bar 2"."""
    if not row.get("convertible"):
        missing = _operations(row.get("missing"))
        return f"not convertible: {'no ' + missing if missing else row.get('why') or 'it is not said why'}"
    for need in ("custom", "select"):
        if row.get("needs") == need:
            named = _operations(row.get(need))
            return f"needs {need} ops: {named}" if named else f"needs {need} ops"
    return str(row.get("needs") or "convertible")


def ranges(versions: Collection[str], order: list[str]) -> str:
    """Versions that follow one another in `order` as "1.5 to 1.9"."""
    chosen = [version in versions for version in order]
    found = []
    for is_chosen, group in itertools.groupby(range(len(order)), key=chosen.__getitem__):
        first, *rest = group
        if is_chosen:
            found.append(f"{order[first]} to {order[rest[-1]]}" if rest else order[first])
    return ", ".join(found)


def _in_order(versions: Iterable[str]) -> list[str]:
    return sorted(versions, key=version_of)


def _grouped(by_version: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """What is said of versions, each thing once with all versions that it is said of."""
    versions: dict[str, list[str]] = {}
    for version, said in by_version.items():
        versions.setdefault(said if isinstance(said, str) else ", ".join(said), []).append(version)
    return list(versions.items())


def _operations(counts: Any) -> str:
    """The names of operations, the first few of them."""
    names = sorted(counts) if isinstance(counts, dict) else []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _held(verdict: str, versions: str) -> str:
    """A verdict with the versions that it holds for, before its reason: "not convertible in 1.12: no Foo"."""
    what, colon, reason = verdict.partition(":")
    return f"{what} in {versions}{colon}{reason}" if versions else verdict
