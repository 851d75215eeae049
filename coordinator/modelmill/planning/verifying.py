"""The steps that check a result: inputs are sampled, the source and the result run on them, the outputs are compared.

Inputs are bound by kind: of an edge's inputs, the one of kind "dataset" takes the inputs to run on, the other one the
model; COMPARE takes "outputs" and "reference", CONTRAST the outputs of every version under the results' labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelmill.errors import ModelmillError
from modelmill.planning.draft import Draft, Wanted
from modelmill.planning.need import Need
from modelmill.planning.plan import DATASET, EDITS, SOURCE, Delivery
from modelmill.planning.routes import EDITS_KIND, Hop, hops
from modelmill.values import Role

#: Options that say which part of a source is meant. What a conversion is told of them goes for the check as well: it
#: must not be compared with what another part computes.
_PART = ("signature_key", "tags")


class UnverifiableError(Exception):
    """A result cannot be checked here; the message says why, as the end of a sentence."""


@dataclass(frozen=True)
class _Check:
    """The two steps that look at a result."""

    run: Need
    compare: Need


def add_verification(draft: Draft, wanted: Wanted, made: Sequence[str]) -> Delivery:
    """Add the steps that check a result, or leave them all out and say why.

    made: SOURCE and the ids of the steps that make the result, in order.
    """
    end = made[-1]
    if draft.spec.verification.skip:
        return Delivery(wanted.label, end, unverified="verification was switched off")
    before = draft.steps
    try:
        check = _check_of(draft, wanted, end)
        inputs, reference = _add_reference(draft, wanted, made)
    except UnverifiableError as error:
        draft.forget_after(before)
        draft.notes.append(f"{wanted.name} is not verified: {error}")
        return Delivery(wanted.label, end, unverified=str(error))
    bound = bind(check.run.hop, inputs, end)
    label = wanted.label
    outputs = draft.add(check.run, bound, {}, label, "the result, on the same inputs", name=f"run.{label}")
    tolerance = draft.spec.verification.tolerance
    options = {} if tolerance is None else {"tolerance": tolerance}
    pair = {"outputs": outputs, "reference": reference}
    why = "the result against the source"
    comparison = draft.add(check.compare, pair, options, label, why, name=f"compare.{label}")
    return Delivery(label, end, comparison)


def add_contrast(draft: Draft, wanted: Wanted, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Add the step that says how far the results of all versions are from each other, where some plug-in can."""
    outputs = {
        delivery.label: draft.step(delivery.comparison).inputs["outputs"]
        for delivery in deliveries
        if delivery.comparison
    }
    needs = [draft.need(wanted, hop) for hop in hops(draft.plugins, Role.CONTRAST)]
    usable = [need for need in needs if draft.usable(need)]
    if not usable or len(outputs) < 2:
        return list(deliveries)
    label = wanted.name
    why = "each version's result against those of the others"
    contrast = draft.add(usable[0], outputs, {}, label, why, name=f"contrast.{label}", partial=True)
    return [replace(delivery, contrast=contrast) if delivery.label in outputs else delivery for delivery in deliveries]


def _check_of(draft: Draft, wanted: Wanted, end: str) -> _Check:
    kind, maker = draft.kind_of(end), draft.step(end).environment
    return _Check(
        run=_need_for(draft, wanted, Role.RUN, kind, f"run a {kind}", maker),
        compare=_need_for(draft, wanted, Role.COMPARE, "dataset", "compare outputs"),
    )


def _add_reference(draft: Draft, wanted: Wanted, made: Sequence[str]) -> tuple[str, str]:
    """Add the steps that make the inputs and run the source itself on them; their ids."""
    edited = next((number for number, step in enumerate(made) if draft.role_of(step) is Role.EDIT), None)
    if edited is not None:
        return _add_edited_reference(draft, wanted, made[edited:])
    inputs = add_sample(draft, wanted, made)
    run = _need_for(draft, wanted, Role.RUN, draft.kind, f"run a {draft.kind}")
    bound = bind(run.hop, inputs, SOURCE)
    part = _part(draft, made)
    options = _known(run.hop, part)
    unknown = [name for name, value in part.items() if value and name not in options]
    if unknown:
        raise UnverifiableError(f"what runs a {draft.kind} here does not know the option {unknown[0]}")
    return inputs, draft.add(run, bound, options, "", "the source itself, for reference", name="reference")


