"""The front end of a model, which makes numbers of files, cut off.

    network(Mul(Sub(Resize(Cast(DecodeJpeg(file))))))  ->  network(Placeholder)
    network(Mfcc(AudioSpectrogram(DecodeWav(file))))   ->  network(Placeholder)

No target but TensorFlow decodes JPEG or computes Mfcc: whoever feeds the model does it there. The Placeholder has the
type and the shape of what it stands for, and its node's name.

What counts as front end: from an input of strings, what decodes them; behind a picture or records, what crops, resizes,
casts and normalises with constants; behind a sound, AudioSpectrogram and Mfcc and nothing after them. The cut is at the
last tensor of it that alone separates the input from the network: a front end that hands the picture's size on besides
is cut before the size is taken. Inputs of numbers are resized and normalised in many graphs too; as that is no obstacle
to most targets, it stays unless the option resize says otherwise.
"""

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Dict, List, Optional, Set, Tuple

from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter._order import topological_order
from modelmill_rewriter.rules.editing.cut_graph import CutGraph
from modelmill_rewriter.rules_api import GraphIndex, Pass, Refusal, Report, Target, Tensor, argument

_STRING = 7

#: From strings to numbers.
_DECODING = re.compile(
    r"Decode(AndCrop)?(Jpeg|Png|Gif|Bmp|Image)|DecodeWav|Decode(Padded)?Raw|DecodeCSV|Parse(Single)?Example(V2)?"
)
#: From strings to strings.
_PASSING = re.compile(r"Identity|Reshape|Squeeze|ExpandDims|StridedSlice|ReadFile|DecodeBase64|DecodeCompressed")
#: From numbers to numbers, with constants beside.
_PREPARING = re.compile(
    r"Identity|StopGradient|Cast|Reshape|Squeeze|ExpandDims|Resize(Bilinear|NearestNeighbor|Bicubic|Area)|CropAndResize"
    r"|Slice|StridedSlice|Pad(V2)?|Reverse(V2)?|Split|ConcatV2|Pack|Minimum|Maximum|Add(V2)?|Sub|Mul|Div|RealDiv"
    r"|FloorDiv|FloorMod|Shape|Adjust.*|Rank|Size"
)
#: They may have a constant of any size beside; the others multiply by numbers for each channel at most, as more are
#: a network's weights.
_MULTIPLYING = ("Mul", "Div", "RealDiv")
_MOST_CHANNELS = 4
#: What tells of a tensor without being one that a network takes.
_MEASURING = ("Shape", "Rank", "Size")

_IT_TAKES_NUMBERS = "it takes numbers, which are prepared up to {}; give resize=true to cut that off"

#: How far a tensor has come.
_FILE, _NUMBERS, _SOUND, _SPECTRUM, _FEATURES = range(5)


