"""Nodes under short names that tell nothing.

    "InceptionV3/Conv2d_1a_3x3/weights" -> "0"

The nodes are counted in the graph's order, with digits, small and large letters. The model's inputs and outputs keep
their names; functions, and names in what nodes carry as text, are as they were.
"""

import itertools
import string
from dataclasses import dataclass
from typing import ClassVar, Dict, Iterator

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target

_DIGITS = string.digits + string.ascii_lowercase + string.ascii_uppercase


@dataclass(frozen=True)
class ObfuscateNames(Pass):
    """Renames all but the model's inputs and outputs."""

    name: ClassVar[str] = "obfuscate_names"
    summary: ClassVar[str] = "Gives nodes short names that tell nothing."

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Rename all at once."""
        del target
        short = (name for name in _short_names() if name not in graph.kept)
        names: Dict[str, str] = {name: next(short) for name in graph.names() if name not in graph.kept}
        changed = {old: new for old, new in names.items() if old != new}
        if not changed:
            return Report(self.name)
        graph.rename(changed)
        return Report(self.name, (Firing(tuple(changed), tuple(changed.values())),))


def _short_names() -> Iterator[str]:
    for number in itertools.count():
        name, rest = "", number
        while rest or not name:
            rest, digit = divmod(rest, len(_DIGITS))
            name = _DIGITS[digit] + name
        yield name
