"""One walk over a graph in the order of its data, with what is known of each tensor.

Loops of TensorFlow 1 close over NextIteration: a Merge is met before its second input is known, and then has what its
first input tells, less what a second walk over the loop contradicts. Functions are walked where they are called,
with what is known of the arguments.
"""

import heapq
from collections import ChainMap, deque
from dataclasses import replace
from typing import Callable, Deque, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.shapes import (  # noqa: F401 - these register their rules
    arrays,
    convolutions,
    elementwise,
    images_and_sound,
    products,
    sources,
)
from modelmill_worker.shapes.known import Known, Shape, Value, agree, combine
from modelmill_worker.shapes.operation import RULES, VALUE_RULES, Operation
from modelmill_worker.tensor_types import output_count

_MERGES = frozenset(["Merge", "RefMerge"])
_ENTERS = frozenset(["Enter", "RefEnter"])
_BACK = frozenset(["NextIteration", "RefNextIteration"])
_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])
_BRANCHES = {"If": "then_branch else_branch", "StatelessIf": "then_branch else_branch"}
_LOOPS = frozenset(["While", "StatelessWhile"])
#: What gives a variable's handle out, or passes it on.
_HANDING_ON = frozenset(["VarHandleOp", "Identity", "Switch", "Merge", "Enter", "Exit", "NextIteration"])
#: How often a loop's body is looked at before what the loop carries counts as unknown.
_MOST_ROUNDS = 4
#: Functions that call one another deeper than that are not followed.
_DEEPEST = 32
#: Nodes of functions are met this often at most: calls of calls may be more than anybody has time for.
_MOST_VISITS = 100000
#: TensorFlow's largest rank (tensorflow/core/framework/tensor_shape.h, MaxDimensions) and largest size.
_LARGEST_RANK, _LARGEST_SIZE = 254, 2**63 - 1
#: A node may claim any number of outputs; more than a few of them count as visits.
_MOST_OUTPUTS, _FEW_OUTPUTS = 65536, 16
#: Nodes to blame for one tensor.
_MOST_CAUSES = 8
#: Output arguments of operations with several, in order, each of one tensor: how a function's nodes name inputs.
OUTPUT_ARGUMENTS = {
    "Switch": ("output_false", "output_true"),
    "Merge": ("output", "value_index"),
    "TopKV2": ("values", "indices"),
    "Unique": ("y", "idx"),
    "FusedBatchNorm": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"),
    "FusedBatchNormV2": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"),
    "FusedBatchNormV3": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3"),
    "DecodeWav": ("audio", "sample_rate"),
    "TensorArrayV3": ("handle", "flow"),
    "NonMaxSuppressionV4": ("selected_indices", "valid_outputs"),
    "NonMaxSuppressionV5": ("selected_indices", "selected_scores", "valid_outputs"),
    "MaxPoolWithArgmax": ("output", "argmax"),
}

Outputs = Tuple[Known, ...]


class Shapes:
    """What is known of every tensor of a graph, and of the functions that it calls."""

    def __init__(self, outputs: Dict[str, Outputs], called: Dict[str, "Shapes"]) -> None:
        #: Node name to its outputs, in order.
        self.outputs = outputs
        #: Name of a calling node to the shapes inside the function that it calls; a loop's are those of its body.
        self.called = called

    def of(self, reference: str) -> Known:
        """What is known of a tensor, by its name or its node's: "x:0", "x:1" or "x"."""
        outputs = self.outputs.get(graph_def.node_name(reference), ())
        index = graph_def.output_index(reference.lstrip("^"))
        return outputs[index] if index < len(outputs) else Known()

    def extend(self, graph: GraphDef) -> None:
        """Work out the shapes of nodes that were added to the graph since, outside loops.

        graph: has those nodes alone; what they read and is not among them must be known already.
        """
        walk = _Walk(_library(graph), int(graph.versions.producer), 0, _Visits())
        self.outputs.update(walk.onto(list(graph.node), self.outputs))
        self.called.update(walk.called)

    def renew(
        self,
        graph: GraphDef,
        ranks: Mapping[str, float],
        consumers: Callable[[str], Iterable[str]],
        changed: Iterable[str],
    ) -> None:
        """Work out anew the shapes of nodes that were changed, and of what follows from those that differ.

        graph: all of it as it is now; one without loops of TensorFlow 1. ranks: greater than those of what a node reads.
        """
        by_name = {node.name: node for node in graph.node}
        walk = _Walk(_library(graph), int(graph.versions.producer), 0, _Visits())
        for name in [name for name in self.outputs if name not in by_name]:
            del self.outputs[name]
        waiting = [(ranks[name], name) for name in set(changed) if name in by_name]
        queued = {name for _, name in waiting}
        heapq.heapify(waiting)
        while waiting:
            _, name = heapq.heappop(waiting)
            before = self.outputs.get(name, ())
            after = walk.node(by_name[name], self.outputs, by_name, {})
            self.outputs[name] = after
            if not _same(before, after):
                further = [(ranks[reader], reader) for reader in consumers(name) if reader not in queued]
                queued.update(reader for _, reader in further)
                for item in further:
                    heapq.heappush(waiting, item)
        self.called.update(walk.called)


