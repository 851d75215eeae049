"""The order of severities."""

from __future__ import annotations

from typing import Any

#: What `--fail-on` takes, from the least severe on.
SEVERITIES = ("low", "medium", "high", "critical")

#: Below those: what is there to be known, and nothing at all.
_HARMLESS = ("none", "info")


def is_as_severe(severity: Any, threshold: str) -> bool:
    """Whether a severity is at or above a threshold. One that is not known counts as the worst."""
    if severity in _HARMLESS:
        return False
    return severity not in SEVERITIES or SEVERITIES.index(severity) >= SEVERITIES.index(threshold)
