"""Which tensors of a GraphDef are a model's inputs and outputs, where nobody has said so.

The outputs are the ends of the data flow that starts at the placeholders, once everything is put aside that is there
for training, saving and watching only: gradients and updates, losses and metrics, summaries, assertions. Types and
shapes are read from the nodes; nothing is run.
"""

import json
import re
from typing import Dict, Iterable, List, Set, Tuple

from modelmill_worker import graph_def, tensor_types, tensors
from modelmill_worker.dataflow import Dataflow, reach
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.pipeline_ends import find_pipeline_ends
from modelmill_worker.setting_names import inference_value
from modelmill_worker.signature import Tensor

#: Where data come in.
_SOURCES = re.compile(r"Placeholder(V2|WithDefault)?|.*Dequeue.*|(Iterator|.*Iterator.*)GetNext.*|ReaderRead.*")
#: What a user feeds.
FED = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")

#: Operations that train, save, restore, initialise, watch or assert; what they feed serves the same end.
_BOOKKEEPING = re.compile(
    r"(Resource|Sparse)?(Sparse)?Apply[A-Z].*|.*Assign(Add|Sub)?(VariableOp)?|Scatter(Add|Sub|Update|Mul|Div|Nd.*)"
    r"|ResourceScatter.*|Save(V2|Slices)?|Restore(V2|Slice)?|MergeV2Checkpoints|ShardedFilename"
    r"|.*Summary(V2)?|Assert|NoOp|IsVariableInitialized|VarIsInitializedOp|.*Grad(V[0-9])?|.*BackpropFilter(V2)?"
    r"|WriteFile|DestroyTemporaryVariable|Queue(Enqueue|Close|Size).*"
)
_GRADIENT_SCOPE = re.compile(r"(^|/)gradients(_\d+)?/")
_DIFFERENTIATED = re.compile(r"(?:^|/)gradients(?:_\d+)?/(?P<node>.+?)_grad/")

#: Operations that multiply by or look up weights: a placeholder whose data reach one is an input, not a label.
_WEIGHTED = re.compile(
    r"(Depthwise)?Conv[23]D.*|DepthwiseConv2dNative|(Sparse|Batch)?MatMul(V[0-9])?|BiasAdd(V1)?|FusedBatchNorm.*"
    r"|(Resource)?Gather(V2)?|.*LSTM.*|.*GRU.*|CudnnRNN.*|Einsum"
)
#: What losses and metrics are computed with, after the model's own last operation.
_MEASURING = frozenset(
    re.findall(
        r"\w+",
        """
        Abs Add AddN AddV2 All Any ArgMax ArgMin Cast ConcatV2 Div DivNoNan Equal Exp ExpandDims Gather GatherV2 Greater
        GreaterEqual InTopK InTopKV2 IsFinite IsNan Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr Max Maximum
        Mean Min Minimum Mul Neg NotEqual OneHot Pack Pow Prod Range Rank RealDiv Reshape Rsqrt Select SelectV2 Shape
        ShapeN Size Slice Softplus SparseSoftmaxCrossEntropyWithLogits SoftmaxCrossEntropyWithLogits Sqrt Square
        SquaredDifference Squeeze StopGradient StridedSlice Sub Sum Tile TopKV2 Where ZerosLike
        """,
    )
)
#: Left over in graphs that were cut: a loop's counter, a result that nothing used.
_LOOSE = _MEASURING | {"Exit", "TensorArrayGatherV3", "TensorArrayReadV3", "Merge"}
_CALLS = re.compile(r"(Stateless)?(If|While|Case)|(Stateful)?PartitionedCall")
#: Never what a model is made for.
_NEVER_OUTPUTS = frozenset(
    [
        "Const",
        "Shape",
        "ShapeN",
        "Rank",
        "Size",
        "Variable",
        "VariableV2",
        "VarHandleOp",
        "ReadVariableOp",
        "Switch",
        "RefSwitch",
    ]
)

#: Last operations of a model, and names that people give to them.
_HEADS = frozenset(
    ["Softmax", "LogSoftmax", "Sigmoid", "Tanh", "NonMaxSuppressionV4", "TFLite_Detection_PostProcess", "TopKV2"]
)
_HEAD_NAMES = re.compile(
    r"prob|predict|output|logit|softmax|sigmoid|score|class|box|landmark|heatmap|offset|detection|embedding|label|final",
    re.IGNORECASE,
)
#: A second head that helps to train the layers below.
_AUXILIARY = re.compile(r"(^|/)aux", re.IGNORECASE)
_PASSING_ON = frozenset(["Identity", "Reshape", "Squeeze", "Cast"])


def find_outputs(graph: GraphDef) -> Tuple[Tensor, ...]:
    """The tensors that the model was most likely made to compute, best first; empty where none can be told."""
    return tuple(tensor for tensor, _ in ranked_outputs(graph))


