"""Why there is no environment for a step: the user's wish, the model, the target or this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from packaging.specifiers import SpecifierSet

from modelmill.errors import ModelmillError
from modelmill.planning.need import Need, may_feed, meets, reads, wants_tensorflow
from modelmill.planning.versions import Wish, release
from modelmill.values import Environment

#: Versions that a message names one by one.
_MOST_NAMED = 3


def why_none(need: Need, ranked: Sequence[Environment], everything: Sequence[Environment]) -> ModelmillError:
    """NO_ENVIRONMENT, TENSORFLOW_VERSION_IMPOSSIBLE or TENSORFLOW_NOT_NEEDED, with what would have to be there.

    ranked: the window of the step. everything: all environments.
    """
    edge = need.edge
    if ranked:
        reasons = "; ".join(f"{environment.name}: {environment.unavailable_reason}" for environment in ranked)
        return _no_environment(need, f"No environment for {edge.name} can be had on this machine: {reasons}")
    if need.wish is not None:
        return _why_not_that(need, need.wish, everything)
    meeting = [environment for environment in everything if meets(environment, edge)]
    if not meeting:
        return _no_environment(need, f"No environment provides {', '.join(edge.requires)}, which {edge.name} needs.")
    if need.tried:
        failed = ", ".join(dict.fromkeys(tried.tensorflow for tried in need.tried))
        return _no_environment(need, f"No other TensorFlow than {failed} can run {edge.name}.")
    if need.feeds and not any(may_feed(need, environment) for environment in meeting):
        reader = f"{need.feeds.plugin.name}'s {need.feeds.edge.name}"
        what = f"{reader} takes what TensorFlow {need.feeds.edge.input_made_by} made"
        return _no_environment(need, f"No environment can run {edge.name} for it: {what}.")
    unreadable = _unreadable(need, meeting)
    told = _told(unreadable)
    return _no_environment(need, f"No TensorFlow that {edge.name} can use reads the model: {told}", unreadable)


def _no_environment(need: Need, message: str, unreadable: dict[str, str] | None = None) -> ModelmillError:
    details = {"requires": list(need.edge.requires), **({"unreadable": unreadable} if unreadable else {})}
    return ModelmillError("NO_ENVIRONMENT", message, details)


def _why_not_that(need: Need, wish: Wish, everything: Sequence[Environment]) -> ModelmillError:
    """The first of the reasons for which no environment is left that the user allows."""
    edge = need.edge
    who = f"{need.hop.plugin.name}'s {edge.name}"
    if not wants_tensorflow(edge, everything):
        return ModelmillError(
            "TENSORFLOW_NOT_NEEDED",
            f"{who} runs without TensorFlow: leave out --tensorflow {wish.text} for this target.",
            {"tensorflow": wish.text, "edge": edge.name},
        )
    meeting = [environment for environment in everything if environment.tensorflow and meets(environment, edge)]
    can = _versions(environment for environment in meeting if reads(need, environment) and may_feed(need, environment))
    details: dict[str, Any] = {
        "tensorflow": wish.text,
        "edge": edge.name,
        "requires": list(edge.requires),
        "possible": can,
    }
    known = [environment for environment in everything if environment.tensorflow]
    named = [environment for environment in known if wish.allows(environment.tensorflow or "")]
    if not named:
        nearest = _nearest(wish, _versions(known))
        message = f"No environment has TensorFlow {wish.text}; the nearest is {nearest}."
        details["nearest"] = nearest
    elif not any(meets(environment, edge) for environment in named):
        message = f"TensorFlow {wish.text} was asked for, and {who} needs {', '.join(edge.requires)}."
    elif need.feeds and not any(may_feed(need, environment) for environment in named if meets(environment, edge)):
        reader = f"{need.feeds.plugin.name}'s {need.feeds.edge.name}"
        message = f"TensorFlow {wish.text} was asked for, and {reader} takes what {need.feeds.edge.input_made_by} made."
    else:
        unreadable = _unreadable(need, [environment for environment in named if meets(environment, edge)])
        details["unreadable"] = unreadable
        message = f"The model cannot be read by TensorFlow {wish.text}: {_told(unreadable)}"
    return ModelmillError("TENSORFLOW_VERSION_IMPOSSIBLE", message + _possible(can), details)


def _possible(versions: Sequence[str]) -> str:
    """What to ask for instead; the details have them all."""
    if not versions:
        return ""
    if len(versions) <= _MOST_NAMED:
        return f" Ask for {' or '.join(versions)}."
    return f" Ask for one of {len(versions)} others, from {versions[0]} to {versions[-1]}."


def _unreadable(need: Need, environments: Iterable[Environment]) -> dict[str, str]:
    """What of the model each version does not know, by full version, oldest first."""
    if need.reads is None:
        return {}
    return {version: need.reads.why_not(version) for version in _versions(environments)}


def _told(unreadable: dict[str, str]) -> str:
    """What the newest version does not know, and nothing of the others: theirs is the same and more."""
    if not unreadable:
        return ""
    version, why = list(unreadable.items())[-1]
    return f"{why.rstrip('.')}." if len(unreadable) == 1 else f"in {version}, {why.rstrip('.')}."


def _versions(environments: Iterable[Environment]) -> list[str]:
    """Their full versions, oldest first."""
    return sorted({environment.tensorflow for environment in environments if environment.tensorflow}, key=release)


def _nearest(wish: Wish, versions: Sequence[str]) -> str:
    """The version nearest to the first one that a wish names; the newest where it names none."""
    named = [release(specifier.version.removesuffix(".*")) for specifier in SpecifierSet(wish.specifiers)]
    if not named or not versions:
        return versions[-1] if versions else "none"
    wanted = min(named)
    return min(versions, key=lambda version: _distance(release(version), wanted))


def _distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(abs(a - b) for a, b in zip(one, other, strict=True))
