"""Ranges that were measured in test runs, instead of ranges that are measured in every run.

    Requantize(x, RequantizationRange(x))  ->  Requantize(x, low, high)

with constants low and high for each RequantizationRange that the log, or a range given by hand, names.

The log is what a graph writes in which `insert_logging` has put a Print behind each RequantizationRange, in lines that
hold "<node>__print__;__requant_min_max:[<low>][<high>]". Other text in it is passed over. Of the values of a node, the
low one is what min_percentile of them lie below, the high one what max_percentile of them lie above: single runs with
extreme values then do not widen the range for all.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Dict, List, Optional, Tuple

import numpy as np
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules.quantization._about_eight_bits import scalar
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Refusal, Report, Target, Tensor, argument

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LOGGED = r"(?:^|;)(?P<node>[^;\s]+)__print__;__requant_min_max:\[(?P<low>{0})\]\[(?P<high>{0})\]"
_RECORD = re.compile(_LOGGED.format(_NUMBER))
_GIVEN = re.compile(r"(?P<node>[^:\s]+):(?P<low>{0}):(?P<high>{0})".format(_NUMBER))
#: How the constants' names end.
_LOW, _HIGH = "/frozen_min", "/frozen_max"


@dataclass(frozen=True)
class FreezeRequantizationRanges(Pass):
    """Constant ranges for 8-bit results, from a log of test runs."""

    name: ClassVar[str] = "freeze_requantization_ranges"
    summary: ClassVar[str] = "Gives 8-bit results the ranges that a log of test runs tells."

    min_max_log: str = argument("", "The text of the log; its lines that tell no range may stay out.")
    ranges: Tuple[str, ...] = argument((), "As node:low:high; it counts more than the log.", name="range")
    min_percentile: float = argument(5.0, "Which part of a node's low values, in percent, may lie below its range.")
    max_percentile: float = argument(5.0, "Which part of a node's high values, in percent, may lie above its range.")
    min_max_log_file: Optional[Path] = argument(None, "The log, as a file beside the edits.")  # noqa: RUF009

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Replace the nodes that there are ranges for.

        Raises StepError INVALID_OPTION where there is none, or one for what is no RequantizationRange.
        """
        del target
        ranges = self._ranges()
        fired: List[Firing] = []
        refused: List[Refusal] = []
        for name in ranges:
            if name + _LOW in graph:
                continue  # An earlier run of the rule has replaced it.
            if name not in graph:
                raise self._invalid(
                    "they name {}, which is not in the graph; log the graph that is rewritten".format(name), name
                )
            if graph.node(name).op != "RequantizationRange":
                raise self._invalid("they name {}, which is no RequantizationRange".format(name), name)
        for name in graph.nodes_with("RequantizationRange"):
            if name not in ranges:
                refused.append(Refusal(name, "neither the log nor an option range names it"))
            elif name in graph.kept:
                refused.append(Refusal(name, "it is an output of the model"))
            else:
                fired.append(Firing((name,), _replace(graph, graph.node(name), *ranges[name])))
        return Report(self.name, tuple(fired), tuple(refused))

    def _ranges(self) -> Dict[str, Tuple[float, float]]:
        for percentile in (self.min_percentile, self.max_percentile):
            if not 0 <= percentile <= 100:
                raise self._invalid("{} is no percentile: give 0 to 100".format(percentile))
        logged: Dict[str, List[Tuple[float, float]]] = {}
        for line in self._log().splitlines():
            for found in _RECORD.finditer(line.strip()):
                logged.setdefault(found.group("node"), []).append(_ends(found))
        ranges = {name: self._within_percentiles(values) for name, values in logged.items()}
        for text in self.ranges:
            found_by_hand = _GIVEN.fullmatch(text)
            if found_by_hand is None:
                raise self._invalid("the range {!r} cannot be read; write node:low:high".format(text))
            ranges[found_by_hand.group("node")] = _ends(found_by_hand)
        if not ranges:
            raise self._invalid("no line of the log tells a range, and no option range is given")
        for name, (low, high) in ranges.items():
            if not low < high:
                raise self._invalid("the range of {} is empty, {} to {}".format(name, low, high), name)
        return ranges

    def _log(self) -> str:
        if self.min_max_log_file is None:
            return self.min_max_log
        return self.min_max_log + "\n" + self.min_max_log_file.read_text(encoding="utf-8", errors="replace")

    def _within_percentiles(self, values: List[Tuple[float, float]]) -> Tuple[float, float]:
        """As freeze_requantization_ranges.cc counts, with halves rounded away from zero."""
        count = len(values)
        lowest = int(np.floor(count * self.min_percentile / 100 + 0.5))
        highest = int(np.floor(count * (1 - self.max_percentile / 100) + 0.5))
        lows, highs = sorted(low for low, _ in values), sorted(high for _, high in values)
        return lows[min(lowest, count - 1)], highs[min(highest, count - 1)]

    def _invalid(self, why: str, node: str = "") -> StepError:
        return StepError(
            "INVALID_OPTION",
            "The ranges for the rule freeze_requantization_ranges cannot be used: {}.".format(why),
            {"rule": self.name, "node": node},
        )


def _ends(found: "re.Match[str]") -> Tuple[float, float]:
    return float(found.group("low")), float(found.group("high"))


def _replace(graph: GraphIndex, node: NodeDef, low: float, high: float) -> Tuple[str, ...]:
    """The names of the constants that took the node's place."""
    made = [scalar(graph.unused_name(node.name + end), value) for end, value in ((_LOW, low), (_HIGH, high))]
    for position, constant in enumerate(made):
        constant.device = node.device
        graph.add([constant], beside=node.name)
        graph.redirect_tensor(Tensor(node.name, position), Tensor(constant.name))
    graph.remove_unused([node.name])
    return tuple(constant.name for constant in made)
