"""Nodes that only hand a tensor on, away.

    identity(x) -> x

where identity is Identity, Snapshot, StopGradient or PreventGradient (which differ in training only), CheckNumerics
(which returns x or ends the run) or Print (which returns x and writes to the log).

Stays: an input or output of the model, for its name; what waits for something, for the order; what lies inside a
TensorFlow 1 loop or condition, where an Identity marks which side runs.
"""

from dataclasses import dataclass
from typing import ClassVar, Tuple

from modelmill_rewriter.rules_api import DONE, YES, Builder, Match, Pattern, Rule, Tensor, Verdict, no, op, value


@dataclass(frozen=True)
class RemoveIdentities(Rule):
    """Reads what an Identity hands on, instead of the Identity.

    operations: what counts as handing on.
    """

    name: ClassVar[str] = "remove_identities"
    summary: ClassVar[str] = "Removes Identity, StopGradient, CheckNumerics and Print, which only hand a tensor on."

    operations: Tuple[str, ...] = ("Identity", "Snapshot", "StopGradient", "PreventGradient", "CheckNumerics", "Print")

    def pattern(self) -> Pattern:
        """Print reads further tensors, to write them."""
        return op(self.operations, value("x"), open_ended=True)

    def check(self, match: Match) -> Verdict:
        """An Identity that the model is used by is as it should be; anything else there loses its side effect."""
        if match.control_inputs:
            return no("it waits for {}".format(", ".join(match.control_inputs)))
        if match.root in match.graph.kept and match.root_node.op == "Identity":
            return DONE
        return YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """X itself."""
        del make
        return match["x"]
