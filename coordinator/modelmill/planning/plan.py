"""The plan: which steps, in which environments, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: In `PlannedStep.inputs`: the model as the client sent it, and the inputs and the edits that it sent with it.
SOURCE = "source"
DATASET = "dataset"
EDITS = "edits"
#: What is there before any step has run.
GIVEN = frozenset([SOURCE, DATASET, EDITS])


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan.

    id: unique within the plan, such as "freeze" or "convert.tflite".
    inputs: input name to SOURCE, DATASET, EDITS or the id of an earlier step.
    output: the kind of artifact that it makes.
    target: the label that it serves; empty where it serves several.
    reason: why this step, and why this environment.
    tensorflow: the version of that environment; empty where it has none.
    partial: it runs once all its inputs have ended, with those that there are, two at least.
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
    tensorflow: str = ""
    partial: bool = False

    def to_json(self) -> dict[str, Any]:
        """This step as a JSON object."""
        return {**self.__dict__, "inputs": dict(self.inputs), "options": dict(self.options)}


@dataclass(frozen=True)
class Attempt:
    """A way to one target that has failed: what was to make it, and what was to compare that with the source."""

    step: str
    comparison: str
    unverified: str


@dataclass(frozen=True)
class Delivery:
    """What answers one target: the step whose output it is and the step that compares it with the source.

    comparison: empty where nothing compares; then `unverified` is the sentence that says why.
    earlier: what was tried for this target in earlier rounds, the first round first.
    every: the label of the target that asked for every version, of which this is one; empty for other targets.
    contrast: the step that says how far this result is from those of the other versions, if there is one.
    """

    label: str
    step: str
    comparison: str = ""
    unverified: str = ""
    earlier: tuple[Attempt, ...] = ()
    every: str = ""
    contrast: str = ""

    @property
    def attempt(self) -> Attempt:
        """What is tried for this target now."""
        return Attempt(self.step, self.comparison, self.unverified)

    def to_json(self) -> dict[str, Any]:
        """This delivery as a JSON object."""
        return {**self.__dict__, "earlier": [dict(attempt.__dict__) for attempt in self.earlier]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Delivery:
        """The inverse of `to_json`."""
        return cls(**{**data, "earlier": tuple(Attempt(**attempt) for attempt in data.get("earlier", ()))})


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which each comes after those that it needs.

    model: the inspector's facts.
    notes: what the user should know, such as environments that could not be had.
    round: 1 for the first plan of a conversion; one more each time that failures made it plan again.
    story: what became of the versions that were tried, a sentence for each target that needed more than one.
    """

    model: Mapping[str, Any]
    steps: tuple[PlannedStep, ...]
    deliveries: tuple[Delivery, ...]
    notes: tuple[str, ...]
    round: int = 1
    story: tuple[str, ...] = ()

    def step(self, step_id: str) -> PlannedStep:
        """The step of that id; KeyError where there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def made_with(self, step_id: str) -> str:
        """The TensorFlow of a step, or of the nearest one before it that has any; empty where none has."""
        waiting = [step_id]
        for name in waiting:
            if name in GIVEN:
                continue
            step = self.step(name)
            if step.tensorflow:
                return step.tensorflow
            waiting.extend(step.inputs.values())
        return ""

    def to_json(self) -> dict[str, Any]:
        """This plan as a JSON object, for the engine and the journal."""
        return {
            "model": dict(self.model),
            "steps": [step.to_json() for step in self.steps],
            "deliveries": [delivery.to_json() for delivery in self.deliveries],
            "notes": list(self.notes),
            "round": self.round,
            "story": list(self.story),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The inverse of `to_json`."""
        return cls(
            model=data["model"],
            steps=tuple(PlannedStep(**step) for step in data["steps"]),
            deliveries=tuple(Delivery.from_json(delivery) for delivery in data["deliveries"]),
            notes=tuple(data["notes"]),
            round=data.get("round", 1),
            story=tuple(data.get("story", ())),
        )