def ranked_outputs(graph: GraphDef) -> List[Tuple[Tensor, str]]:
    """As `find_outputs`, each with the reason for its rank in a few words."""
    flow = Dataflow(graph)
    aside = _bookkeeping(flow)
    sources = [node.name for node in graph.node if _SOURCES.fullmatch(node.op) and not is_setting(node)]
    live = flow.descendants(sources, without=aside) - set(sources)
    live -= _measurements(flow, live, _labels(flow, sources, aside))
    ends = [name for name in flow.nodes if name in live and not any(user in live for user in flow.consumers[name])]
    ends = _leave_out_loose_ends(flow, ends)
    ends.sort(key=lambda name: -_promise(flow, name))
    return [(tensor, _reason(flow, name)) for name in ends for tensor in output_tensors(flow.nodes[name])]


def find_inputs(graph: GraphDef, outputs: Iterable[str]) -> Tuple[Tensor, ...]:
    """The tensors to feed for these nodes, best first.

    First come placeholders, whole ones before scalars such as `is_training`, then what an input pipeline hands over,
    which is to be cut off there.

    Settings (see `is_setting`) are no inputs.
    """
    return tuple(tensor for tensor, _ in ranked_inputs(graph, outputs))


def ranked_inputs(graph: GraphDef, outputs: Iterable[str]) -> List[Tuple[Tensor, str]]:
    """As `find_inputs`, each with the reason for its rank in a few words."""
    outputs = list(outputs)
    flow = Dataflow(graph)
    needed = flow.ancestors(outputs)
    found = [
        placeholder_tensor(node, graph.versions.producer)
        for node in graph.node
        if node.name in needed and node.op in FED and not is_setting(node)
    ]
    found.sort(key=lambda tensor: tensor.shape == ())
    ranked = [(tensor, _reason_to_feed(tensor)) for tensor in found]
    for end in find_pipeline_ends(graph, outputs):
        tensor = Tensor(end.tensor, graph_def.tensor_name(end.tensor), end.dtype, end.shape)
        where = "where the network takes it" if end.late else "what the input pipeline hands over"
        ranked.append((tensor, "{} ({}), to be fed instead".format(where, end.operation)))
    return ranked


def _reason_to_feed(tensor: Tensor) -> str:
    value = inference_value(tensor.name, tensor.dtype) if tensor.shape in (None, ()) else None
    if value is not None:
        return "a setting, {} in inference unless it is named as an input".format(json.dumps(value))
    return "a scalar to feed" if tensor.shape == () else "a placeholder to feed"


def is_setting(node: NodeDef) -> bool:
    """Whether a node is a scalar placeholder with a default: a checkpoint's path, `is_training`, a dropout rate."""
    return node.op == "PlaceholderWithDefault" and graph_def.shape_of_placeholder(node, producer=0) == ()


def placeholder_tensor(node: NodeDef, producer: int) -> Tensor:
    """The signature tensor of a placeholder in a graph that this producer version wrote."""
    return Tensor(
        name=node.name,
        tensor=node.name + ":0",
        dtype=tensors.data_type(node.attr["dtype"].type).name,
        shape=graph_def.shape_of_placeholder(node, producer),
    )


def output_tensors(node: NodeDef) -> Tuple[Tensor, ...]:
    """All that a node gives out; the first under the node's own name, further ones as "node:1"."""
    return tuple(output_tensor(node, index) for index in range(tensor_types.output_count(node)))


def output_tensor(node: NodeDef, index: int) -> Tensor:
    """One output of a node, with the type and shape that the node itself tells."""
    tensor = "{}:{}".format(node.name, index)
    return Tensor(
        name=node.name if index == 0 else tensor,
        tensor=tensor,
        dtype=tensor_types.output_dtype(node, index),
        shape=tensor_types.told_shape(node, index),
    )


def _bookkeeping(flow: Dataflow) -> Set[str]:
    """Nodes of training, saving and watching, with all that follows from them."""
    starts = [
        name for name, node in flow.nodes.items() if _GRADIENT_SCOPE.search(name) or _BOOKKEEPING.fullmatch(node.op)
    ]
    return flow.descendants(starts)


def _labels(flow: Dataflow, sources: List[str], aside: Set[str]) -> Set[str]:
    """What depends on training targets: on sources whose data meet no weights although the model is trained.

    Of what a queue or an iterator hands over, each part is a source of its own; there, a graph without gradients, one
    that measures a model, has targets too.
    """
    is_trained = any(_GRADIENT_SCOPE.search(name) for name in flow.nodes)
    weighted = [name for name, node in flow.nodes.items() if _WEIGHTED.fullmatch(node.op)]
    meeting_weights = reach(weighted, flow.feeders, without=aside)
    of_labels: List[str] = []
    has_input = False
    for source in sources:
        for users in _users_by_output(flow, source).values():
            if any(user in meeting_weights for user in users):
                has_input = True
            elif is_trained or flow.nodes[source].op not in FED:
                of_labels.extend(users)
    return flow.descendants(of_labels, without=aside) if has_input else set()


