"""Several convolutions side by side, put together by a concatenation, as what a normalisation may be folded into.

    norm(concat(W0 * x0 + b0, W1 * x1 + b1, ...))  ->  concat(norm0(W0 * x0 + b0), norm1(W1 * x1 + b1), ...)

where each norm has the numbers of its branch's channels, or all of them where another axis than that of the channels is
concatenated along; each is then folded into its branch.
"""

from typing import List, NamedTuple, Optional, Tuple, Union

import numpy as np

from modelmill_rewriter.rules.folding import _about_linear as about
from modelmill_rewriter.rules_api import (
    YES,
    Builder,
    Match,
    Matcher,
    Pattern,
    Tensor,
    Verdict,
    no,
    op,
    value,
)


class Branch(NamedTuple):
    """One of what is concatenated. channels: which of all channels are its own."""

    match: Match
    channels: slice


def joined() -> Pattern:
    """A concatenation, as `match.node("joined")`."""
    return op(("ConcatV2", "Concat"), value("joined_first"), open_ended=True, name="joined")


def branches_of(match: Match, count: int) -> Union[List[Branch], Verdict]:
    """What the match's concatenation of so many channels puts together, or why nothing is folded into it."""
    tensors, axis = _operands(match)
    if axis is None:
        return no("{} concatenates along an axis that is not constant".format(match.node("joined").name))
    found: List[Branch] = []
    for tensor in tensors:
        branch = _branch(match, tensor)
        if isinstance(branch, Verdict):
            return branch
        found.append(Branch(branch, slice(0, count)))
    channels = [about.channels_of(branch.match) for branch in found]
    ranks = {about.rank_behind(branch.match) for branch in found}
    if len(ranks) != 1 or any(item is None for item in channels):
        return no("{} puts together tensors of different ranks".format(match.node("joined").name))
    known = [item for item in channels if item is not None]
    rank = ranks.pop()
    if len({item.axis for item in known}) != 1:
        return no("{} puts together tensors of different data formats".format(match.node("joined").name))
    if axis % rank == known[0].axis % rank:
        ends = np.cumsum([item.count for item in known]).tolist()
        return [branch._replace(channels=slice(end - item.count, end)) for branch, item, end in zip(found, known, ends)]
    return found


def folded(match: Match, make: Builder, branches: List[Branch], factor: np.ndarray, summand: np.ndarray) -> Tensor:
    """The concatenation of the branches, with the factor in their filters and the summand in their biases."""
    made = []
    for branch, channels in branches:
        known = about.channels_of(branch)
        assert known is not None
        bias = about.bias_of(branch, known)
        assert bias is not None
        own = factor[channels]
        convolved = about.linear_like(branch, make, about.scaled_filter(branch, make, own))
        biased = about.with_bias(branch, make, convolved, bias * own + summand[channels])
        made.append(about.moved_like(branch, make, biased))
    node = match.node("joined")
    inputs = match.graph.data_inputs(node.name)
    return make.like(node, *([*made, inputs[-1]] if node.op == "ConcatV2" else [inputs[0], *made]))


def _operands(match: Match) -> Tuple[Tuple[Tensor, ...], Optional[int]]:
    """What is concatenated, and along which axis; None where that is not constant."""
    node = match.node("joined")
    inputs = match.graph.data_inputs(node.name)
    axis = match.graph.constant(inputs[-1] if node.op == "ConcatV2" else inputs[0])
    tensors = inputs[:-1] if node.op == "ConcatV2" else inputs[1:]
    return tensors, None if axis is None or axis.size != 1 else int(axis.reshape(()))


def _branch(match: Match, tensor: Tensor) -> Union[Match, Verdict]:
    """The linear operation that gives out a tensor for the concatenation alone."""
    graph, reader = match.graph, match.node("joined").name
    name = graph.seen_through(tensor).node
    matcher = Matcher(about.moved(about.biased(about.linear())), graph, match.target)
    found = next(matcher.matches(name), None)
    if found is None or graph.seen_through(tensor).output:
        return no("{} puts together {}, a {}, and others".format(reader, name, graph.node(name).op))
    verdict = about.foldable(found)
    if verdict != YES:
        return verdict
    between = tensor.node
    while between != name:
        if graph.consumers(between) != (reader,) or between in graph.kept:
            return no("{} is also used elsewhere".format(between))
        between, reader = graph.data_inputs(between)[0].node, between
    count = [graph.seen_through(item) for item in _operands(match)[0]].count(graph.seen_through(tensor))
    shared = found.shared_node() or (name if graph.consumers(name) != (reader,) or name in graph.kept else None)
    if shared is not None or count != 1:
        return no("its part {!r} is also used elsewhere".format(shared or name))
    return no("{} waits for other nodes".format(name)) if found.control_inputs else found
