"""How much memory TFLite plans for a model's tensors: the facts `arena_bytes` and `arena`.

TFLite lays out all tensors of a subgraph that are neither constants nor sized only at run time in one block, the
arena, so that tensors which are never needed at once share bytes (tensorflow/lite/arena_planner.cc and
simple_memory_arena.cc, read at 2.21):
- a tensor is needed from the operator that makes it to the last that takes it; inputs, outputs and variables always;
- tensors that are needed always are placed first, the others from the largest to the smallest;
- each goes into the smallest gap between tensors needed at the same time that it fits into, else behind them;
- every place is a multiple of 64 bytes.

With reference kernels this is what the interpreter takes, to the byte, where no operator writes where its input lies.
Those that do, such as ADD and RESHAPE in newer runtimes, save up to a quarter in what was measured. Not in it: the
temporaries that faster kernels ask for (an unrolled image may be larger than all else), weights that are made floats
at the start, and tensors of unknown size.
"""

from dataclasses import dataclass
from typing import Dict, List, Sequence

from modelmill_inspector.tflite._model import ABSENT, Model, Subgraph

ALIGNMENT = 64
#: The time grows with the square: beyond as many tensors, in one graph or several, they count as if none shared bytes.
_MOST_TENSORS = 5000


@dataclass(frozen=True)
class Block:
    """A tensor to place: its size in bytes, and the first and the last operator that it is needed at."""

    size: int
    first: int
    last: int


def estimate_arena(model: Model) -> Dict[str, int]:
    """The fact `arena`.

    bytes: of all subgraphs' arenas together, each of which has one of its own.
    always_bytes: of the tensors that are needed always: inputs, outputs, variables.
    dynamic_tensors: how many tensors' sizes are known only at run time and so are counted with 1 for what is unknown,
        or not at all where even that says nothing.
    """
    total, always, dynamic = 0, 0, 0
    steps = _MOST_TENSORS**2
    for graph in model.subgraphs:
        blocks = lifetimes(graph)
        end = len(graph.operators)
        steps -= len(blocks) ** 2
        total += plan(blocks) if steps >= 0 else _apart(blocks)
        always += sum(block.size for block in blocks if block.first == 0 and block.last == end)
        dynamic += sum(
            -1 in tensor.signature or tensor.dtype in ("string", "resource", "variant")
            for tensor in graph.tensors
            if not tensor.constant
        )
    return {"bytes": total, "always_bytes": always, "dynamic_tensors": dynamic}


def lifetimes(graph: Subgraph) -> List[Block]:
    """What has to be placed for one subgraph, in the order of the tensors."""
    end = len(graph.operators)
    first: Dict[int, int] = {}
    last: Dict[int, int] = {}
    for operator in graph.operators:
        for index in operator.outputs:
            first.setdefault(index, operator.index)
            last.setdefault(index, operator.index)
        for index in operator.inputs:
            last[index] = operator.index
    for index in graph.inputs:
        first[index], last[index] = 0, end
    for index in graph.outputs:
        last[index] = end
    for tensor in graph.tensors:
        if tensor.variable:
            first[tensor.index], last[tensor.index] = 0, end
    blocks = []
    for index in sorted(first):
        if index == ABSENT or graph.tensors[index].constant or not graph.tensors[index].bytes:
            continue
        blocks.append(Block(graph.tensors[index].bytes, first[index], last[index]))
    return blocks


def plan(blocks: Sequence[Block]) -> int:
    """The size of the arena that holds the blocks."""
    if len(blocks) > _MOST_TENSORS:
        return _apart(blocks)
    end = max((block.last for block in blocks), default=0)
    always = [block for block in blocks if block.first == 0 and block.last == end]
    others = [block for block in blocks if not (block.first == 0 and block.last == end)]
    placed: List[List[int]] = []  # [place, end of its bytes, first, last], by place
    for block in always + sorted(others, key=lambda block: (-block.size, block.first)):
        _place(placed, block)
    return max((one[1] for one in placed), default=0)


def _apart(blocks: Sequence[Block]) -> int:
    """The size of an arena where no two blocks share bytes."""
    return sum(_aligned(block.size) for block in blocks)


def _place(placed: List[List[int]], block: Block) -> None:
    """Into the smallest gap among those needed at the same time, else behind them."""
    at_once = [one for one in placed if one[2] <= block.last and one[3] >= block.first]
    best, best_gap, position = -1, 0, 0
    for start, stop, _, _ in at_once:
        begin = _aligned(position)
        gap = start - begin
        if gap >= block.size and (best < 0 or gap < best_gap):
            best, best_gap = begin, gap
        position = max(position, stop)
    if best < 0:
        best = _aligned(position)
    placed.append([best, best + block.size, block.first, block.last])
    placed.sort()


def _aligned(place: int) -> int:
    return (place + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
