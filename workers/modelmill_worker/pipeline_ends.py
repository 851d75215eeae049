"""Where the data of a training graph leave its input pipeline: the tensors to feed where there is no placeholder.

Inspector and freezer must choose alike, so both choose here.
"""

import re
from dataclasses import dataclass
from typing import Callable, Iterable, List, Set

from modelmill_worker import graph_def, tensor_types
from modelmill_worker.dataflow import Dataflow, reach
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.tensor_types import Shape

#: What hands over data that lie outside of the graph.
SOURCES = re.compile(r".*Dequeue.*|.*Iterator.*GetNext.*|ReaderRead.*|ReadFile|PyFunc(Stateless)?|EagerPyFunc|Unstage")
#: What turns files and records into tensors.
_DECODERS = re.compile(r"Decode.*|Parse(Single)?(Sequence)?Example.*")
#: A file's image has no batch yet.
_SINGLE = re.compile(r"Decode(AndCrop)?(Jpeg|Png|Image|Bmp|Gif)|DecodeRaw")
_OF_ONE = re.compile(_SINGLE.pattern + r"|QueueDequeue(V2)?|ReaderRead(V2)?|ReadFile|ParseSingleExample")
_RANDOM = re.compile(
    r"(Stateless)?Random(Uniform|UniformInt|StandardNormal|Normal|Gamma|Poisson|Shuffle|Crop)(V[0-9])?|Multinomial"
    r"|(Parameterized|Stateless)?TruncatedNormal(V2)?|(Stateless)?SampleDistortedBoundingBox(V2)?"
)
#: Operations that multiply by or look up weights.
_WEIGHTED = re.compile(
    r"(Depthwise)?Conv[23]D.*|DepthwiseConv2dNative|(Sparse|Batch)?MatMul(V[0-9])?|BiasAdd(V1)?|FusedBatchNorm.*"
    r"|(Resource)?Gather(V2)?|.*LSTM.*|.*GRU.*|CudnnRNN.*|Einsum|ReadVariableOp"
)
#: What is fed needs no cut.
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
#: What tells of a tensor without passing its values on.
_MEASURES = frozenset(["Shape", "ShapeN", "Rank", "Size"])


@dataclass(frozen=True)
class End:
    """A tensor that leaves an input pipeline.

    tensor: as nodes write it, "x" or "x:1".
    operation: of its node.
    late: whether it lies behind operations on single examples or random ones, at the network's door.
    """

    tensor: str
    operation: str
    dtype: str
    shape: Shape
    late: bool


def find_pipeline_ends(graph: GraphDef, outputs: Iterable[str]) -> List[End]:
    """The tensors at which the output nodes can be cut off from input pipelines; none where there is no pipeline."""
    flow = Dataflow(graph)
    needed = flow.ancestors(outputs)
    fed = flow.descendants(name for name, node in flow.nodes.items() if node.op in _PLACEHOLDERS)
    sources = {name for name in needed if SOURCES.fullmatch(flow.nodes[name].op) and name not in fed}
    if not sources:
        return []
    network = _network(flow, needed)
    early = _early(flow, needed, sources)
    late = _late(flow, needed, sources, network)
    wants_late = (
        late and _cuts_off(flow, outputs, sources, late) and not _is_steady(flow, needed, sources, network, early)
    )
    chosen = late if wants_late else early
    return [_end(flow, tensor, bool(wants_late)) for tensor in chosen]


def is_batched(flow: Dataflow, tensor: str) -> bool:
    """Whether a tensor's first dimension may be a batch's.

    It is where the network takes the tensor as it is, and else where no operation before it handles single examples: a
    queue may hand over batches one by one.
    """
    wanted = tensor_types.shape_for_users(flow, tensor)
    shape = tensor_types.find_shape(flow, tensor)
    if wanted is not None and shape is not None:
        return len(wanted) == len(shape)
    before = [flow.nodes[name].op for name in flow.ancestors([graph_def.node_name(tensor)])]
    return not any(_OF_ONE.fullmatch(operation) for operation in before)


def _end(flow: Dataflow, tensor: str, late: bool) -> End:
    node = flow.nodes[graph_def.node_name(tensor)]
    dtype = tensor_types.output_dtype(node, graph_def.output_index(tensor))
    return End(tensor, node.op, dtype, tensor_types.find_shape(flow, tensor), late)


def _network(flow: Dataflow, needed: Set[str]) -> Set[str]:
    """What comes from weights: from variables or from operations that have some."""
    starts = [
        name
        for name in needed
        if _WEIGHTED.fullmatch(flow.nodes[name].op) or flow.nodes[name].op in graph_def.VARIABLES
    ]
    return flow.descendants(starts)


def _early(flow: Dataflow, needed: Set[str], sources: Set[str]) -> List[str]:
    """What the last operations of the pipeline hand over, in the order of the graph."""
    inside = set(sources)
    waiting = list(sources)
    while waiting:
        for user in flow.consumers[waiting.pop()]:
            if user in needed and user not in inside and _DECODERS.fullmatch(flow.nodes[user].op):
                inside.add(user)
                waiting.append(user)
    return _edges(flow, needed, lambda feeder, user: feeder in inside and user not in inside)


def _late(flow: Dataflow, needed: Set[str], sources: Set[str], network: Set[str]) -> List[str]:
    """The tensors with which the data enter the network."""
    measures = {name for name in needed if flow.nodes[name].op in _MEASURES}
    region = (flow.descendants(sources, without=measures) & needed) - network
    return _edges(flow, needed, lambda feeder, user: feeder in region and user in network)


def _edges(flow: Dataflow, needed: Set[str], crosses: Callable[[str, str], bool]) -> List[str]:
    found: List[str] = []
    for name in flow.nodes:
        if name not in needed:
            continue
        for reference in graph_def.data_inputs(flow.nodes[name]):
            tensor = reference[:-2] if reference.endswith(":0") else reference
            if tensor not in found and crosses(graph_def.node_name(reference), name):
                found.append(tensor)
    return found


def _cuts_off(flow: Dataflow, outputs: Iterable[str], sources: Set[str], cut: List[str]) -> bool:
    """Whether the outputs depend on no source any more, with these tensors fed."""
    fed = {graph_def.node_name(tensor) for tensor in cut}
    feeders = {name: [] if name in fed else names for name, names in flow.feeders.items()}
    return not reach(outputs, feeders) & (sources - fed)


def _is_steady(flow: Dataflow, needed: Set[str], sources: Set[str], network: Set[str], early: List[str]) -> bool:
    """Whether the pipeline hands over whole batches of numbers, which nothing changes at random behind it."""
    for tensor in early:
        node = flow.nodes[graph_def.node_name(tensor)]
        dtype = tensor_types.output_dtype(node, graph_def.output_index(tensor))
        if dtype in ("string", "variant") or _SINGLE.fullmatch(node.op):
            return False
    random = flow.descendants(name for name in needed if _RANDOM.fullmatch(flow.nodes[name].op))
    before = (flow.descendants(sources) & needed) - network - sources
    return not random & before
