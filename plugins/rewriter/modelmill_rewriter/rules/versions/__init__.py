"""What one TensorFlow knows and another does not."""

from modelmill_rewriter.rules.versions.backport_concatv2 import BackportConcatV2
from modelmill_rewriter.rules.versions.backport_tensor_array_v3 import BackportTensorArrayV3
from modelmill_rewriter.rules.versions.lower_operations import LowerOperations
from modelmill_rewriter.rules.versions.raise_operations import RaiseOperations
from modelmill_rewriter.rules.versions.remove_default_attributes import RemoveDefaultAttributes
from modelmill_rewriter.rules.versions.replace_select_operations import ReplaceSelectOperations

PASSES = (
    BackportConcatV2(),
    BackportTensorArrayV3(),
    LowerOperations(),
    RaiseOperations(),
    RemoveDefaultAttributes(),
    ReplaceSelectOperations(),
)

__all__ = ["PASSES"]