def infer(graph: GraphDef, input_shapes: Optional[Mapping[str, Shape]] = None) -> Shapes:
    """The shapes of all tensors of a graph.

    input_shapes: what tensors, by their names or their nodes', are taken to have beside what the graph declares.

    Raises StepError GRAPH_DEF_DAMAGED where the graph has two nodes of one name or an input is missing.
    """
    given = {graph_def.tensor_name(name): shape for name, shape in (input_shapes or {}).items()}
    walk = _Walk(_library(graph), int(graph.versions.producer), 0, _Visits())
    outputs = walk.over(list(graph.node), given)
    return Shapes(outputs, walk.called)


def _library(graph: GraphDef) -> Mapping[str, object]:
    return {function.signature.name: function for function in graph.library.function}


class _Visits:
    """How often nodes may still be met, in all functions together."""

    def __init__(self) -> None:
        self.left = _MOST_VISITS

    def are_left_for(self, count: int) -> bool:
        """Take so many, where there are as many."""
        enough = self.left >= count
        self.left -= count if enough else 0
        return enough


class _Walk:
    """Over the nodes of a graph or of a function's body."""

    def __init__(self, library: Mapping[str, object], producer: int, depth: int, visits: _Visits) -> None:
        self._visits = visits
        self._library = library
        self._producer = producer
        self._depth = depth
        self.called: Dict[str, Shapes] = {}

    def over(
        self, nodes: Sequence[NodeDef], given: Mapping[str, Shape], arguments: Optional[Mapping[str, Known]] = None
    ) -> Dict[str, Outputs]:
        known: Dict[str, Outputs] = {name: (argument,) for name, argument in (arguments or {}).items()}
        by_name = {node.name: node for node in nodes}
        feeders = _feeders(by_name)
        for name in _in_order(nodes, feeders, set(known)):
            known[name] = self.node(by_name[name], known, by_name, given)
        merges = [node.name for node in nodes if node.op in _MERGES]
        if merges:
            self._settle(merges, nodes, feeders, known, by_name, given)
        return known

    def onto(self, nodes: Sequence[NodeDef], there: Mapping[str, Outputs]) -> Dict[str, Outputs]:
        """The outputs of nodes that read what is there, or one another."""
        found: Dict[str, Outputs] = {}
        known = ChainMap(found, there)  # type: ignore[arg-type]
        by_name = {node.name: node for node in nodes}
        feeders = _feeders(by_name)
        outside = {name for names in feeders.values() for name in names if name in there}
        for name in _in_order(nodes, feeders, outside):
            found[name] = self.node(by_name[name], known, by_name, {})
        return found

    def _settle(
        self,
        merges: List[str],
        nodes: Sequence[NodeDef],
        feeders: Mapping[str, Sequence[str]],
        known: Dict[str, Outputs],
        by_name: Mapping[str, NodeDef],
        given: Mapping[str, Shape],
    ) -> None:
        """Walk on from merges whose second input turned out to tell less, until nothing changes.

        Each change makes a shape less known, so a node is met at most a few times.
        """
        consumers: Dict[str, List[str]] = {name: [] for name in by_name}
        for name, names in feeders.items():
            for feeder in names:
                if feeder in consumers:
                    consumers[feeder].append(name)
        waiting: Deque[str] = deque(merges)
        rounds = 8 * len(nodes) + 64
        while waiting and rounds:
            rounds -= 1
            name = waiting.popleft()
            if name not in known:  # on a circle that is no loop
                continue
            before = known[name]
            after = self.node(by_name[name], known, by_name, given)
            if not _same(before, after):
                known[name] = after
                waiting.extend(consumers[name])

    def node(
        self,
        node: NodeDef,
        known: Mapping[str, Outputs],
        by_name: Mapping[str, NodeDef],
        given: Mapping[str, Shape],
    ) -> Outputs:
        """What is known of the outputs of a node, by what is known of those that it reads."""
        inputs = [_fed(reference, known, by_name) for reference in graph_def.data_inputs(node)]
        operation = Operation(node, inputs, self._producer)
        try:
            shapes, value = self._infer(operation, known), None
            if node.op in VALUE_RULES:
                value = VALUE_RULES[node.op](operation)
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            StepError,
        ):  # a node that its own operation would refuse
            shapes, value = [None], None
        if given:
            shapes = [combine(given.get(_tensor(node, at)), shape) for at, shape in enumerate(shapes)]
            if not shapes and _tensor(node, 0) in given:
                shapes = [given[_tensor(node, 0)]]
        told = (
            [tensors.decode_shape(shape) for shape in node.attr["_output_shapes"].list.shape]
            if ("_output_shapes" in node.attr)
            else []
        )
        if len(shapes) > _FEW_OUTPUTS and not self._visits.are_left_for(len(shapes)):
            shapes = shapes[:_FEW_OUTPUTS]
        pairs = _aligned(shapes, told) if told else [(shape, None) for shape in shapes]
        shapes = [_possible(combine(shape, other)) for shape, other in pairs]
        held = operation.shape_attribute("shape") if node.op == "VarHandleOp" else inputs[0].held if inputs else None
        return tuple(
            _knowing(node, shape, inputs, value if index == 0 else None, held) for index, shape in enumerate(shapes)
        )

    def _infer(self, operation: Operation, known: Mapping[str, Outputs]) -> Sequence[Shape]:
        name = operation.node.op
        if name in _MERGES:
            shapes: Sequence[Shape] = [_merged(operation, known), ()]
        elif name in _ENTERS:
            shapes = [operation.shape(0)]
        elif name in RULES:
            shapes = RULES[name](operation)
        elif name in _CALLS:
            shapes = self._call(operation, "f", operation.inputs)
        elif name in _BRANCHES:
            sides = [self._call(operation, side, operation.inputs[1:]) for side in _BRANCHES[name].split()]
            shapes = [agree(one, other) for one, other in zip(*sides)]
        elif name in _LOOPS:
            shapes = self._loop(operation)
        elif name in self._library:
            shapes = self._call(operation, "", operation.inputs)
        else:
            shapes = [None] * min(output_count(operation.node), _MOST_OUTPUTS)
        return shapes

    def _loop(self, operation: Operation) -> Sequence[Shape]:
        """What a loop carries has the shape that it enters and leaves the body with."""
        entering = operation.inputs
        settled = False
        for _ in range(_MOST_ROUNDS):
            leaving = self._call(operation, "body", entering)
            shapes = [agree(known.shape, shape) for known, shape in zip(entering, leaving)]
            settled = shapes == [known.shape for known in entering] or len(shapes) != len(entering)
            if settled:
                break
            entering = [Known(shape, None, known.causes) for shape, known in zip(shapes, entering)]
        if not settled:  # Nothing is known of a loop that still changes what it carries.
            entering = [Known(None, None, known.causes) for known in entering]
            self._call(operation, "body", entering)
        declared = operation.shapes_attribute("output_shapes")
        return [combine(known.shape, shape) for known, shape in _pairs(entering, declared)]

    def _call(self, operation: Operation, attribute: str, arguments: Sequence[Known]) -> Sequence[Shape]:
        name = operation.attribute(attribute).func.name if attribute else operation.node.op
        function = self._library.get(name)
        size = len(function.node_def) + 1 if function is not None else 0  # type: ignore[attr-defined]
        if function is None or self._depth >= _DEEPEST or not self._visits.are_left_for(size):
            return operation.shapes_attribute("output_shapes")
        inner = _Walk(self._library, self._producer, self._depth + 1, self._visits)
        body, outputs = _walk_function(function, arguments, inner)
        self.called[operation.node.name + ("/" + attribute if attribute.endswith("_branch") else "")] = body
        return [known.shape for known in outputs]


