"""From a specification and the model's facts to a plan, and from a plan with failures to the next one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from modelmill.errors import ModelmillError
from modelmill.planning.draft import Draft, EdgeName, Wanted
from modelmill.planning.environment_choice import window
from modelmill.planning.making import add_making, version_needs
from modelmill.planning.need import Tried, may_feed, meets, reads
from modelmill.planning.plan import Delivery, Plan
from modelmill.planning.proving import add_proofs
from modelmill.planning.specification import ConversionSpec, TargetRequest
from modelmill.planning.verifying import add_contrast, add_verification
from modelmill.planning.versions import one_of_every, parse_wish, release
from modelmill.values import Availability, Environment, Plugin


def plan_conversion(
    spec: ConversionSpec, facts: Mapping[str, Any], plugins: Iterable[Plugin], environments: Iterable[Environment]
) -> Plan:
    """The plan for a specification that `check_specification` has let pass.

    facts: what the inspector said of the source; `kind`, `producer` and `tensorflow` decide.

    Raises ModelmillError NO_ROUTE, NO_ENVIRONMENT, TENSORFLOW_VERSION_IMPOSSIBLE or TENSORFLOW_NOT_NEEDED, with what
    would have to be there.
    """
    draft = Draft(spec, facts, plugins, environments)
    # All results are made before any is checked, so that what is common to the checks is found.
    wanted = [result for request, name in _named(spec) for result in _results(draft, request, name)]
    made = [add_making(draft, result) for result in wanted]
    checked = [add_verification(draft, result, steps) for result, steps in zip(wanted, made, strict=True)]
    if spec.verification.prove:
        for result, steps in zip(wanted, made, strict=True):
            add_proofs(draft, result, steps)
    deliveries: list[Delivery] = []
    for request, name in _named(spec):
        mine = [delivery for delivery, result in zip(checked, wanted, strict=True) if result.name == name]
        deliveries += _contrasted(draft, name, wanted, mine) if request.every_version else mine
    return Plan(facts, draft.steps, tuple(deliveries), tuple(dict.fromkeys(draft.notes)))


def plan_again(
    spec: ConversionSpec,
    plan: Plan,
    tried: Mapping[str, Mapping[EdgeName, tuple[Tried, ...]]],
    plugins: Iterable[Plugin],
    environments: Iterable[Environment],
) -> Plan | None:
    """The next round of a plan: other versions for the results that failed; None where there are none.

    Steps stay as they are and new ones come after them; equal steps are used again.

    tried: by the label of a result that failed, the versions in which each edge has failed for it so far.
    """
    draft = Draft(spec, plan.model, plugins, environments, plan.steps)
    requests = {name: request for request, name in _named(spec)}
    deliveries: list[Delivery] = []
    for delivery in plan.deliveries:
        label = delivery.label
        if label in tried and not delivery.every:
            wish = parse_wish(requests[label].tensorflow)
            deliveries.append(_next(draft, Wanted(requests[label], label, label, wish, tried[label]), delivery))
        else:
            deliveries.append(delivery)
    if tuple(deliveries) == plan.deliveries:
        return None
    notes = tuple(dict.fromkeys((*plan.notes, *draft.notes)))
    return replace(plan, steps=draft.steps, deliveries=tuple(deliveries), notes=notes, round=plan.round + 1)


def _next(draft: Draft, wanted: Wanted, delivery: Delivery) -> Delivery:
    """Another way to a result that failed; the same where there is none."""
    before = draft.steps
    try:
        made = add_making(draft, wanted)
        again = add_verification(draft, wanted, made)
    except ModelmillError:
        draft.forget_after(before)
        return delivery
    if again.attempt == delivery.attempt or (delivery.comparison and not again.comparison):
        draft.forget_after(before)  # what failed was the check, and no other version can make it
        return delivery
    if draft.spec.verification.prove:
        add_proofs(draft, wanted, made)
    return replace(again, earlier=(*delivery.earlier, delivery.attempt))


# Every version


def _results(draft: Draft, request: TargetRequest, name: str) -> list[Wanted]:
    """What one request wants: a result, or one for each version that can make it."""
    one = Wanted(request, name, name, parse_wish(request.tensorflow))
    if not request.every_version:
        return [one]
    versions = _possible_versions(draft, one)
    if not versions:
        add_making(draft, one)  # raises, with the reason
    return [Wanted(request, f"{name}@{version}", name, one_of_every(version)) for version in versions]


def _possible_versions(draft: Draft, wanted: Wanted) -> list[str]:
    """The full versions of TensorFlow that can make a target here, oldest first; notes tell of those left out."""
    possible: set[str] = set()
    left_out: dict[str, str] = {}
    for need in version_needs(draft, wanted):
        for environment in draft.environments:
            version = environment.tensorflow
            if version is None or not meets(environment, need.edge) or (need.wish and not need.wish.allows(version)):
                continue
            if need.feeds and not may_feed(need, environment):
                reader = f"{need.feeds.plugin.name}'s {need.feeds.edge.name}"
                left_out.setdefault(version, f"{reader} takes what {need.feeds.edge.input_made_by} made")
            elif not reads(need, environment):
                why = need.reads.why_not(version) if need.reads else ""
                left_out.setdefault(version, f"it cannot read the model: {why}")
            elif environment.availability is Availability.UNAVAILABLE:
                left_out.setdefault(version, environment.unavailable_reason)
        window_here = window(need, draft.environments)
        possible.update(
            environment.tensorflow
            for environment in window_here
            if environment.tensorflow and environment.availability is not Availability.UNAVAILABLE
        )
    draft.notes.extend(_told(wanted.name, {key: why for key, why in left_out.items() if key not in possible}))
    return sorted(possible, key=release)


def _told(name: str, left_out: Mapping[str, str]) -> list[str]:
    """A sentence for each reason to leave versions out."""
    by_reason: dict[str, list[str]] = {}
    for version in sorted(left_out, key=release):
        by_reason.setdefault(left_out[version], []).append(version)
    return [
        f"{name}: TensorFlow {', '.join(versions)} {'is' if len(versions) == 1 else 'are'} left out: {why}"
        for why, versions in by_reason.items()
    ]


def _contrasted(draft: Draft, name: str, wanted: list[Wanted], deliveries: list[Delivery]) -> list[Delivery]:
    first = next(result for result in wanted if result.name == name)
    return [replace(delivery, every=name) for delivery in add_contrast(draft, first, deliveries)]


# Labels


def _named(spec: ConversionSpec) -> list[tuple[TargetRequest, str]]:
    """Each request with its label: the target's name, numbered from the second one on."""
    named: list[tuple[TargetRequest, str]] = []
    for request in spec.targets:
        count = sum(other.name == request.name for other, _ in named)
        named.append((request, request.name if count == 0 else f"{request.name}-{count + 1}"))
    return named
