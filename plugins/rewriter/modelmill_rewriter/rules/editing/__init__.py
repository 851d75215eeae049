"""Names, attributes, devices and order, as a user asks for them."""

from modelmill_rewriter.rules.editing.bypass_nodes import BypassNodes
from modelmill_rewriter.rules.editing.cut_graph import CutGraph
from modelmill_rewriter.rules.editing.delete_nodes import DeleteNodes
from modelmill_rewriter.rules.editing.insert_placeholder import InsertPlaceholder
from modelmill_rewriter.rules.editing.rename_nodes import RenameNodes
from modelmill_rewriter.rules.editing.replace_constant import ReplaceConstant
from modelmill_rewriter.rules.editing.retype_input import RetypeInput
from modelmill_rewriter.rules.editing.set_attribute import SetAttribute

PASSES = (
    BypassNodes(),
    CutGraph(),
    DeleteNodes(),
    InsertPlaceholder(),
    RenameNodes(),
    ReplaceConstant(),
    RetypeInput(),
    SetAttribute(),
)

__all__ = ["PASSES"]
