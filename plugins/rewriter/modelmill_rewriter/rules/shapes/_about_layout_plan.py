"""What a graph over NCHW images becomes, node by node, found out before anything is changed.

The nodes are looked at in the order of the data. One that says NCHW is changed wherever it may be. One that works on
images in any order follows where an operand has been turned already, or where it only leads up to such a node.
"""

from typing import Container, Dict, FrozenSet, List, Optional, Set

from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter._order import topological_order
from modelmill_rewriter.rules.shapes._about_layout_changes import (
    BROADCASTING,
    POINTWISE,
    Change,
    Form,
    Node,
    change_of,
    flattened_image,
    image_operand,
    is_channels_first,
    product_with_a_row,
)
from modelmill_rewriter.rules.shapes._about_layouts import TO_FIRST, TO_LAST
from modelmill_rewriter.rules_api import OUTSIDE, GraphIndex, Place, Refusal, Tensor, places

_PADDING = ("Pad", "PadV2", "MirrorPad")


class Plan:
    """What each node becomes.

    changes: by the node's name.
    written_for_images: the nodes among them that say NCHW.
    turned: the tensors that become NHWC images.
    sources: for a tensor that a Transpose makes an NCHW image, the NHWC image that it is made of.
    placeholders: the inputs that take NHWC images.
    """

    def __init__(self, graph: GraphIndex, with_inputs: bool) -> None:
        self._graph = graph
        self._places: Dict[str, Place] = places(graph)
        self._with_inputs = with_inputs
        self.changes: Dict[str, Change] = {}
        self.written_for_images: List[str] = []
        self.turned: Set[Tensor] = set()
        self.sources: Dict[Tensor, Tensor] = {}
        self.placeholders: List[str] = []
        self.refused: List[Refusal] = []
        order = topological_order({name: graph.node(name) for name in graph.names()})[0]
        first = [name for name in order if is_channels_first(graph.node(name))]
        self._first = frozenset(name for name in first if self._may_change(name))
        self._leading = self._leading_to_images(order) if self._first or with_inputs else frozenset()
        for name in order:
            self._look_at(name)

    def is_last(self, tensor: Tensor) -> bool:
        """Whether the tensor can be had with its channels last without a Transpose."""
        return tensor in self.turned or tensor in self.sources

    def saves_transposes(self) -> bool:
        """Whether fewer Transposes are left than there are."""
        gone = sum(change.operation == "Identity" for change in self.changes.values())
        gone += sum(self._is_read_turned_only(tensor) for tensor in self.sources)
        read = {
            tensor
            for name, change in self.changes.items()
            for tensor, form in zip(self._graph.data_inputs(name), change.operands)
            if form is Form.LAST and not self.is_last(tensor)
        }
        return gone > len(read) + sum(not self._is_read_turned_only(tensor) for tensor in self.turned)

    def _is_read_turned_only(self, tensor: Tensor) -> bool:
        """Whether nobody needs the image with its channels first."""
        for reader in self._graph.consumers(tensor.node):
            operands = self.changes[reader].operands if reader in self.changes else ()
            for at, read in enumerate(self._graph.data_inputs(reader)):
                if read == tensor and (at >= len(operands) or operands[at] is not Form.LAST):
                    return False
        return tensor.node not in self._graph.kept or tensor.node in self.placeholders

    def node(self, name: str) -> Node:
        """A node with what is planned so far."""
        return Node(self._graph, name, self.is_last)

    def _may_change(self, name: str) -> bool:
        return not self._graph.is_fed(name) and self._places.get(name, OUTSIDE) == OUTSIDE

    def _look_at(self, name: str) -> None:
        node = self._graph.node(name)
        if self._graph.is_fed(name):
            self._look_at_input(name, node)
        elif is_channels_first(node):
            self._look_at_first(name)
        elif self._may_change(name):
            self._look_at_other(name)

    def _look_at_input(self, name: str, node: NodeDef) -> None:
        shape = self._graph.shape(Tensor(name))
        wanted = any(self._reads_as_image(reader, name, self._leading) for reader in self._graph.consumers(name))
        if self._with_inputs and wanted and node.op == "Placeholder" and shape is not None and len(shape) == 4:
            self.turned.add(Tensor(name))
            self.placeholders.append(name)

    def _look_at_first(self, name: str) -> None:
        reason = None
        change = None
        if name not in self._first:
            reason = "it lies inside a loop or a condition"
        elif any(tensor.node == name and tensor.output for tensor in self._graph.interface.outputs):
            reason = "another of its outputs than the first is an output of the model"
        else:
            change = change_of(self.node(name))
            reason = "the rank of what it reads is not known, or is not 4" if change is None else None
        if change is not None:
            self.written_for_images.append(name)
            self._take(name, change)
        elif reason is not None:
            self.refused.append(Refusal(name, reason))

    def _look_at_other(self, name: str) -> None:
        node = self.node(name)
        if name not in self._leading and not any(self.is_last(tensor) for tensor in node.inputs):
            self._remember_source(node)
            return
        change = change_of(node) or self._over_a_row(node)
        if change is not None and not (name in self._graph.kept and len(change.turned) > 1):
            self._take(name, change)

    def _take(self, name: str, change: Change) -> None:
        self.changes[name] = change
        self.turned.update(Tensor(name, index) for index in change.turned)

    def _remember_source(self, node: Node) -> None:
        if node.definition.op == "Transpose" and node.numbers(1) == TO_FIRST:
            self.sources[Tensor(node.name)] = node.inputs[0]

    def _over_a_row(self, node: Node) -> Optional[Change]:
        """A flattened image, where all that read it are products whose weights can follow; they are planned as well."""
        image = flattened_image(node)
        readers = self._graph.consumers(node.name)
        if image is None or not node.is_last(0) or node.name in self._graph.kept or not readers:
            return None
        products: Dict[str, Change] = {}
        for reader in readers:
            seen = self.node(reader)
            change = product_with_a_row(seen, image) if self._may_change(reader) else None
            if change is None or seen.inputs[0] != Tensor(node.name) or node.name in self._graph.control_inputs(reader):
                return None
            products[reader] = change
        self.changes.update(products)
        return Change((Form.LAST, Form.AS_IS), turned=())

    def _reads_as_image(self, reader: str, name: str, leading: Container[str]) -> bool:
        """Whether a node takes what another gives out for an image, which it will want with its channels last."""
        if reader in self._first:
            return self._graph.data_inputs(reader)[image_operand(self._graph.node(reader))] == Tensor(name)
        return reader in leading or (self._with_inputs and self._turns_to_last(reader))

    def _turns_to_last(self, name: str) -> bool:
        node = self.node(name)
        return node.definition.op == "Transpose" and node.numbers(1) == TO_LAST and self._may_change(name)

    def _leading_to_images(self, order: List[str]) -> FrozenSet[str]:
        """What only leads up to NCHW operations, one image at a time: it can as well come behind the Transpose."""
        found: Set[str] = set()
        for name in reversed(order):
            readers = self._graph.consumers(name)
            if (
                readers
                and name not in self._graph.kept
                and self._may_change(name)
                and all(self._reads_as_image(reader, name, found) for reader in readers)
                and self._reads_one_image(name)
            ):
                found.add(name)
        return frozenset(found)

    def _reads_one_image(self, name: str) -> bool:
        operation = self._graph.node(name).op
        shape = self._graph.shape(Tensor(name))
        if operation not in POINTWISE | BROADCASTING and operation not in _PADDING:
            return False
        computed = [item for item in self._graph.data_inputs(name) if self._graph.constant(item) is None]
        return shape is not None and len(shape) == 4 and len(computed) == 1
