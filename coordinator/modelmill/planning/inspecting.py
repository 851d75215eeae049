"""The steps that say what a source is.

One edge takes whatever a user hands in and recognises it. Once the kind is known, further edges that take exactly that
kind may know more: what the rewriter would change, say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelmill.errors import ModelmillError
from modelmill.planning.draft import with_defaults
from modelmill.planning.environment_choice import choose_environment
from modelmill.planning.need import Need
from modelmill.planning.plan import SOURCE, PlannedStep
from modelmill.planning.routes import Hop, hops
from modelmill.planning.specification import check_options
from modelmill.values import Environment, Plugin, Role

INSPECT_STEP = "inspect"

#: The kind of an input that takes any.
_ANY = "*"


def plan_inspection(
    plugins: Iterable[Plugin], environments: Iterable[Environment], options: Mapping[str, Any]
) -> PlannedStep:
    """The step that says what the source is: it comes before every plan and is cached like any other.

    Raises ModelmillError NO_INSPECTOR where no plug-in inspects, UNKNOWN_OPTION or INVALID_OPTION.
    """
    hop = _recogniser(plugins)
    check_options(hop.edge.options_schema, options, f"the plug-in {hop.plugin.name}")
    return _step(hop, environments, options, "says what the source is")


def further_inspections(plugins: Iterable[Plugin], kind: str) -> list[Hop]:
    """The edges that tell more of a model of this kind, in a stable order."""
    return [hop for hop in hops(plugins, Role.INSPECT) if hop.kind == kind]


def plan_further_inspection(hop: Hop, environments: Iterable[Environment], options: Mapping[str, Any]) -> PlannedStep:
    """The step along one of `further_inspections`. Of the inspection's options it is given those that it knows.

    Raises ModelmillError NO_ENVIRONMENT, or INVALID_OPTION where it knows an option of that name as something else.
    """
    known = hop.edge.options_schema.get("properties", {})
    given = {name: value for name, value in options.items() if name in known}
    check_options(hop.edge.options_schema, given, f"the plug-in {hop.plugin.name}")
    return _step(hop, environments, given, f"says more of a {hop.kind}")


def _recogniser(plugins: Iterable[Plugin]) -> Hop:
    found = [hop for hop in hops(plugins, Role.INSPECT) if hop.kind == _ANY]
    if not found:
        raise ModelmillError("NO_INSPECTOR", "No plug-in of this farm inspects models; install modelmill-inspector.")
    return found[0]


def _step(hop: Hop, environments: Iterable[Environment], options: Mapping[str, Any], why: str) -> PlannedStep:
    choice = choose_environment(Need(hop), environments)
    (name,) = hop.edge.inputs
    return PlannedStep(
        id=INSPECT_STEP if hop.kind == _ANY else f"{INSPECT_STEP}.{hop.plugin.name}.{hop.edge.name}",
        plugin=hop.plugin.name,
        edge=hop.edge.name,
        environment=choice.environment.name,
        inputs={name: SOURCE},
        options=with_defaults(hop.edge, options),
        output=hop.edge.output,
        target="",
        reason=f"{why}; {choice.reason}",
        tensorflow=choice.environment.tensorflow or "",
    )
