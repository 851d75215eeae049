"""The rules and passes that come with the rewriter, one a file. A new one is added to this list."""

from modelmill_rewriter.rules.prelu import Prelu
from modelmill_rewriter.rules.prune_unused import PruneUnused
from modelmill_rewriter.rules.remove_control_dependencies import RemoveControlDependencies
from modelmill_rewriter.rules.remove_default_attributes import RemoveDefaultAttributes
from modelmill_rewriter.rules.remove_dropout import RemoveDropout
from modelmill_rewriter.rules.remove_identities import RemoveIdentities

PASSES = (
    Prelu(),
    PruneUnused(),
    RemoveControlDependencies(),
    RemoveDefaultAttributes(),
    RemoveDropout(),
    RemoveIdentities(),
)

__all__ = ["PASSES"]
