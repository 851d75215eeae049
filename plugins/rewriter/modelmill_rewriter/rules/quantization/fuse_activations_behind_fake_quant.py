"""An activation behind a fake quantisation, to before it, where converters can make it a part of the operator before.

    act(fake_quant(f(x)))              -> fake_quant(act(f(x)))
    act(reshape(fake_quant(f(x))))     -> reshape(fake_quant(act(f(x))))
    fake_quant2(act(fake_quant(f(x)))) -> fake_quant2(act(f(x)))                      (exact=false only)

where act is Relu or Relu6, reshape is Reshape, Squeeze or ExpandDims, and f is what a converter can fuse an activation
into: a convolution, a matrix product, a bias, a sum, difference, product or quotient, a batch normalisation (which is
folded), a pooling.

TensorFlow 1's quantisation-aware training puts the fake quantisation there where a layer has no activation of its own
and an Identity or a Reshape stands before the one that follows. The activation is then an operator by itself, and
a conversion to uint8 fails: what it gives has no range.

Why it holds, with q for fake_quant. q does not decrease, and q(0) = 0, as 0 is always one of its steps. So for y >= 0
relu(q(y)) = q(y) = q(relu(y)), and for y < 0 both are 0. For relu6 the same holds below 6; above it, min(q(y), 6) is 6
and q(min(y, 6)) is q(6), which is 6 where the range lets 6 through or ends before it.

By how much the numbers differ:

- exact=true (the default): not at all but for float32 rounding (1e-6 of the range, as q computes (0 - low) / step).
  The range stays, so that up to half of its steps, those below 0, are no longer used, as before. A relu6 is left alone
  where the range goes beyond 6 and does not let 6 through.
- exact=false: the range is cut to what comes through the activation, [0, high] or [0, min(high, 6)], and its steps get
  smaller with it. A number moves by at most half an old step and half a new one: (s + s') / 2. Where another
  fake quantisation follows, the first one goes, and a number moves by at most half a step of the first and one of the
  second; the second one's range ends where the first one's did, so that what was cut off still is.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules.quantization._about_fake_quant import (
    FAKE_QUANT,
    Range,
    fake_quant_attributes,
    nudged,
    range_of,
)
from modelmill_rewriter.rules_api import (
    DONE,
    YES,
    Builder,
    Match,
    Pattern,
    Rule,
    Tensor,
    Verdict,
    argument,
    either,
    maybe,
    no,
    op,
    value,
)

_TAKING = (
    *("Add", "AddV2", "AvgPool", "BiasAdd", "Conv2D", "DepthwiseConv2dNative", "Div"),
    *("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "MatMul", "MaxPool", "Mul", "RealDiv", "Sub"),
)
_RESHAPING = ("ExpandDims", "Reshape", "Squeeze")


@dataclass(frozen=True)
class FuseActivationsBehindFakeQuant(Rule):
    """Moves Relu and Relu6 from behind a fake quantisation to before it."""

    name: ClassVar[str] = "fuse_activations_behind_fake_quant"
    summary: ClassVar[str] = "Moves Relu and Relu6 before the FakeQuant that keeps converters from fusing them."

    exact: bool = argument(
        True, "Only where every number stays as it is; else also cut ranges, which moves numbers by up to a step."
    )

    def pattern(self) -> Pattern:
        """The second kind of root is there for exact=false, and refuses nothing."""
        producer = op(_TAKING, value("x"), open_ended=True, name="producer")
        quantised = op(FAKE_QUANT, producer, open_ended=True, name="quantised")
        reshaped = maybe(op(_RESHAPING, quantised, open_ended=True, name="reshaped"))
        activation = op(("Relu", "Relu6"), reshaped, name="activation")
        if self.exact:
            return activation
        return either(activation, op(FAKE_QUANT, activation, open_ended=True, name="second"))

    def check(self, match: Match) -> Verdict:
        """The ranges must be constant where they are cut, or where they say whether a relu6 is exact."""
        span = range_of(match.graph, match.node("quantised").name)
        if span is None:
            return no("the range of {!r} is not constant, or empty".format(match.node("quantised").name))
        if span.high <= 0:
            return no("the range of {!r} has nothing above 0".format(match.node("quantised").name))
        if "second" in match:
            second = range_of(match.graph, match.root)
            return YES if second is not None else no("the range of {!r} is not constant, or empty".format(match.root))
        if self.exact:
            return _exactness(match, span)
        return DONE if _is_quantised_again(match) else YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The activation right behind what it can be fused into, then the fake quantisation, then what reshapes."""
        activation, quantised = match.node("activation"), match.node("quantised")
        span = range_of(match.graph, quantised.name)
        assert span is not None
        active = make.like(activation, Tensor(match.node("producer").name))
        if "second" in match:
            return _second(match, make, _reshaped(match, make, active), _limit(match, span))
        if self.exact:
            ends = match.graph.data_inputs(quantised.name)[1:]
            return _reshaped(match, make, make.like(quantised, active, *ends))
        cut = nudged(0.0, _limit(match, span), span.bits, span.narrow)
        assert cut is not None
        return _reshaped(match, make, _fake_quant(make, active, cut))


def _limit(match: Match, span: Range) -> float:
    """The largest number that came through both."""
    return min(span.high, 6.0) if match.node("activation").op == "Relu6" else span.high


def _exactness(match: Match, span: Range) -> Verdict:
    if match.node("activation").op == "Relu" or span.high <= 6 or span.lets_through(6.0):
        return YES
    return no(
        "relu6 cuts off at 6, and the range of {!r} has steps at {:.6g} and {:.6g} but not there: exact=false moves "
        "numbers by at most {:.2g}".format(
            match.node("quantised").name,
            6 // span.step * span.step,
            (6 // span.step + 1) * span.step,
            (span.step + 6 / (2**span.bits - 1)) / 2,
        )
    )


def _is_quantised_again(match: Match) -> bool:
    """Whether the activation goes into nothing but one fake quantisation: then that one is the root of a match."""
    graph = match.graph
    readers = graph.consumers(match.root)
    if match.root in graph.kept or len(readers) != 1 or graph.node(readers[0]).op not in FAKE_QUANT:
        return False
    return graph.data_inputs(readers[0])[0] == Tensor(match.root) and range_of(graph, readers[0]) is not None


def _second(match: Match, make: Builder, active: Tensor, limit: float) -> Tensor:
    """The second fake quantisation, which cuts off what the first one did."""
    second = range_of(match.graph, match.root)
    assert second is not None
    if second.high <= limit:
        return make.like(match.root_node, active, *match.graph.data_inputs(match.root)[1:])
    narrowed = nudged(second.low, limit, second.bits, second.narrow)
    assert narrowed is not None
    return _fake_quant(make, active, narrowed)


def _reshaped(match: Match, make: Builder, tensor: Tensor) -> Tensor:
    if "reshaped" not in match:
        return tensor
    node = match.node("reshaped")
    return make.like(node, tensor, *match.graph.data_inputs(node.name)[1:])


def _fake_quant(make: Builder, tensor: Tensor, span: Range) -> Tensor:
    low, high = (make.constant(label, end, "float32") for label, end in (("min", span.low), ("max", span.high)))
    return make.node(FAKE_QUANT[0], tensor, low, high, attributes=fake_quant_attributes(span))
