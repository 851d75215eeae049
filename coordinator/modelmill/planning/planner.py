"""From a specification and the model's facts to a plan.

The route to a target is the cheapest one over CONVERT edges. Before an edge that consumes a kind which some plug-in
can rewrite, a REWRITE step makes the model fit for the target. Then the verification: inputs are sampled, the
source itself runs on them, each result runs on them, and each pair of outputs is compared.

Inputs are bound by kind: of an edge's inputs, the one of kind "dataset" takes the inputs to run on, the other one the
model; COMPARE takes "outputs" and "reference".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from modelmill.errors import ModelmillError
from modelmill.planning.environment_choice import choose_environment
from modelmill.planning.plan import DATASET, SOURCE, Delivery, Plan, PlannedStep
from modelmill.planning.routes import Hop, cheapest_route, hops
from modelmill.planning.specification import ConversionSpec, TargetRequest, check_options, known_targets
from modelmill.values import Edge, Environment, Plugin, Role

INSPECT_STEP = "inspect"


def plan_inspection(
    plugins: Iterable[Plugin], environments: Iterable[Environment], options: Mapping[str, Any]
) -> PlannedStep:
    """The step that says what the source is: it comes before every plan and is cached like any other.

    Raises ModelmillError NO_INSPECTOR where no plug-in inspects.
    """
    inspectors = hops(plugins, Role.INSPECT)
    if not inspectors:
        raise ModelmillError("NO_INSPECTOR", "No plug-in of this farm inspects models; install modelmill-inspector.")
    hop = inspectors[0]
    check_options(hop.edge.options_schema, options, f"the plug-in {hop.plugin.name}")
    choice = choose_environment(hop.edge, environments, 0)
    (name,) = hop.edge.inputs
    return PlannedStep(
        id=INSPECT_STEP,
        plugin=hop.plugin.name,
        edge=hop.edge.name,
        environment=choice.environment.name,
        inputs={name: SOURCE},
        options=with_defaults(hop.edge, options),
        output=hop.edge.output,
        target="",
        reason=f"says what the source is; {choice.reason}",
    )


def plan_conversion(
    spec: ConversionSpec, facts: Mapping[str, Any], plugins: Iterable[Plugin], environments: Iterable[Environment]
) -> Plan:
    """The plan for a specification that `check_specification` has let pass.

    facts: what the inspector said of the source; `kind` and `producer` decide.

    Raises ModelmillError NO_ROUTE or NO_ENVIRONMENT, with what would have to be there.
    """
    return _Planner(spec, facts, tuple(plugins), tuple(environments)).plan()


def with_defaults(edge: Edge, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the plug-in will see them, so that saying a default and not saying it give the same step."""
    properties: Mapping[str, Any] = edge.options_schema.get("properties", {})
    return {name: options.get(name, schema.get("default")) for name, schema in properties.items()}