def _add_edited_reference(draft: Draft, wanted: Wanted, made: Sequence[str]) -> tuple[str, str]:
    """As `_add_reference`, with the edited model in the source's place; it comes first in `made`."""
    inputs = add_sample(draft, wanted, made)
    kind = draft.kind_of(made[0])
    run = _need_for(draft, wanted, Role.RUN, kind, f"run a {kind}")
    why = "the source as edited, for reference"
    return inputs, draft.add(run, bind(run.hop, inputs, made[0]), {}, "", why, name="reference")


def add_sample(draft: Draft, wanted: Wanted, made: Sequence[str], name: str = "sample") -> str:
    """Inputs that the source itself wants, where an edge takes its kind, else those of the first model on the route.

    Raises UnverifiableError where no edge makes any.
    """
    verification = draft.spec.verification
    wants_dataset = verification.dataset is not None
    # What was selected from the source, if anything was; but not what a rewrite made of it.
    own = [model for model in made if model == made[0] or draft.role_of(model) is not Role.REWRITE]
    models = {draft.kind_of(model): model for model in own}
    fitting = [
        hop
        for hop in hops(draft.plugins, Role.SAMPLE)
        if hop.kind in models and ("dataset" in hop.edge.inputs.values()) is wants_dataset
    ]
    for hop in sorted(fitting, key=lambda hop: made.index(models[hop.kind])):
        need = draft.need(wanted, hop)
        if not draft.usable(need):
            continue
        asked = {"seed": verification.seed, "input_shapes": _input_shapes(draft, wanted), **_part(draft, made)}
        why = "the inputs that were given" if wants_dataset else f"inputs with seed {verification.seed}"
        return draft.add(need, bind(hop, DATASET, models[hop.kind]), _known(hop, asked), "", why, name=name)
    raise UnverifiableError("no plug-in here makes inputs for this model")


def _part(draft: Draft, made: Sequence[str]) -> dict[str, Any]:
    """Which part of the source the steps take that make the result."""
    options = {name: value for step in made[1:] for name, value in draft.step(step).options.items()}
    return {name: options[name] for name in _PART if name in options}


def _known(hop: Hop, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that an edge has."""
    properties = hop.edge.options_schema.get("properties", {})
    return {name: value for name, value in options.items() if name in properties}


def _input_shapes(draft: Draft, wanted: Wanted) -> dict[str, list[int]]:
    """The shapes to verify with: what the user said of them, else those that the target was made for."""
    told = wanted.request.options.get("input_shapes")
    made_for: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    known = {name: list(shape) for name, shape in made_for.items() if all(size > 0 for size in shape)}
    return {**known, **{name: list(shape) for name, shape in draft.spec.verification.input_shapes.items()}}


def bind(hop: Hop, dataset: str, model: str) -> dict[str, str]:
    """An edge's inputs by kind: the dataset, the user's edits, and else the model."""
    given = {"dataset": dataset, EDITS_KIND: EDITS}
    return {name: given.get(kind, model) for name, kind in hop.edge.inputs.items()}


def _need_for(draft: Draft, wanted: Wanted, role: Role, kind: str, what: str, maker: str = "") -> Need:
    fitting = [draft.need(wanted, hop, maker=maker) for hop in hops(draft.plugins, role) if hop.kind == kind]
    if not fitting:
        raise UnverifiableError(f"no plug-in here can {what}")
    for need in fitting:
        if draft.usable(need):
            return need
    try:
        draft.choose(fitting[0])
    except ModelmillError as error:
        raise UnverifiableError(str(error)) from error
    raise AssertionError("a need that is not usable has an environment")
