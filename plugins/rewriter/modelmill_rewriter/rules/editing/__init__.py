"""Names, attributes, devices and order, as a user asks for them."""

from modelmill_rewriter.rules.editing.add_default_attributes import AddDefaultAttributes
from modelmill_rewriter.rules.editing.bypass_nodes import BypassNodes
from modelmill_rewriter.rules.editing.cut_graph import CutGraph
from modelmill_rewriter.rules.editing.delete_nodes import DeleteNodes
from modelmill_rewriter.rules.editing.insert_logging import InsertLogging
from modelmill_rewriter.rules.editing.insert_placeholder import InsertPlaceholder
from modelmill_rewriter.rules.editing.obfuscate_names import ObfuscateNames
from modelmill_rewriter.rules.editing.rename_attribute import RenameAttribute
from modelmill_rewriter.rules.editing.rename_node import RenameNode
from modelmill_rewriter.rules.editing.rename_nodes import RenameNodes
from modelmill_rewriter.rules.editing.rename_op import RenameOp
from modelmill_rewriter.rules.editing.replace_constant import ReplaceConstant
from modelmill_rewriter.rules.editing.retype_input import RetypeInput
from modelmill_rewriter.rules.editing.set_attribute import SetAttribute
from modelmill_rewriter.rules.editing.set_device import SetDevice
from modelmill_rewriter.rules.editing.sort_by_execution_order import SortByExecutionOrder

PASSES = (
    AddDefaultAttributes(),
    BypassNodes(),
    CutGraph(),
    DeleteNodes(),
    InsertLogging(),
    InsertPlaceholder(),
    ObfuscateNames(),
    RenameAttribute(),
    RenameNode(),
    RenameNodes(),
    RenameOp(),
    ReplaceConstant(),
    RetypeInput(),
    SetAttribute(),
    SetDevice(),
    SortByExecutionOrder(),
)

__all__ = ["PASSES"]
