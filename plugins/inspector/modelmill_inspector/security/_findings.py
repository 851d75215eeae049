"""Findings: what was found, how bad it is, where; collected, counted and bounded."""

from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, List, Tuple

#: From harmless to worst; "none" is said only of a model without findings.
SEVERITIES = ("none", "info", "low", "medium", "high", "critical")

#: How many findings a report lists.
_LISTED = 200
#: How many different findings are kept at all, so that a hostile model cannot fill the memory with them.
_KEPT = 5000
#: How much of a name or a path a finding shows: names in a hostile file may have megabytes.
_SHOWN = 200


def is_at_least(severity: str, limit: str) -> bool:
    """Whether a severity is the limit or worse."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(limit)


def lowered(severity: str) -> str:
    """One step less severe, "info" at least."""
    return SEVERITIES[max(SEVERITIES.index(severity) - 1, 1)]


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know before the model runs; the fields are those of the fact."""

    severity: str
    reason: str
    text: str
    node: str = ""
    op: str = ""
    where: str = ""


class Findings:
    """A collection that counts findings alike: those that differ in their node only."""

    def __init__(self) -> None:
        self.files = 0
        self.graphs = 0
        self.nodes = 0
        self.configurations = 0
        self._found: Dict[Tuple[str, ...], Finding] = {}
        self._counts: Dict[Tuple[str, ...], int] = {}

    def add(self, finding: Finding) -> None:
        """Take a finding in."""
        finding = replace(
            finding, node=shortened(finding.node), op=shortened(finding.op), where=shortened(finding.where)
        )
        key = (finding.severity, finding.reason, finding.op, finding.where, finding.text)
        if key not in self._found:
            if len(self._found) >= _KEPT:
                key = ("low", "TOO_MANY_FINDINGS", "", "", "")
                finding = Finding("low", "TOO_MANY_FINDINGS", "There are more findings than are kept.")
            self._found.setdefault(key, finding)
        self._counts[key] = self._counts.get(key, 0) + 1

    def extend(self, findings: Iterable[Finding]) -> None:
        """Take several findings in."""
        for finding in findings:
            self.add(finding)

    def facts(self) -> Dict[str, Any]:
        """The fact `security`."""
        keys = sorted(self._found, key=lambda key: -SEVERITIES.index(key[0]))
        listed: List[Dict[str, Any]] = []
        for key in keys[:_LISTED]:
            found = self._found[key]
            told: Dict[str, Any] = {
                "severity": found.severity,
                "reason": found.reason,
                "node": found.node,
                "op": found.op,
                "where": found.where,
                "text": found.text,
            }
            if self._counts[key] > 1:
                told["count"] = self._counts[key]
            listed.append(told)
        facts: Dict[str, Any] = {
            "highest": self._found[keys[0]].severity if keys else "none",
            "findings": listed,
            "scanned": {
                "files": self.files,
                "graphs": self.graphs,
                "nodes": self.nodes,
                "configurations": self.configurations,
            },
        }
        if len(keys) > _LISTED:
            facts["findings_count"] = len(keys)
        return facts


def inside(where: str, place: str) -> str:
    """A path of places, one step further in."""
    place = shortened(place)
    return "{} > {}".format(where, place) if where else place


def shortened(text: str) -> str:
    """A name from a file, cut where it is too long to be shown."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
