"""What one TensorFlow knows and another does not."""

from modelmill_rewriter.rules.versions.remove_default_attributes import RemoveDefaultAttributes

PASSES = (RemoveDefaultAttributes(),)

__all__ = ["PASSES"]
