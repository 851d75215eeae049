"""The names of a graph or checkpoint that are most like one that it does not have."""

import difflib
from typing import Iterable, List

#: How many names an error proposes.
PROPOSALS = 5
_LEAST_LIKENESS = 0.6


def nearest_names(name: str, names: Iterable[str]) -> List[str]:
    """The names most like this one, the likest first; a like last part of the path counts nearly as much."""
    likeness = [(_likeness(name, other), other) for other in names]
    likeness.sort(key=lambda pair: (-pair[0], len(pair[1])))
    return [other for likely, other in likeness[:PROPOSALS] if likely >= _LEAST_LIKENESS]


def _likeness(name: str, other: str) -> float:
    """From 0 to 1; cheap bounds spare most of the names of a large graph the exact ratio."""
    best = 0.0
    for first, second, weight in ((name, other, 1.0), (_last_part(name), _last_part(other), 0.95)):
        matcher = difflib.SequenceMatcher(None, first.lower(), second.lower(), autojunk=False)
        if weight * matcher.real_quick_ratio() > best and weight * matcher.quick_ratio() >= _LEAST_LIKENESS:
            best = max(best, weight * matcher.ratio())
    return best


def _last_part(name: str) -> str:
    return name.rsplit("/", 1)[-1]