@dataclass(frozen=True)
class CutFrontEnd(Pass):
    """Feeds a network what it takes, instead of files that the graph decodes."""

    name: ClassVar[str] = "cut_front_end"
    summary: ClassVar[str] = "Cuts off what decodes files and prepares them: the network's own input is fed."
    changes_interface: ClassVar[bool] = True

    at: Tuple[str, ...] = argument((), "A tensor to cut at; found where none is named. Repeatable.")
    resize: bool = argument(False, "Cut off how inputs of numbers are resized and normalised, too.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Find the cuts, and cut.

        Raises StepError NODE_NOT_FOUND or EDIT_IMPOSSIBLE for a tensor that is named and cannot be cut at.
        """
        refused: List[Refusal] = []
        cuts = self.at or tuple(str(tensor) for tensor in self._found(graph, refused))
        if not cuts:
            return Report(self.name, (), tuple(refused))
        report = CutGraph(inputs=cuts).apply(graph, target)
        return replace(report, rule=self.name, refused=tuple(refused))

    def _found(self, graph: GraphIndex, refused: List[Refusal]) -> List[Tensor]:
        """Where to cut; takes note of inputs that are left alone."""
        cuts: List[Tensor] = []
        for fed in graph.interface.inputs:
            front_end = _FrontEnd(graph, fed)
            found = front_end.cut()
            if graph.dtype(fed) == _STRING and not found:
                refused.append(Refusal(fed.node, front_end.why_not()))
            elif found and not (graph.dtype(fed) == _STRING or self.resize):
                refused.append(Refusal(fed.node, _IT_TAKES_NUMBERS.format(" and ".join(map(str, found)))))
            else:
                cuts.extend(found)
        return cuts


class _FrontEnd:
    """What lies between an input and the network."""

    def __init__(self, graph: GraphIndex, fed: Tensor) -> None:
        self._graph = graph
        self._fed = fed
        self._order = topological_order({name: graph.node(name) for name in graph.names()})[0]
        #: How far the outputs of each node of the front end have come.
        self._progress: Dict[str, int] = {fed.node: _FILE if graph.dtype(fed) == _STRING else _NUMBERS}
        #: The nodes that depend on no input.
        self._fixed: Set[str] = set()
        for name in self._order:
            self._place(graph.node(name))

    def why_not(self) -> str:
        """Why an input of strings has no front end to cut off."""
        if any(progress != _FILE for progress in self._progress.values()):
            return "what is decoded of it goes several ways or is given out; say with at= where to cut"
        readers = sorted({str(self._graph.node(name).op) for name in self._graph.consumers(self._fed.node)})
        return "its strings are read by {}, which decodes nothing; say with at= where to cut".format(
            " and ".join(readers)
        )

    def cut(self) -> Tuple[Tensor, ...]:
        """The tensor to cut at; several where no one alone separates the input; none where there is no front end."""
        tensors = [tensor for tensor in self._tensors() if self._progress[tensor.node] != _FILE]
        for tensor in reversed(tensors):
            if self._separates((tensor,)):
                return () if tensor == self._fed else (tensor,)
        edge = tuple(tensor for tensor in tensors if self._leaves(tensor) and tensor != self._fed)
        return edge if self._separates(edge) else ()

    def _place(self, node: NodeDef) -> None:
        name = node.name
        inputs = self._graph.data_inputs(name)
        if name in self._progress or self._graph.is_fed(name):
            return
        reached = [self._progress[tensor.node] for tensor in inputs if tensor.node in self._progress]
        if not reached:
            if node.op != "Placeholder" and all(tensor.node in self._fixed for tensor in inputs):
                self._fixed.add(name)
            return
        if all(tensor.node in self._progress or tensor.node in self._fixed for tensor in inputs):
            progress = self._next(node, min(reached))
            if progress is not None:
                self._progress[name] = progress

    def _next(self, node: NodeDef, progress: int) -> Optional[int]:
        """How far a node takes what has come so far; None where it is no part of a front end."""
        if progress == _FILE:
            if _DECODING.fullmatch(node.op):
                return _SOUND if node.op == "DecodeWav" else _NUMBERS
            return _FILE if _PASSING.fullmatch(node.op) else None
        if progress == _NUMBERS and node.op != "AudioSpectrogram":
            return _NUMBERS if _PREPARING.fullmatch(node.op) and not self._has_weights(node) else None
        if node.op == "Mfcc":  # It reads the sample rate beside the spectrum, which has come less far.
            return _FEATURES if progress in (_SOUND, _SPECTRUM) else None
        return _SPECTRUM if node.op == "AudioSpectrogram" and progress in (_NUMBERS, _SOUND) else None

    def _has_weights(self, node: NodeDef) -> bool:
        """Whether a node multiplies by more than a number for each channel."""
        if node.op not in _MULTIPLYING:
            return False
        values = [self._graph.constant(tensor) for tensor in self._graph.data_inputs(node.name)]
        return any(value is not None and value.size > _MOST_CHANNELS for value in values)

    def _tensors(self) -> List[Tensor]:
        """The tensors of the front end that something reads, producers first."""
        found: Dict[Tensor, None] = {}
        for name in self._order:
            if name in self._progress and self._graph.node(name).op not in _MEASURING:
                readers = self._graph.consumers(name)
                read = {tensor for reader in readers for tensor in self._graph.data_inputs(reader)}
                read.update(self._graph.interface.outputs)
                found.update(dict.fromkeys(sorted(tensor for tensor in read if tensor.node == name)))
        return list(found)

    def _leaves(self, tensor: Tensor) -> bool:
        """Whether something behind the front end reads a tensor."""
        readers = self._graph.consumers(tensor.node)
        return any(tensor in self._graph.data_inputs(name) for name in readers if name not in self._progress)

    def _separates(self, cut: Tuple[Tensor, ...]) -> bool:
        """Whether no output depends on the input any more, once these tensors are fed."""
        waiting = list(self._graph.interface.outputs)
        seen = set(waiting)
        while waiting:
            tensor = waiting.pop()
            if tensor.node == self._fed.node:
                return False
            for read in self._graph.data_inputs(tensor.node):
                if read not in seen and read not in cut:
                    seen.add(read)
                    waiting.append(read)
        return True
