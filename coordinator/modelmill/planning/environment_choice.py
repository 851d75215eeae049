"""Which environment runs a step: those that meet its requirements, best first, and why the first one is it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.version import Version

from modelmill.errors import ModelmillError
from modelmill.values import Availability, Edge, Environment, Preference


@dataclass(frozen=True)
class Choice:
    """The environment chosen, why, and what the user should know about those that could not be had."""

    environment: Environment
    reason: str
    notes: tuple[str, ...] = ()


def choose_environment(edge: Edge, environments: Iterable[Environment], producer: int) -> Choice:
    """The best environment that this machine can have for an edge.

    producer: GraphDef.versions.producer of the source model; 0 where it is not known.

    Raises ModelmillError NO_ENVIRONMENT where none meets the requirements or none of those can be had.
    """
    fitting = [environment for environment in environments if meets(environment, edge)]
    ranked = sorted(fitting, key=lambda environment: _rank(edge, environment, producer))
    available = [environment for environment in ranked if environment.availability is not Availability.UNAVAILABLE]
    if not available:
        raise ModelmillError("NO_ENVIRONMENT", _why_none(edge, ranked), {"requires": list(edge.requires)})
    chosen = available[0]
    passed_over = ranked[: ranked.index(chosen)]
    notes = tuple(
        f"{missed.name} would have been the choice for {edge.name}, but {missed.unavailable_reason}"
        for missed in passed_over
    )
    return Choice(chosen, f"{chosen.name}: {_reason(edge, chosen, producer)}", notes)


def meets(environment: Environment, edge: Edge) -> bool:
    """Whether an environment provides all that an edge requires."""
    return all(_provides(environment, _requirement(text)) for text in edge.requires)


@functools.cache
def _requirement(text: str) -> Requirement:
    """Parsed once: planning asks for the same few a hundred times."""
    return Requirement(text)


@functools.cache
def _newness(version: str) -> tuple[int, int, int]:
    """Sorts newer versions first."""
    parsed = Version(version)
    return -parsed.major, -parsed.minor, -parsed.micro


def _provides(environment: Environment, requirement: Requirement) -> bool:
    version = environment.provides.get(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _rank(edge: Edge, environment: Environment, producer: int) -> tuple[object, ...]:
    """Sort key, best first: made for this and nothing else, then the preferred TensorFlow, then by name."""
    required = {_requirement(text).name for text in edge.requires}
    unneeded = len(set(environment.provides) - required)
    newness = _newness(environment.tensorflow or "0")
    if edge.preference is Preference.WRITER and environment.graph_def_producer is not None:
        older = environment.graph_def_producer < producer
        distance = abs(environment.graph_def_producer - producer)
        return ("tensorflow" not in required, unneeded, older, distance, newness, environment.name)
    return ("tensorflow" in environment.provides and not required, unneeded, False, 0, newness, environment.name)


def _reason(edge: Edge, environment: Environment, producer: int) -> str:
    if not edge.requires:
        return "needs no TensorFlow"
    if environment.tensorflow is None or not any(_requirement(text).name == "tensorflow" for text in edge.requires):
        return f"provides {', '.join(edge.requires)}"
    if edge.preference is not Preference.WRITER:
        return f"TensorFlow {environment.tensorflow} is the newest here that fits {', '.join(edge.requires)}"
    if not producer:
        return f"TensorFlow {environment.tensorflow}; the model does not say which version wrote it"
    own = environment.graph_def_producer or 0
    if own < producer:
        return (
            f"no TensorFlow here is as new as the one that wrote the model (GraphDef producer {producer}); "
            f"{environment.tensorflow} (producer {own}) is the nearest"
        )
    return (
        f"TensorFlow {environment.tensorflow} (GraphDef producer {own}) is the oldest here that is not older "
        f"than the one that wrote the model (producer {producer})"
    )


def _why_none(edge: Edge, fitting: list[Environment]) -> str:
    if not fitting:
        return f"No environment provides {', '.join(edge.requires)}, which {edge.name} needs."
    reasons = "; ".join(f"{environment.name}: {environment.unavailable_reason}" for environment in fitting)
    return f"No environment for {edge.name} can be had on this machine: {reasons}"
