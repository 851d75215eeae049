"""All that a rule or a pass is written with. How: README.md; an example: rules/folding/fold_multiplications.py."""

from modelmill_rewriter._arguments import argument, invalid_option
from modelmill_rewriter._builder import Attribute, Builder, Dtype, ShapeOf, set_attribute
from modelmill_rewriter._control_flow import OUTSIDE, Place, places
from modelmill_rewriter._graph_index import GraphIndex, Interface
from modelmill_rewriter._layout import Layout
from modelmill_rewriter._matcher import Match, Matcher
from modelmill_rewriter._pass import Firing, Pass, Refusal, Report
from modelmill_rewriter._pattern import (
    Pattern,
    absolute,
    constant,
    either,
    maximum,
    maybe,
    minimum,
    op,
    relu,
    value,
)
from modelmill_rewriter._rule import DONE, YES, Answer, Rule, Verdict, no
from modelmill_rewriter._target import Target
from modelmill_rewriter._tensor import Tensor

__all__ = [
    "DONE",
    "OUTSIDE",
    "YES",
    "Answer",
    "Attribute",
    "Builder",
    "Dtype",
    "Firing",
    "GraphIndex",
    "Interface",
    "Layout",
    "Match",
    "Matcher",
    "Pass",
    "Pattern",
    "Place",
    "Refusal",
    "Report",
    "Rule",
    "ShapeOf",
    "Target",
    "Tensor",
    "Verdict",
    "absolute",
    "argument",
    "constant",
    "either",
    "invalid_option",
    "maximum",
    "maybe",
    "minimum",
    "no",
    "op",
    "places",
    "relu",
    "set_attribute",
    "value",
]
