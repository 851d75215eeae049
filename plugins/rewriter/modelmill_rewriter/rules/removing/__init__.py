"""What a frozen graph does not need, away."""

from modelmill_rewriter.rules.removing.prune_unused import PruneUnused
from modelmill_rewriter.rules.removing.remove_attribute import RemoveAttribute
from modelmill_rewriter.rules.removing.remove_control_dependencies import RemoveControlDependencies
from modelmill_rewriter.rules.removing.remove_device import RemoveDevice
from modelmill_rewriter.rules.removing.remove_dropout import RemoveDropout
from modelmill_rewriter.rules.removing.remove_identities import RemoveIdentities
from modelmill_rewriter.rules.removing.remove_nodes import RemoveNodes
from modelmill_rewriter.rules.removing.strip_unused_nodes import StripUnusedNodes

PASSES = (
    PruneUnused(),
    RemoveAttribute(),
    RemoveControlDependencies(),
    RemoveDevice(),
    RemoveDropout(),
    RemoveIdentities(),
    RemoveNodes(),
    StripUnusedNodes(),
)

__all__ = ["PASSES"]
