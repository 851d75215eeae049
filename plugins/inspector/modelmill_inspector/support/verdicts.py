"""A verdict for one version of one target, and how verdicts are told: versions that say the same together."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from modelmill_worker.signature import Signature

from modelmill_inspector.support.tables import BUILTIN, CUSTOM, MISSING, SELECT, UNKNOWN
from modelmill_inspector.support.uses import Use

#: At most so many nodes are told.
NODES_SHOWN = 100
#: At most so many operations a sentence names.
OPERATIONS_NAMED = 5

_STATUS = {BUILTIN: "builtin", SELECT: "select", CUSTOM: "custom", MISSING: "missing", UNKNOWN: "missing"}


@dataclass(frozen=True)
class Source:
    """A graph as converters meet it.

    unreadable: TensorFlow versions that do not read it, to a sentence without its full stop.
    functions: whether it is a SavedModel of TensorFlow 2.
    """

    uses: Sequence[Use]
    endpoints: Signature
    unreadable: Mapping[str, str]
    functions: bool


@dataclass(frozen=True)
class Verdict:
    """What is predicted for one version.

    needs: what the target's options must allow; "" where nothing helps.
    letters: for each of the source's uses, as the tables have them; none where the version does not come to them.
    why: a sentence, or empty.
    """

    target: str
    version: str
    converter: str
    needs: str
    letters: Tuple[str, ...]
    why: str


def counted(uses: Sequence[Use], letters: Sequence[str], wanted: str) -> Dict[str, int]:
    """How many nodes of which operation have one of these letters."""
    return dict(sorted(Counter(use.node.op for use, letter in zip(uses, letters) if letter in wanted).items()))


def named(operations: Mapping[str, int]) -> str:
    """Operations in a sentence: "Erf, Svd and 3 more"."""
    names = list(operations)
    more = " and {} more".format(len(names) - OPERATIONS_NAMED) if len(names) > OPERATIONS_NAMED else ""
    return ", ".join(names[:OPERATIONS_NAMED]) + more


def targets_of(source: Source, verdicts: Sequence[Verdict]) -> List[Dict[str, Any]]:
    """The fact `targets`."""
    return [_target(source, group) for group in grouped(verdicts)]


def grouped(verdicts: Sequence[Verdict]) -> List[List[Verdict]]:
    """Neighbours that say the same."""
    groups: List[List[Verdict]] = []
    for verdict in verdicts:
        if groups and _said(groups[-1][0]) == _said(verdict):
            groups[-1].append(verdict)
        else:
            groups.append([verdict])
    return groups


def _said(verdict: Verdict) -> Tuple[Any, ...]:
    statuses = tuple(_STATUS[letter] for letter in verdict.letters)
    return verdict.target, verdict.converter, verdict.needs, statuses, verdict.why


def _target(source: Source, group: List[Verdict]) -> Dict[str, Any]:
    first = group[0]
    told: Dict[str, Any] = {"target": first.target, "version": _label(group)}
    told["versions"] = [verdict.version for verdict in group]
    if first.converter:
        told["converter"] = first.converter
    told["convertible"] = bool(first.needs)
    told["needs"] = first.needs
    for name, letters in (("missing", MISSING + UNKNOWN), ("select", SELECT), ("custom", CUSTOM)):
        told[name] = counted(source.uses, first.letters, letters)
    told["why"] = first.why
    return told


def _label(group: List[Verdict]) -> str:
    if len(group) == 1:
        return group[0].version
    return "{} to {}".format(group[0].version, group[-1].version)


def nodes_of(uses: Sequence[Use], verdicts: Sequence[Verdict]) -> Dict[str, Any]:
    """The facts `nodes` and `nodes_count`."""
    groups = grouped(verdicts)
    labels = ["{} {}".format(group[0].target, _label(group)) for group in groups]
    found = []
    for index, use in enumerate(uses):
        letters = {label: group[0].letters[index] for label, group in zip(labels, groups) if group[0].letters}
        if any(letter != BUILTIN for letter in letters.values()):
            status = {label: _STATUS[letter] for label, letter in letters.items()}
            found.append({"name": use.name, "op": use.node.op, "status": status})
    return {"nodes": found[:NODES_SHOWN], "nodes_count": len(found)}