def _users_by_output(flow: Dataflow, name: str) -> Dict[str, List[str]]:
    """The nodes that take each output of a node, by the output's tensor name."""
    found: Dict[str, List[str]] = {}
    for user in dict.fromkeys(flow.consumers[name]):
        for reference in graph_def.data_inputs(flow.nodes[user]):
            if graph_def.node_name(reference) == name:
                found.setdefault(graph_def.tensor_name(reference), []).append(user)
    return found


def _measurements(flow: Dataflow, live: Set[str], labelled: Set[str]) -> Set[str]:
    """Losses, metrics and what only they and other put-aside nodes use, from the ends of the data flow backwards."""
    differentiated = _differentiated(flow)
    dropped = labelled & live
    waiting = [name for name in live if not flow.consumers[name] or name in dropped]
    waiting += [name for name in live if any(user not in live for user in flow.consumers[name])]
    while waiting:
        name = waiting.pop()
        if name not in live or any(user in live and user not in dropped for user in flow.consumers[name]):
            continue
        if name not in dropped and not _measures(flow, name, differentiated):
            continue
        dropped.add(name)
        waiting.extend(feeder for feeder in dict.fromkeys(flow.feeders[name]) if feeder not in dropped)
    return dropped


def _differentiated(flow: Dataflow) -> Set[str]:
    """The nodes that tf.gradients went through: it names a scope after each."""
    matches = (_DIFFERENTIATED.search(name) for name in flow.nodes)
    return {match.group("node") for match in matches if match}


def _measures(flow: Dataflow, name: str, differentiated: Set[str]) -> bool:
    """Whether a node at an end only measures: a loss, or arithmetic that nobody named, for something put aside."""
    if not flow.consumers[name]:
        return name in differentiated
    return flow.nodes[name].op in _MEASURING and _has_default_name(flow.nodes[name])


def _leave_out_loose_ends(flow: Dataflow, ends: List[str]) -> List[str]:
    """Without what nobody can fetch or want; unnamed arithmetic is left out only where something better is there."""
    loops = flow.inside_loops()
    possible = [
        name
        for name in ends
        if name not in loops and flow.nodes[name].op not in _NEVER_OUTPUTS and not _is_pivot(flow, name)
    ]
    wanted = [name for name in possible if not _is_loose(flow, name) and not _AUXILIARY.search(name)]
    return wanted or possible


def _is_pivot(flow: Dataflow, name: str) -> bool:
    """Whether an end only says which branch of a condition runs: "cond/switch_t" is an Identity of a Switch."""
    feeders = flow.feeders[name] if flow.nodes[name].op == "Identity" else []
    return any(flow.nodes[feeder].op in ("Switch", "RefSwitch") for feeder in feeders)


def _is_loose(flow: Dataflow, name: str) -> bool:
    node = flow.nodes[name]
    feeders = flow.feeders[name]
    if node.op == "Identity" and feeders and _CALLS.fullmatch(flow.nodes[feeders[0]].op):
        # TensorFlow 2 puts one behind every result of a condition, a loop or a call.
        return _has_default_name(node)
    return node.op in _LOOSE and _has_default_name(node)


def _has_default_name(node: NodeDef) -> bool:
    """Whether the node is named after its operation, as in "loss/sub_1", so that nobody cared to name it."""
    operation = re.sub(r"V\d$", "", node.op).lower()
    leaf = node.name.rsplit("/", 1)[-1].replace("_", "").lower()
    return leaf.startswith(operation) or leaf.startswith(_PYTHON_NAMES)


#: Default names that Python functions give to operations of another name.
_PYTHON_NAMES = ("truediv", "div", "clipbyvalue", "stack", "concat", "tensorarraystack", "shape", "tofloat", "toint")


def _promise(flow: Dataflow, name: str) -> int:
    """How much a node looks like what people want from a model: 3 at most."""
    return 2 * (_head(flow, name).op in _HEADS) + bool(_HEAD_NAMES.search(name))


def _head(flow: Dataflow, name: str) -> NodeDef:
    """The node whose result an end passes on, perhaps in another shape or type."""
    return flow.nodes[flow.passed_on(name, _PASSING_ON)[-1]]


def _reason(flow: Dataflow, name: str) -> str:
    """Why an end of the data flow stands where it does."""
    head = _head(flow, name)
    named = _HEAD_NAMES.search(name)
    reasons = ["a {} ends the data flow".format(head.op) if head.op in _HEADS else "the data flow ends here"]
    if named:
        reasons.append('its name says "{}"'.format(named.group(0).lower()))
    return ", ".join(reasons)
