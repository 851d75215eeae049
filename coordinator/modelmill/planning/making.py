"""The steps that make a target: the cheapest usable route over CONVERT edges, with an EDIT and a REWRITE on the way.

What a user edits is edited as soon as it is of a kind that can be; rewrites run right before the conversion that they
make the model fit for, or at the end where the target is of the kind that they take and a user asked for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelmill.errors import ModelmillError
from modelmill.planning.draft import Draft, Wanted, model_input
from modelmill.planning.need import Need, wants_tensorflow
from modelmill.planning.plan import DATASET, EDITS, SOURCE
from modelmill.planning.routes import EDITS_KIND, Hop, cheapest_route, hops
from modelmill.planning.specification import known_targets
from modelmill.values import Role


def add_making(draft: Draft, wanted: Wanted) -> list[str]:
    """Add the steps that make a result; SOURCE and the ids of those along its route, in order.

    Raises ModelmillError NO_ROUTE, NO_ENVIRONMENT, TENSORFLOW_VERSION_IMPOSSIBLE, TENSORFLOW_NOT_NEEDED,
    EDITS_IMPOSSIBLE or DATASET_NEEDED.
    """
    route = _route(draft, wanted)
    made = [SOURCE]
    edited = draft.spec.edits is None
    for hop, need in zip(route, _needs(draft, wanted, route), strict=True):
        last = hop is route[-1]
        # What only selects from a model leaves the rest of it as it is.
        changes_kind = hop.edge.output != hop.kind
        if changes_kind and not edited:
            edited = _add_edit(draft, made)
        rewrite = draft.rewrite_before(hop) if changes_kind else None
        if rewrite is not None:
            made.append(_add_rewrite(draft, wanted, rewrite, need, made[-1]))
        model = made[-1]
        options, label = (wanted.request.options, wanted.label) if last else ({}, "")
        why = f"{draft.kind_of(model)} -> {hop.edge.output}"
        made.append(draft.add(need, {model_input(hop): model, **_dataset(draft, wanted, hop)}, options, label, why))
    if not edited and not _add_edit(draft, made):
        raise ModelmillError(
            "EDITS_IMPOSSIBLE",
            f"{wanted.request.name} is not made by way of a graph that can be edited. Leave the edits out, or choose "
            "another target.",
            {"target": wanted.request.name},
        )
    _add_wanted_rewrite(draft, wanted, made)
    return made


def version_needs(draft: Draft, wanted: Wanted) -> list[Need]:
    """What the step of each route that the version is about asks of its environment, whether there is one or not."""
    return [_needs(draft, wanted, route)[_versioned(draft, route)] for route in _thinkable_routes(draft, wanted)]


def _route(draft: Draft, wanted: Wanted) -> list[Hop]:
    routes = [route for route in _routes(draft, wanted) if all(map(draft.usable, _needs(draft, wanted, route)))]
    if routes:
        return min(routes, key=lambda route: _misses_changes(draft, route))  # the first of equals, which is cheapest
    thinkable = _thinkable_routes(draft, wanted)
    for need in _needs(draft, wanted, thinkable[0]):
        draft.choose(need)  # raises, with the reason
    raise AssertionError("a route that is not usable has an environment for each step")


def _misses_changes(draft: Draft, route: list[Hop]) -> bool:
    """Whether the user asked for edits or rewrites and this way to the target has nothing that they could change."""
    asked = [Role.EDIT] if draft.spec.edits is not None else []
    changing = hops(draft.plugins, Role.REWRITE)
    asked += [Role.REWRITE] if any(_chosen_rules(draft, hop) for hop in changing) else []
    passed = {hop.kind for hop in route} | {route[-1].edge.output}
    return any(all(hop.kind not in passed for hop in hops(draft.plugins, role)) for role in asked)


def _chosen_rules(draft: Draft, rewrite: Hop) -> bool:
    """Whether the user named the rules that a rewrite is to run."""
    return bool(draft.spec.plugin_options.get(rewrite.plugin.name, {}).get("rewrite"))


def _needs(draft: Draft, wanted: Wanted, route: list[Hop]) -> list[Need]:
    """What each step along a route asks of its environment."""
    versioned = _versioned(draft, route)
    return [
        draft.need(wanted, hop, makes_target=number == versioned, before=following)
        for number, (hop, following) in enumerate(zip(route, [*route[1:], None], strict=True))
    ]


def _versioned(draft: Draft, route: list[Hop]) -> int:
    """The step that a user who names a version of TensorFlow means: the last that runs TensorFlow, else the last."""
    running = [number for number, hop in enumerate(route) if wants_tensorflow(hop.edge, draft.environments)]
    return running[-1] if running else len(route) - 1


def _routes(draft: Draft, wanted: Wanted) -> list[list[Hop]]:
    """For each edge that makes the target the cheapest route to it whose other steps can be run; cheapest first."""
    return _cheapest_first(draft, wanted, only_usable=True)


def _thinkable_routes(draft: Draft, wanted: Wanted) -> list[list[Hop]]:
    """The same, whatever the environments. Raises ModelmillError NO_ROUTE where there is none."""
    routes = _cheapest_first(draft, wanted, only_usable=False)
    if routes:
        return routes
    sources = sorted({hop.kind for hop in hops(draft.plugins, Role.CONVERT)})
    name = wanted.request.name
    raise ModelmillError(
        "NO_ROUTE",
        f"There is no way from a {draft.kind} to {name}. Give a model of one of these kinds: {', '.join(sources)}.",
        {"kind": draft.kind, "target": name, "sources": sources},
    )


def _cheapest_first(draft: Draft, wanted: Wanted, only_usable: bool) -> list[list[Hop]]:
    target = known_targets(draft.plugins)[wanted.request.name]
    conversions = hops(draft.plugins, Role.CONVERT)
    last = [hop for hop in conversions if hop.edge.output == target.kind and hop.plugin.name == target.plugin]

    def usable(hop: Hop) -> bool:
        return not only_usable or draft.usable(draft.need(wanted, hop))

    routes = [cheapest_route(conversions, draft.kind, hop, usable) for hop in last]
    found = [route for route in routes if route is not None]
    return sorted(found, key=lambda route: sum(hop.edge.cost for hop in route))


def _dataset(draft: Draft, wanted: Wanted, hop: Hop) -> dict[str, str]:
    """The user's dataset, for an edge that takes one beside the model."""
    names = [name for name, kind in hop.edge.inputs.items() if kind == "dataset"]
    if names and draft.spec.verification.dataset is None:
        raise ModelmillError(
            "DATASET_NEEDED",
            f"{wanted.request.name} is made with a dataset: give an .npz with an array for each input, whose rows are "
            "examples, as the dataset.",
            {"target": wanted.request.name, "edge": hop.edge.name},
        )
    return dict.fromkeys(names, DATASET)


