"""Edges that inspect one kind of artifact, after it was recognised."""

from dataclasses import dataclass
from typing import Any, Dict, Tuple

from modelmill_worker import Step, StepError, option


@dataclass(frozen=True)
class Look:
    outputs: Tuple[str, ...] = option((), "Given back as a fact.")


def look_again(step: Step) -> Dict[str, Any]:
    """Adds facts, and tries to change one."""
    (step.output / "report.json").write_text("{}")
    return {"kind": "something else", "looked_for": list(step.options.outputs), "notes": ["Somebody looked again."]}


def look_away(step: Step) -> Dict[str, Any]:
    raise StepError("NOTHING_SEEN", "There was nothing to see.")
