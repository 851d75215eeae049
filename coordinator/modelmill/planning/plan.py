"""The plan: which steps, in which environments, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: In `PlannedStep.inputs`: the model as the client sent it, and the inputs that it sent with it.
SOURCE = "source"
DATASET = "dataset"


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan.

    id: unique within the plan, such as "freeze" or "convert.tflite".
    inputs: input name to SOURCE, DATASET or the id of an earlier step.
    output: the kind of artifact that it makes.
    target: the label that it serves; empty where it serves several.
    reason: why this step, and why this environment.
    """

    id: str
    plugin: str
    edge: str
    environment: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any]
    output: str
    target: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """This step as a JSON object."""
        return {**self.__dict__, "inputs": dict(self.inputs), "options": dict(self.options)}


@dataclass(frozen=True)
class Delivery:
    """What answers one target: the step whose output it is and the step that compares it with the source.

    comparison: empty where nothing compares; then `unverified` is the sentence that says why.
    """

    label: str
    step: str
    comparison: str = ""
    unverified: str = ""


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which each comes after those that it needs.

    model: the inspector's facts.
    notes: what the user should know, such as environments that could not be had.
    """

    model: Mapping[str, Any]
    steps: tuple[PlannedStep, ...]
    deliveries: tuple[Delivery, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """This plan as a JSON object, for the engine and the journal."""
        return {
            "model": dict(self.model),
            "steps": [step.to_json() for step in self.steps],
            "deliveries": [dict(delivery.__dict__) for delivery in self.deliveries],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The inverse of `to_json`."""
        return cls(
            model=data["model"],
            steps=tuple(PlannedStep(**step) for step in data["steps"]),
            deliveries=tuple(Delivery(**delivery) for delivery in data["deliveries"]),
            notes=tuple(data["notes"]),
        )
