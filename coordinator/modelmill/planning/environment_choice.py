"""Which environment runs a step: those that can, best first, and why the first one is it.

The *window* of a step is the environments that meet its edge's requirements, whose TensorFlow reads what the step is
given, from which the next step takes what this one makes, and that the user's wish allows. Those that cannot be had on
this machine are in it too, and planned around.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modelmill.planning.choice_reasons import reason_of
from modelmill.planning.choice_refusals import why_none
from modelmill.planning.need import Need, is_preferred, may_feed, meets, parse_requirement, reads
from modelmill.planning.versions import minor, release
from modelmill.values import Availability, Environment, Preference


@dataclass(frozen=True)
class Choice:
    """The environment chosen, why, and what the user should know about those that could not be had."""

    environment: Environment
    reason: str
    notes: tuple[str, ...] = ()


def choose_environment(need: Need, environments: Iterable[Environment]) -> Choice:
    """The best environment that this machine can have for a step.

    Raises ModelmillError NO_ENVIRONMENT where the window is empty or none of it can be had, and
    TENSORFLOW_VERSION_IMPOSSIBLE or TENSORFLOW_NOT_NEEDED where that is due to the user's wish.
    """
    everything = tuple(environments)
    ranked = window(need, everything)
    available = [environment for environment in ranked if _can_be_had(environment)]
    if not available:
        raise why_none(need, ranked, everything)
    chosen = available[0]
    passed_over = ranked[: ranked.index(chosen)]
    notes = tuple(
        f"{missed.name} would have been the choice for {need.edge.name}, but {missed.unavailable_reason}"
        for missed in passed_over
    )
    return Choice(chosen, f"{chosen.name}: {reason_of(need, chosen, ranked, everything)}", notes)


def window(need: Need, environments: Iterable[Environment]) -> list[Environment]:
    """The environments that can run a step, the best first, whether they can be had on this machine or not."""
    everything = tuple(environments)
    maker = next((environment for environment in everything if environment.name == need.maker), None)
    fitting = [environment for environment in everything if meets(environment, need.edge) and _suits(need, environment)]
    return sorted(fitting, key=lambda environment: _rank(need, environment, maker))


def _can_be_had(environment: Environment) -> bool:
    return environment.availability is not Availability.UNAVAILABLE


def _suits(need: Need, environment: Environment) -> bool:
    version = environment.tensorflow
    if need.wish is not None and not (version and need.edge.requires and need.wish.allows(version)):
        return False
    if version is not None and not all(tried.leaves(version) for tried in need.tried):
        return False
    return may_feed(need, environment) and reads(need, environment)


def _rank(need: Need, environment: Environment, maker: Environment | None) -> tuple[object, ...]:
    """Sort key, best first: made for this and nothing else, reads the model as it is, then by the edge's preference."""
    required = {parse_requirement(text).name for text in need.edge.requires}
    unneeded = len(set(environment.provides) - required)
    version = environment.tensorflow
    for_nothing = version is not None and not required
    strips = (
        version is not None and need.strips == "itself" and bool(need.reads and need.reads.without_defaults(version))
    )
    is_maker = need.edge.preference is Preference.MAKER and environment.name == need.maker
    order = () if version is None or not required else _order(need, environment, version, maker)
    return not is_maker, for_nothing, unneeded, strips, order, environment.name


def _order(need: Need, environment: Environment, version: str, maker: Environment | None) -> tuple[object, ...]:
    major, second, micro = release(version)
    newest = (-major, -second, -micro)
    if need.edge.preference is Preference.MAKER:
        made_with = maker.tensorflow if maker else None
        return _not_older(release(version), release(made_with)) if made_with else newest
    if need.edge.preference is Preference.WRITER:
        # Several versions do here. One whose Python must be fetched comes last: not every machine can fetch it.
        return environment.without_python, _near_writer(need, environment, version, newest, maker)
    return not is_preferred(need, version), newest


def _near_writer(
    need: Need, environment: Environment, version: str, newest: tuple[int, int, int], maker: Environment | None
) -> tuple[object, ...]:
    """What a step on the way made was written by that step's TensorFlow, whoever wrote the source."""
    made_with = maker.tensorflow if maker else None
    writer = made_with or (need.reads.writer if need.reads else "")
    if writer:
        return _not_older(release(version), release(minor(writer)))
    if not need.producer and need.reads and need.reads.readable:
        return newest
    own = environment.graph_def_producer or 0
    return own < need.producer, abs(own - need.producer), newest


def _not_older(version: tuple[int, int, int], than: tuple[int, int, int]) -> tuple[object, ...]:
    """Sorts the oldest that is not older first, and of those that are older the newest."""
    older = version < than
    return older, tuple(-part for part in version) if older else version
