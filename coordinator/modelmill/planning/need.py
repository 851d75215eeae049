"""What a step asks of its environment, and whether an environment meets it."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from packaging.requirements import Requirement

from modelmill.planning.readability import Readability
from modelmill.planning.routes import Hop
from modelmill.planning.versions import Wish, contains, release
from modelmill.values import Direction, Edge, Environment


@dataclass(frozen=True)
class Tried:
    """A version of TensorFlow in which a step has failed, and in which others it may succeed."""

    tensorflow: str
    direction: Direction

    def leaves(self, version: str) -> bool:
        """Whether another version is worth a try."""
        own, other = release(self.tensorflow), release(version)
        if self.direction is Direction.ANY:
            return other != own
        return other > own if self.direction is Direction.NEWER else other < own


@dataclass(frozen=True)
class Need:
    """What one step asks of its environment.

    producer: GraphDef.versions.producer of the source model; 0 where it is not known.
    reads: who can read what the step is given, where that has the source's operations; None where anybody can.
    strips: whether somebody drops attributes that a version does not know: "" nobody, "itself" the step, "before" an
        earlier step that knows for which version.
    maker: the environment of the step that made the model; empty where none did. Its TensorFlow, where it has one,
        counts as the model's writer.
    wish: the versions that the user allows; None for all.
    tried: versions in which this edge has failed for this target.
    feeds: the step that takes what this one makes, where it is particular about which version made it.
    """

    hop: Hop
    producer: int = 0
    reads: Readability | None = None
    strips: str = ""
    maker: str = ""
    wish: Wish | None = None
    tried: tuple[Tried, ...] = ()
    feeds: Hop | None = None

    @property
    def key(self) -> Hashable:
        """Equal for needs of one model that ask for the same."""
        edge = (self.hop.plugin.name, self.edge.name)
        feeds = self.feeds and (self.feeds.plugin.name, self.feeds.edge.name)
        return edge, self.reads is None, self.strips, self.maker, self.wish, self.tried, self.producer, feeds

    @property
    def edge(self) -> Edge:
        """The edge that is to be run."""
        return self.hop.edge


def meets(environment: Environment, edge: Edge) -> bool:
    """Whether an environment provides all that an edge requires."""
    return all(_provides(environment, parse_requirement(text)) for text in edge.requires)


def wants_tensorflow(edge: Edge, environments: Iterable[Environment]) -> bool:
    """Whether an edge runs TensorFlow, be it as a part of something else that it requires."""
    return bool(edge.requires) and any(
        environment.tensorflow for environment in environments if meets(environment, edge)
    )


def reads(need: Need, environment: Environment) -> bool:
    """Whether an environment's TensorFlow, if it has one, reads what the step is given."""
    version = environment.tensorflow
    if version is None or need.reads is None or not need.edge.requires:
        return True
    return need.reads.as_it_is(version) or (bool(need.strips) and need.reads.without_defaults(version))


def may_feed(need: Need, environment: Environment) -> bool:
    """Whether the step that takes what is made takes it from an environment's TensorFlow."""
    version = environment.tensorflow
    return version is None or need.feeds is None or contains(need.feeds.edge.input_made_by, version)


def is_preferred(need: Need, version: str) -> bool:
    """Whether a version is one that the edge's plug-in says is better than newer ones."""
    return bool(need.edge.prefers) and contains(need.edge.prefers, version)


@functools.cache
def parse_requirement(text: str) -> Requirement:
    """A requirement (PEP 508) from its text. Parsed once: planning asks for the same few a hundred times."""
    return Requirement(text)


def _provides(environment: Environment, requirement: Requirement) -> bool:
    version = environment.provides.get(requirement.name)
    return version is not None and contains(str(requirement.specifier), version)
