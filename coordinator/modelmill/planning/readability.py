"""Which versions of TensorFlow can read a model: what the inspector found, as the planner asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from packaging.version import InvalidVersion

from modelmill.planning.versions import minor, release

#: From this Keras on until Keras 3, a version of TensorFlow has the Keras of its own number.
_KERAS_OF_TENSORFLOW = (2, 5, 0)


@dataclass(frozen=True)
class Readability:
    """Which minor versions read the source, of those that the inspector's table knows.

    writer: the version that wrote it; empty where the model does not say.
    stripped: minor version to the attributes without which it reads the model; they have their default values.
    unreadable: minor version to what of the model it does not know, as the end of a sentence.
    """

    writer: str = ""
    readable: Sequence[str] = ()
    stripped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Readability:
        """What the inspector's facts say under `tensorflow`; where they say nothing, every version reads the model."""
        return cls._told(facts.get("tensorflow") or {})

    @classmethod
    def of_frozen(cls, facts: Mapping[str, Any]) -> Readability:
        """The same of the graph that is made of the source on the way: what lies around it there is gone then."""
        told = facts.get("tensorflow") or {}
        return cls._told({**told, **(told.get("frozen") or {})})

    @classmethod
    def _told(cls, told: Mapping[str, Any]) -> Readability:
        return cls(
            writer=_writer(str(told.get("writer") or ""), str(told.get("keras") or "")),
            readable=tuple(told.get("readable") or ()),
            stripped=dict(told.get("readable_stripped") or {}),
            unreadable=dict(told.get("unreadable") or {}),
        )

    def as_it_is(self, version: str) -> bool:
        """Whether a full version reads the model as it is. One that is not in the table is given the chance."""
        return minor(version) not in self.stripped and minor(version) not in self.unreadable

    def without_defaults(self, version: str) -> bool:
        """Whether a full version reads the model once attributes that have their default values are dropped."""
        return minor(version) in self.stripped

    def why_not(self, version: str) -> str:
        """What a version that cannot read the model does not know, as the end of a sentence."""
        number = minor(version)
        if number in self.unreadable:
            return self.unreadable[number]
        attributes = self.stripped.get(number, ())
        return f"it does not know {', '.join(attributes)}" if attributes else "it does not know all of the model"


def _writer(tensorflow: str, keras: str) -> str:
    """The TensorFlow that wrote the model, where its own version or that of its Keras tells."""
    for version, first in ((tensorflow, (0, 0, 0)), (keras, _KERAS_OF_TENSORFLOW)):
        try:
            told = bool(version) and first <= release(version)
        except InvalidVersion:
            continue
        if told and (version == tensorflow or release(version) < (3, 0, 0)):
            return version
    return ""
