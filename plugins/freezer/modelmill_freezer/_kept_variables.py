"""Which variables stay variables in a frozen graph: those that the user's names and patterns leave out."""

import fnmatch
from typing import FrozenSet, Sequence, Tuple

from modelmill_worker.errors import StepError

from modelmill_freezer._nearest_names import nearest_names

#: How many names a note or an error shows.
_NAMED = 5


def kept_variables(names: Sequence[str], only: Sequence[str], without: Sequence[str]) -> FrozenSet[str]:
    """The variables that are not to be frozen; none where neither `only` nor `without` says anything.

    names: those of all variables of a graph.
    only, without: names or shell patterns (`*`, `?`, `[abc]`) of what is frozen, and of what is not all the same.
    Raises StepError VARIABLE_PATTERN_UNMATCHED for one that matches no variable.
    """
    frozen = _matching(names, only, "only_variables") if only else frozenset(names)
    return frozenset(names) - (frozen - _matching(names, without, "without_variables"))


def note_kept(names: Sequence[str]) -> Tuple[str, ...]:
    """What the report says of variables that stayed."""
    if not names:
        return ()
    return (
        "{} stayed variables, as asked for: {}. Whoever runs the graph must give them their values first, which the "
        "checkpoint has.".format(len(names), _listed(names)),
    )


def _matching(names: Sequence[str], patterns: Sequence[str], option: str) -> FrozenSet[str]:
    found = set()
    for pattern in patterns:
        matched = [name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)]
        if not matched:
            raise _unmatched(names, pattern, option)
        found.update(matched)
    return frozenset(found)


def _unmatched(names: Sequence[str], pattern: str, option: str) -> StepError:
    nearest = nearest_names(pattern, names) or sorted(names)[:_NAMED]
    there = (
        "Variables with a name like it: {}.".format(", ".join(nearest)) if nearest else "The graph has no variables."
    )
    return StepError(
        "VARIABLE_PATTERN_UNMATCHED",
        "The option {} names {}, and no variable is called so. {}".format(option, pattern, there),
        {"option": option, "pattern": pattern, "nearest": nearest},
    )


def _listed(names: Sequence[str]) -> str:
    more = " and {} more".format(len(names) - _NAMED) if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
