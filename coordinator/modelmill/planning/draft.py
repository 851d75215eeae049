"""A plan in the making: steps are added to it one by one, and what is there already is used again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelmill.errors import ModelmillError
from modelmill.planning.environment_choice import Choice, choose_environment
from modelmill.planning.need import Need, Tried
from modelmill.planning.plan import SOURCE, PlannedStep
from modelmill.planning.readability import Readability
from modelmill.planning.routes import Hop, hops
from modelmill.planning.specification import ConversionSpec, TargetRequest
from modelmill.planning.versions import Wish
from modelmill.values import Edge, Environment, Plugin, Role

#: Kinds that are a GraphDef and its values: who reads them can drop attributes first.
_GRAPH_DEFS = ("tf.checkpoint", "tf.graph_def", "tf.frozen_graph")

#: A plug-in's name and its edge's.
EdgeName = tuple[str, str]


@dataclass(frozen=True)
class Wanted:
    """One result that is wanted.

    label: unique within the conversion, such as "tflite" or "tflite@1.12.3".
    name: what the user knows it by: the label without the version.
    wish: the versions that may make it; None for all.
    tried: versions in which an edge has failed for this result.
    """

    request: TargetRequest
    label: str
    name: str
    wish: Wish | None
    tried: Mapping[EdgeName, tuple[Tried, ...]] = field(default_factory=dict)


class Draft:
    """The steps of a plan so far, and what they are chosen from."""

    def __init__(
        self,
        spec: ConversionSpec,
        facts: Mapping[str, Any],
        plugins: Iterable[Plugin],
        environments: Iterable[Environment],
        steps: Iterable[PlannedStep] = (),
    ) -> None:
        self.spec = spec
        self.plugins = tuple(plugins)
        self.environments = tuple(environments)
        self.kind: str = facts["kind"]
        self.notes: list[str] = []
        self._producer = int(facts.get("producer") or 0)
        self._reads = Readability.from_facts(facts) if facts.get("tensorflow") else None
        self._reads_frozen = Readability.of_frozen(facts) if facts.get("tensorflow") else None
        self._steps = list(steps)
        self._choices: dict[object, Choice | ModelmillError] = {}

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """The steps in an order in which each comes after those that it needs."""
        return tuple(self._steps)

    def forget_after(self, steps: tuple[PlannedStep, ...]) -> None:
        """Go back to what the steps were."""
        self._steps = list(steps)

    # What a step needs

    def need(
        self, wanted: Wanted, hop: Hop, makes_target: bool = False, maker: str = "", before: Hop | None = None
    ) -> Need:
        """What a step along a hop asks of its environment.

        makes_target: it is the one that the user's wish is about.
        maker: the environment that made what it takes.
        before: the hop that takes what it makes.
        """
        reads = None
        if hop.kind == self.kind:
            reads = self._reads
        elif hop.kind.startswith("tf.") and self.kind.startswith("tf."):
            reads = self._reads_frozen
        return Need(
            hop,
            producer=self._producer,
            reads=reads,
            strips=self._stripper(hop),
            maker=maker,
            wish=wanted.wish if makes_target else None,
            tried=wanted.tried.get((hop.plugin.name, hop.edge.name), ()),
            feeds=before if before is not None and before.edge.input_made_by else None,
        )

    def _stripper(self, hop: Hop) -> str:
        rewrite = self.rewrite_before(hop)
        if rewrite is not None and "tensorflow" in rewrite.edge.options_schema.get("properties", {}):
            return "before"
        return "itself" if hop.kind == self.kind and hop.kind in _GRAPH_DEFS else ""

    def rewrite_before(self, hop: Hop) -> Hop | None:
        """The rewrite that makes a model fit for a conversion, if there is one for its kind."""
        if hop.edge.role is not Role.CONVERT:
            return None
        for rewrite in hops(self.plugins, Role.REWRITE):
            others = rewrite.plugin.name != hop.plugin.name  # what rewrites knows itself how it wants a model
            if others and rewrite.kind == hop.kind and self.usable(Need(rewrite)):
                return rewrite
        return None

    def choose(self, need: Need) -> Choice:
        """See `choose_environment`. Each need is weighed once: for every version the same ones come again and again."""
        choice = self._choices.get(need.key)
        if choice is None:
            try:
                choice = choose_environment(need, self.environments)
            except ModelmillError as error:
                choice = error
            self._choices[need.key] = choice
        if isinstance(choice, ModelmillError):
            raise ModelmillError.of(choice.failure)
        return choice

    def usable(self, need: Need) -> bool:
        """Whether there is an environment for a step."""
        try:
            self.choose(need)
        except ModelmillError:
            return False
        return True

    # Steps

    def add(
        self,
        need: Need,
        inputs: Mapping[str, str],
        options: Mapping[str, Any],
        label: str,
        why: str,
        name: str = "",
        partial: bool = False,
    ) -> str:
        """Add a step unless an equal one is there; its id.

        label: of the result that it serves; empty for all.
        name: its id where that is free; derived from the edge where there is none.
        """
        choice, hop = self.choose(need), need.hop
        self.notes.extend(choice.notes)
        known = hop.edge.options_schema.get("properties", {})
        general = self.spec.plugin_options.get(hop.plugin.name, {})
        given = {**{key: value for key, value in general.items() if key in known}, **options}
        step = PlannedStep(
            id="",
            plugin=hop.plugin.name,
            edge=hop.edge.name,
            environment=choice.environment.name,
            inputs=dict(inputs),
            options=with_defaults(hop.edge, given),
            output=hop.edge.output,
            target=label,
            reason=f"{why}; {choice.reason}",
            tensorflow=choice.environment.tensorflow or "",
            partial=partial,
        )
        for number, earlier in enumerate(self._steps):
            if _does_the_same(earlier, step):
                if earlier.target != label:
                    self._steps[number] = replace(earlier, target="")
                return earlier.id
        step = replace(step, id=self._unused(name or (f"{hop.edge.name}.{label}" if label else hop.edge.name)))
        self._steps.append(step)
        return step.id

    def step(self, step_id: str) -> PlannedStep:
        """The step of that id."""
        return next(step for step in self._steps if step.id == step_id)

    def role_of(self, model: str) -> Role | None:
        """What the step that made a model is there for; None for the source."""
        if model == SOURCE:
            return None
        step = self.step(model)
        plugin = next(plugin for plugin in self.plugins if plugin.name == step.plugin)
        return next(edge.role for edge in plugin.edges if edge.name == step.edge)

    def kind_of(self, model: str) -> str:
        """The kind of what a step makes, or of the source."""
        return self.kind if model == SOURCE else self.step(model).output

    def _unused(self, step_id: str) -> str:
        taken = {step.id for step in self._steps}
        numbered = (f"{step_id}-{number}" for number in range(2, len(taken) + 3))
        return step_id if step_id not in taken else next(other for other in numbered if other not in taken)


def _does_the_same(one: PlannedStep, other: PlannedStep) -> bool:
    """Whether two steps would give the same, whatever they are called and whomever they are for."""
    mine = (one.plugin, one.edge, one.environment, one.inputs, one.options)
    return mine == (other.plugin, other.edge, other.environment, other.inputs, other.options)


def with_defaults(edge: Edge, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the plug-in will see them, so that saying a default and not saying it give the same step."""
    properties: Mapping[str, Any] = edge.options_schema.get("properties", {})
    return {name: options.get(name, schema.get("default")) for name, schema in properties.items()}


def model_input(hop: Hop) -> str:
    """The name of the input that takes the model."""
    return next(name for name, kind in hop.edge.inputs.items() if kind == hop.kind)