class _Planner:
    def __init__(
        self,
        spec: ConversionSpec,
        facts: Mapping[str, Any],
        plugins: tuple[Plugin, ...],
        environments: tuple[Environment, ...],
    ) -> None:
        self._spec = spec
        self._facts = facts
        self._plugins = plugins
        self._environments = environments
        self._kind: str = facts["kind"]
        self._producer = int(facts.get("producer") or 0)
        self._steps: list[PlannedStep] = []
        self._notes: list[str] = []

    def plan(self) -> Plan:
        labels = _labels(self._spec.targets)
        ends = [self._route_to(request, label) for request, label in zip(self._spec.targets, labels, strict=True)]
        if self._spec.verification.skip:
            reason = "verification was switched off"
            deliveries = [Delivery(label, end, unverified=reason) for label, end in zip(labels, ends, strict=True)]
        else:
            deliveries = self._verify(labels, ends)
        return Plan(self._facts, tuple(self._steps), tuple(deliveries), tuple(dict.fromkeys(self._notes)))

    # Routes

    def _route_to(self, request: TargetRequest, label: str) -> str:
        """Add the steps that make one target; the id of the last one."""
        target = known_targets(self._plugins)[request.name]
        route = self._cheapest_route(target.name, target.kind, target.plugin)
        model = SOURCE
        for number, hop in enumerate(route):
            shared = number < len(route) - 1
            rewrite = self._rewrite_before(hop)
            if rewrite is not None:
                model = self._add_rewrite(rewrite, hop, model, request.name, label)
            options = {} if shared else request.options
            why = f"{self._kind_of(model)} -> {hop.edge.output}"
            model = self._add(hop, {hop_input(hop): model}, options, "" if shared else label, why)
        return model

    def _cheapest_route(self, name: str, kind: str, plugin: str) -> list[Hop]:
        conversions = hops(self._plugins, Role.CONVERT)
        last = [hop for hop in conversions if hop.edge.output == kind and hop.plugin.name == plugin]
        routes = [cheapest_route(conversions, self._kind, hop, self._usable) for hop in last if self._usable(hop.edge)]
        found = [route for route in routes if route is not None]
        if found:
            return min(found, key=lambda route: sum(hop.edge.cost for hop in route))
        if last and not any(self._usable(hop.edge) for hop in last):
            choose_environment(last[0].edge, self._environments, self._producer)  # raises, with the reason
        sources = sorted({hop.kind for hop in conversions})
        raise ModelmillError(
            "NO_ROUTE",
            f"There is no way from a {self._kind} to {name}. Give a model of one of these kinds: {', '.join(sources)}.",
            {"kind": self._kind, "target": name, "sources": sources},
        )

    def _usable(self, edge: Edge) -> bool:
        try:
            choose_environment(edge, self._environments, self._producer)
        except ModelmillError:
            return False
        return True

    def _rewrite_before(self, hop: Hop) -> Hop | None:
        rewrites = [rewrite for rewrite in hops(self._plugins, Role.REWRITE) if rewrite.kind == hop.kind]
        usable = [rewrite for rewrite in rewrites if self._usable(rewrite.edge)]
        return usable[0] if usable else None

    def _add_rewrite(self, rewrite: Hop, before: Hop, model: str, target: str, label: str) -> str:
        """A rewrite knows what it makes the model fit for, if it has options named `target` and `tensorflow`."""
        choice = choose_environment(before.edge, self._environments, self._producer)
        context = {"target": target, "tensorflow": choice.environment.tensorflow or ""}
        properties = rewrite.edge.options_schema.get("properties", {})
        options = {name: value for name, value in context.items() if name in properties}
        return self._add(rewrite, {hop_input(rewrite): model}, options, label, f"made fit for {target}")

    # Verification

    def _verify(self, labels: list[str], ends: list[str]) -> list[Delivery]:
        unverified = list(self._steps)
        try:
            inputs, reference = self._add_reference()
        except _UnverifiableError as error:
            self._notes.append(f"Nothing is verified: {error}")
            return [Delivery(label, end, unverified=str(error)) for label, end in zip(labels, ends, strict=True)]
        deliveries = [
            self._add_comparison(label, end, inputs, reference) for label, end in zip(labels, ends, strict=True)
        ]
        if not any(delivery.comparison for delivery in deliveries):
            self._steps = unverified  # nobody would look at the reference
        return deliveries

    def _add_reference(self) -> tuple[str, str]:
        """Add the steps that make the inputs and run the source itself on them; their ids."""
        inputs = self._add_sample()
        run = self._hop_for(Role.RUN, self._kind, f"run a {self._kind}")
        bound = {name: inputs if kind == "dataset" else SOURCE for name, kind in run.edge.inputs.items()}
        return inputs, self._add(run, bound, {}, "", "the source itself, for reference", name="reference")

    def _add_sample(self) -> str:
        verification = self._spec.verification
        wants_dataset = verification.dataset is not None
        models = {self._kind: SOURCE, **{step.output: step.id for step in reversed(self._steps)}}
        for hop in hops(self._plugins, Role.SAMPLE):
            if hop.kind not in models or ("dataset" in hop.edge.inputs.values()) is not wants_dataset:
                continue
            if not self._usable(hop.edge):
                continue
            bound = {name: DATASET if kind == "dataset" else models[kind] for name, kind in hop.edge.inputs.items()}
            asked = {
                "seed": verification.seed,
                "input_shapes": {name: list(shape) for name, shape in verification.input_shapes.items()},
            }
            properties = hop.edge.options_schema.get("properties", {})
            options = {name: value for name, value in asked.items() if name in properties}
            why = "the inputs that were given" if wants_dataset else f"inputs with seed {verification.seed}"
            return self._add(hop, bound, options, "", why, name="sample")
        raise _UnverifiableError("no plug-in here makes inputs for this model")

    def _add_comparison(self, label: str, end: str, inputs: str, reference: str) -> Delivery:
        kind = self._kind_of(end)
        try:
            run = self._hop_for(Role.RUN, kind, f"run a {kind}")
            compare = self._hop_for(Role.COMPARE, "dataset", "compare outputs")
        except _UnverifiableError as error:
            self._notes.append(f"{label} is not verified: {error}")
            return Delivery(label, end, unverified=str(error))
        bound = {name: inputs if kind == "dataset" else end for name, kind in run.edge.inputs.items()}
        outputs = self._add(run, bound, {}, label, "the result, on the same inputs", name=f"run.{label}")
        tolerance = self._spec.verification.tolerance
        options = {} if tolerance is None else {"tolerance": tolerance}
        pair = {"outputs": outputs, "reference": reference}
        comparison = self._add(compare, pair, options, label, "the result against the source", name=f"compare.{label}")
        return Delivery(label, end, comparison)

    def _hop_for(self, role: Role, kind: str, what: str) -> Hop:
        fitting = [hop for hop in hops(self._plugins, role) if hop.kind == kind]
        if not fitting:
            raise _UnverifiableError(f"no plug-in here can {what}")
        for hop in fitting:
            if self._usable(hop.edge):
                return hop
        try:
            choose_environment(fitting[0].edge, self._environments, self._producer)
        except ModelmillError as error:
            raise _UnverifiableError(str(error)) from error
        raise AssertionError("an edge that is not usable has an environment")

    # Steps

    def _add(
        self,
        hop: Hop,
        inputs: Mapping[str, str],
        options: Mapping[str, Any],
        label: str,
        why: str,
        name: str = "",
    ) -> str:
        """Add a step unless an equal one is there; its id."""
        choice = choose_environment(hop.edge, self._environments, self._producer)
        self._notes.extend(choice.notes)
        known = hop.edge.options_schema.get("properties", {})
        general = self._spec.plugin_options.get(hop.plugin.name, {})
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
        )
        for number, earlier in enumerate(self._steps):
            if replace(earlier, id="", target=label, reason=step.reason) == step:
                if earlier.target != label:
                    self._steps[number] = replace(earlier, target="")
                return earlier.id
        step = replace(step, id=self._unused(name or (f"{hop.edge.name}.{label}" if label else hop.edge.name)))
        self._steps.append(step)
        return step.id

    def _unused(self, step_id: str) -> str:
        taken = {step.id for step in self._steps}
        numbered = (f"{step_id}-{number}" for number in range(2, len(taken) + 3))
        return step_id if step_id not in taken else next(other for other in numbered if other not in taken)

    def _kind_of(self, model: str) -> str:
        return self._kind if model == SOURCE else next(step.output for step in self._steps if step.id == model)


class _UnverifiableError(Exception):
    """A result cannot be checked here; the message says why, as the end of a sentence."""


def hop_input(hop: Hop) -> str:
    """The name of the input that takes the model."""
    return next(name for name, kind in hop.edge.inputs.items() if kind == hop.kind)


def _labels(requests: tuple[TargetRequest, ...]) -> list[str]:
    """A label for each request: the target's name, numbered from the second one on."""
    labels: list[str] = []
    for request in requests:
        count = sum(other.name == request.name for other in requests[: len(labels)])
        labels.append(request.name if count == 0 else f"{request.name}-{count + 1}")
    return labels