def _add_edit(draft: Draft, made: list[str]) -> bool:
    """Add the step that edits what was made last, where a plug-in can edit things of its kind; whether it was added."""
    for hop in hops(draft.plugins, Role.EDIT):
        need = Need(hop)
        if hop.kind == draft.kind_of(made[-1]) and draft.usable(need):
            inputs = {name: EDITS if kind == EDITS_KIND else made[-1] for name, kind in hop.edge.inputs.items()}
            made.append(draft.add(need, inputs, {}, "", "changed as you said"))
            return True
    return False


def _add_wanted_rewrite(draft: Draft, wanted: Wanted, made: list[str]) -> None:
    """Rewrite the result itself, where it is of a kind that can be rewritten and the user named the rules."""
    kind = draft.kind_of(made[-1])
    for hop in hops(draft.plugins, Role.REWRITE):
        if _chosen_rules(draft, hop) and hop.kind == kind and draft.usable(Need(hop)):
            options = {"target": wanted.request.name} if "target" in _properties(hop) else {}
            why = "rewritten as you said"
            made.append(draft.add(Need(hop), {model_input(hop): made[-1]}, options, wanted.label, why))
            return


def _add_rewrite(draft: Draft, wanted: Wanted, rewrite: Hop, before: Need, model: str) -> str:
    """A rewrite knows what it makes the model fit for, if it has options named `target` and `tensorflow`."""
    target = wanted.request.name
    context = {"target": target, "tensorflow": draft.choose(before).environment.tensorflow or ""}
    options = {name: value for name, value in context.items() if name in _properties(rewrite)}
    return draft.add(Need(rewrite), {model_input(rewrite): model}, options, wanted.label, f"made fit for {target}")


def _properties(hop: Hop) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = hop.edge.options_schema.get("properties", {})
    return properties