def _tensor(node: NodeDef, index: int) -> str:
    return "{}:{}".format(node.name, index)


def _same(before: Outputs, after: Outputs) -> bool:
    """Whether two pictures of a node's outputs tell the same, by shape and by value."""
    return len(before) == len(after) and all(
        one.shape == other.shape and _value_text(one) == _value_text(other) for one, other in zip(before, after)
    )


def _value_text(known: Known) -> str:
    return "" if known.value is None else repr((known.value.shape, known.value.tolist()))


def _walk_function(function: object, arguments: Sequence[Known], walk: _Walk) -> Tuple[Shapes, List[Known]]:
    """The shapes inside a function called with these arguments, and those of what it returns."""
    signature = function.signature  # type: ignore[attr-defined]
    named = {argument.name: known for argument, known in zip(signature.input_arg, arguments)}
    nodes = list(function.node_def)  # type: ignore[attr-defined]
    outputs = walk.over(nodes, {}, named)
    by_name = {node.name: node for node in nodes}
    returned = function.ret  # type: ignore[attr-defined]
    results = [_fed(returned[argument.name], outputs, by_name) for argument in signature.output_arg]
    return Shapes(outputs, walk.called), results


def _feeders(nodes: Mapping[str, NodeDef]) -> Dict[str, List[str]]:
    """The nodes that each node reads."""
    return {
        name: [
            entry if entry in nodes else graph_def.node_name(entry)  # most entries are plain names
            for entry in node.input
            if not entry.startswith("^")
        ]
        for name, node in nodes.items()
    }


