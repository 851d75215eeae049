"""What a frozen graph does not need, away."""

from modelmill_rewriter.rules.removing.prune_unused import PruneUnused
from modelmill_rewriter.rules.removing.remove_control_dependencies import RemoveControlDependencies
from modelmill_rewriter.rules.removing.remove_dropout import RemoveDropout
from modelmill_rewriter.rules.removing.remove_identities import RemoveIdentities

PASSES = (
    PruneUnused(),
    RemoveControlDependencies(),
    RemoveDropout(),
    RemoveIdentities(),
)

__all__ = ["PASSES"]
