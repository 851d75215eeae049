"""What one TensorFlow knows and another does not."""

from modelmill_rewriter.rules.versions.remove_default_attributes import RemoveDefaultAttributes
from modelmill_rewriter.rules.versions.replace_select_operations import ReplaceSelectOperations

PASSES = (RemoveDefaultAttributes(), ReplaceSelectOperations())

__all__ = ["PASSES"]