def _in_order(nodes: Sequence[NodeDef], feeders: Mapping[str, Sequence[str]], there: Set[str]) -> List[str]:
    """The nodes' names, each after those that feed it; the way back into a loop does not count.

    What lies on a circle that is no loop, or needs what is missing, is left out.
    """
    by_name = {node.name: node for node in nodes}
    consumers: Dict[str, List[str]] = {name: [] for name in by_name}
    open_inputs: Dict[str, int] = {}
    for node in nodes:
        if node.op in _MERGES:
            needed = [feeder for feeder in feeders[node.name] if _op(by_name, feeder) not in _BACK]
        else:
            needed = list(feeders[node.name])
        waited_for = [feeder for feeder in needed if feeder not in there]
        open_inputs[node.name] = len(waited_for)
        for feeder in waited_for:
            if feeder in consumers:
                consumers[feeder].append(node.name)
    ready = deque(node.name for node in nodes if not open_inputs[node.name])
    order = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for consumer in consumers[name]:
            open_inputs[consumer] -= 1
            if not open_inputs[consumer]:
                ready.append(consumer)
    return order


def _op(by_name: Mapping[str, NodeDef], name: str) -> str:
    return str(by_name[name].op) if name in by_name else ""


def _fed(reference: str, known: Mapping[str, Outputs], by_name: Mapping[str, NodeDef]) -> Known:
    """What is known of an input, written as in a graph ("x:1") or as in a function ("x:output:0")."""
    outputs = known.get(reference, ())
    if outputs:
        return outputs[0]
    name, _, rest = reference.partition(":")
    outputs = known.get(name, ())
    argument, _, number = rest.rpartition(":")
    index = int(number) if number.isdecimal() else 0
    if argument:
        arguments = OUTPUT_ARGUMENTS.get(_op(by_name, name), ())
        index += arguments.index(argument) if argument in arguments else 0
    return outputs[index] if index < len(outputs) else Known()


def _merged(operation: Operation, known: Mapping[str, Outputs]) -> Shape:
    """A Merge gives what any of its inputs is; one that is not known yet is passed over."""
    shapes = [
        fed.shape
        for reference, fed in zip(graph_def.data_inputs(operation.node), operation.inputs)
        if graph_def.node_name(reference) in known
    ]
    if not shapes:
        return None
    result = shapes[0]
    for shape in shapes[1:]:
        result = agree(result, shape)
    return result


def _knowing(node: NodeDef, shape: Shape, inputs: Sequence[Known], value: Value, held: Shape) -> Known:
    """A tensor with the nodes that are to blame for what is not known of it."""
    if value is not None and not all(item is None or abs(item) <= _LARGEST_SIZE for item in value.ravel()):
        value = None
    whole = Known(shape, value, held=held if node.op in _HANDING_ON else None)
    if whole.is_whole:
        return whole
    causes: FrozenSet[str] = frozenset().union(*(known.causes for known in inputs))
    if len(causes) > _MOST_CAUSES:
        causes = frozenset(sorted(causes)[:_MOST_CAUSES])
    return replace(whole, causes=causes or frozenset([node.name]))


def _possible(shape: Shape) -> Shape:
    """A shape that TensorFlow could hold; what a damaged graph claims beyond that is taken as unknown."""
    if shape is None or len(shape) > _LARGEST_RANK:
        return None
    if not shape or (min(shape) >= 0 and max(shape) <= _LARGEST_SIZE):
        return shape
    return tuple(size if 0 <= size <= _LARGEST_SIZE else -1 for size in shape)


def _aligned(shapes: Sequence[Shape], told: Sequence[Shape]) -> List[Tuple[Shape, Shape]]:
    count = max(len(shapes), len(told))
    longer = [list(side) + [None] * (count - len(side)) for side in (shapes, told)]
    return list(zip(*longer))


def _pairs(entering: Sequence[Known], declared: Sequence[Shape]) -> List[Tuple[Known, Shape]]:
    return [(known, declared[index] if index < len(declared) else None) for index, known in enumerate(entering)]
