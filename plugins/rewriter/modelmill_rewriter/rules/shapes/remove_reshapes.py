"""Reshapes that change nothing, or that another one undoes.

    reshape(reshape(x, s), t), reshape(squeeze(x), t), reshape(expand_dims(x, a), t)  ->  reshape(x, t)
    reshape(x, the shape of x)                                                        ->  x

All three keep the elements in their order, so what the first one says is lost in the second.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules_api import DONE, YES, Builder, Match, Pattern, Rule, Tensor, Verdict, either, op, value


@dataclass(frozen=True)
class RemoveReshapes(Rule):
    """No more reshapes than needed."""

    name: ClassVar[str] = "remove_reshapes"
    summary: ClassVar[str] = "Removes Reshapes that change nothing, and what the next Reshape undoes."
    #: Who else reads the first of two goes on reading it.
    may_share: ClassVar[bool] = True

    def pattern(self) -> Pattern:
        """The longer one first."""
        x, shape = value("x"), value("shape")
        first = either(op("Reshape", x, value("lost")), op("ExpandDims", x, value("lost")), op("Squeeze", x))
        return either(op("Reshape", first, shape), op("Reshape", x, shape))

    def check(self, match: Match) -> Verdict:
        """Two in a row, or one that says what is so already."""
        return YES if _is_merged(match) or _changes_nothing(match) else DONE

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """What is read, or one Reshape of it."""
        if _changes_nothing(match):
            return match["x"]
        return make.like(match.root_node, match["x"], match["shape"])


def _is_merged(match: Match) -> bool:
    """Whether the match has two reshapes and not only Identity nodes between what is read and the root."""
    return any(match.graph.node(name).op in ("Reshape", "ExpandDims", "Squeeze") for name in match.nodes[1:])


def _changes_nothing(match: Match) -> bool:
    """Whether the wanted sizes are those of x: all that are known, and -1 where the only one is that is not."""
    shape, wanted = match.shape("x"), match.constant("shape")
    if shape is None or wanted is None or shape.count(-1) > 1:
        return False
    sizes = tuple(int(size) for size in wanted.ravel())
    if -1 in sizes and shape.count(-1) == 0 and 0 not in shape and len(sizes) == len(shape):
        sizes = tuple(known if size < 0 else size for size, known in zip(sizes, shape))
    return sizes == shape
