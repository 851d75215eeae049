"""Why an environment is the one for a step, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from modelmill.planning.need import Need, is_preferred
from modelmill.planning.versions import Wish, minor, release
from modelmill.values import Environment, Preference


def reason_of(need: Need, chosen: Environment, ranked: Sequence[Environment], everything: Sequence[Environment]) -> str:
    """The sentence, without the environment's name.

    ranked: the window of the step. everything: all environments.
    """
    if not need.edge.requires:
        return "needs no TensorFlow"
    if chosen.tensorflow is None:
        return f"provides {', '.join(need.edge.requires)}"
    return _reason_of_version(need, chosen, chosen.tensorflow, ranked, everything)


def _reason_of_version(
    need: Need, chosen: Environment, version: str, ranked: Sequence[Environment], everything: Sequence[Environment]
) -> str:
    preference = need.edge.preference
    if need.tried:
        failed = ", ".join(dict.fromkeys(tried.tensorflow for tried in need.tried))
        return f"TensorFlow {version} is the next after {failed}, in which it failed"
    if need.wish is not None:
        return f"TensorFlow {version} {_reason_of_wish(need, need.wish, version, _span(ranked))}"
    if preference is Preference.MAKER and need.maker:
        return _reason_of_maker(need, chosen, everything)
    if preference is Preference.WRITER and any(made.name == need.maker and made.tensorflow for made in everything):
        return _reason_of_maker(need, chosen, everything)
    if preference is Preference.WRITER:
        here = "whose Python is on this machine" if _some_lack_python(ranked) else "here"
        return _reason_of_writer(need, chosen, version, here)
    return f"TensorFlow {version} {_reason_of_newest(need, version, _span(ranked))}"


def _span(ranked: Sequence[Environment]) -> list[str]:
    """The versions of a window, oldest first."""
    return sorted({environment.tensorflow for environment in ranked if environment.tensorflow}, key=release)


def _reason_of_wish(need: Need, wish: Wish, version: str, versions: Sequence[str]) -> str:
    if wish.every:
        return "is one of every version that can"
    asked = f"asked for (--tensorflow {wish.text})"
    if len(versions) == 1 or need.edge.preference is not Preference.NEWEST:
        return f"was {asked}"
    return f"is {_best(need, version)} of those that were {asked}"


def _reason_of_newest(need: Need, version: str, versions: Sequence[str]) -> str:
    can = f"provide {', '.join(need.edge.requires)}" if need.reads is None else "can read the model"
    if need.feeds is not None:
        can += f" and make what {need.feeds.plugin.name} takes ({need.feeds.edge.input_made_by})"
    if len(versions) == 1:
        return f"is the only one of those that {can}" if need.reads is None else f"is the only one that {can}"
    return f"is {_best(need, version)} of those that {can} ({minor(versions[0])} to {minor(versions[-1])})"


def _best(need: Need, version: str) -> str:
    return f"the one that {need.hop.plugin.name} prefers" if is_preferred(need, version) else "the newest"


def _reason_of_maker(need: Need, chosen: Environment, everything: Sequence[Environment]) -> str:
    if chosen.name == need.maker:
        return f"TensorFlow {chosen.tensorflow} made the model"
    maker = next((environment for environment in everything if environment.name == need.maker), None)
    if maker is None or maker.tensorflow is None:
        return f"TensorFlow {chosen.tensorflow} is the newest of those that provide {', '.join(need.edge.requires)}"
    older = release(chosen.tensorflow or "0") < release(maker.tensorflow)
    nearest = "the nearest to" if older else "the oldest that is not older than"
    return f"TensorFlow {chosen.tensorflow} is {nearest} {maker.tensorflow}, which made the model and cannot run it"


def _some_lack_python(ranked: Sequence[Environment]) -> bool:
    return any(environment.without_python for environment in ranked)


def _reason_of_writer(need: Need, chosen: Environment, version: str, here: str) -> str:
    """Where an environment is best that fits the model's writer; `here`: those that it is the best of."""
    if need.reads and need.reads.writer:
        return _reason_of_release(version, need.reads.writer, here)
    if need.producer:
        return _reason_of_producer(version, chosen.graph_def_producer or 0, need.producer, here)
    newest = " is the newest that can read the model" if need.reads and need.reads.readable else ""
    return f"TensorFlow {version}{newest}; the model does not say which version wrote it"


def _reason_of_release(version: str, writer: str, here: str) -> str:
    """Where the model says which release wrote it."""
    if release(version)[:2] == release(writer)[:2]:
        return f"TensorFlow {version} is of the version that wrote the model ({writer})"
    if release(version) < release(writer):
        return f"no TensorFlow {here} is as new as the one that wrote the model ({writer}); {version} is the nearest"
    return f"TensorFlow {version} is the oldest {here} that can and is not older than the one that wrote it ({writer})"


def _reason_of_producer(version: str, own: int, wrote: int, here: str) -> str:
    """Where the model says which version of GraphDef it has."""
    if own < wrote:
        return (
            f"no TensorFlow {here} is as new as the one that wrote the model (GraphDef producer {wrote}); "
            f"{version} (producer {own}) is the nearest"
        )
    if own == wrote:
        return f"TensorFlow {version} writes GraphDefs of the version that the model has (producer {own})"
    return (
        f"TensorFlow {version} (GraphDef producer {own}) is the oldest {here} that is not older "
        f"than the one that wrote the model (producer {wrote})"
    )
