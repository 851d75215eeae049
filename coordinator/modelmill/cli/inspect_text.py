"""What an inspection found, for a terminal: everything that matters on one screen, the rest counted.

All of it is in `--json` and on the page that `--html` writes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelmill.cli.inspect_versions import describe_support, describe_versions
from modelmill.cli.tables import size
from modelmill.client import Source

Facts = Mapping[str, Any]

#: The columns and the lines of a screen, and the columns that the labels take.
WIDTH, HEIGHT, _LABEL = 100, 40, 14
_INDENT = " " * _LABEL

#: The longest name of a node among others in a line.
_NAME = 44

#: No part is cut below this many lines.
_LEAST = 2

#: What counts of operations are told in.
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class _Part:
    """What stands beside a label: the lines of it that there are, and how many of them are shown at most."""

    label: str
    lines: Sequence[str]
    most: int

    @property
    def height(self) -> int:
        return min(len(self.lines), self.most)

    def text(self) -> str:
        shown = list(self.lines)
        if len(shown) > self.most:
            left = len(shown) - self.most + 1
            shown = [*shown[: self.most - 1], f"... and {left} more {'line' if left == 1 else 'lines'}"]
        label = self.label.ljust(_LABEL - 1) + " "
        return "\n".join((label if number == 0 else _INDENT) + line for number, line in enumerate(shown))


def summary_of(facts: Facts, source: Source) -> str:
    """The summary; source: what was handed in."""
    parts = [
        _Part("model", _wrapped(_model(facts, source)), 3),
        *(_Part(label, _wrapped(_told(tell, facts)), most) for label, most, tell in _PARTS),
    ]
    return "\n".join(part.text() for part in _fitted([part for part in parts if part.lines]))


def _fitted(parts: list[_Part]) -> list[_Part]:
    """Where there is more than a screen, the longest parts are cut first."""
    while sum(part.height for part in parts) > HEIGHT:
        longest = max(parts, key=lambda part: part.height)
        if longest.height <= _LEAST:
            break
        parts = [replace(part, most=part.height - 1) if part is longest else part for part in parts]
    return parts


def _told(tell: Callable[[Facts], Iterator[str]], facts: Facts) -> list[str]:
    """What a part says. Anybody's plug-in may add facts, and not all are of the form that is known here."""
    try:
        return list(tell(facts))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ["the facts are of a form that is not known here: see --json"]


def _wrapped(paragraphs: Iterable[str]) -> list[str]:
    width = WIDTH - _LABEL
    return [
        line
        for paragraph in paragraphs
        for line in textwrap.wrap(printable(paragraph), width, subsequent_indent="  ", break_on_hyphens=False)
    ]


def printable(said: str) -> str:
    """A text in which nothing steers a terminal: a model's names may hold any character."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in said)


# What it is


def _model(facts: Facts, source: Source) -> list[str]:
    total = sum(file.file.stat().st_size for file in source.files)
    files = source.files[0].path if len(source.files) == 1 else f"{source.display_name} ({len(source.files)} files)"
    parts = [f"{files}: {facts.get('kind', 'unknown')}, {size(total)}"]
    for key, singular in (("nodes", "node"), ("variables", "variable")):
        count = facts.get(key)
        if isinstance(count, int) and count:
            parts.append(_plural(count, singular))
    return [", ".join(parts)]


def _tensorflow(facts: Facts) -> Iterator[str]:
    yield describe_versions(facts.get("tensorflow"))


def _signatures(facts: Facts) -> Iterator[str]:
    signatures = facts.get("signatures", [])
    tags = facts.get("tags", [])
    if tags:
        yield f"tags {', '.join(map(str, tags))}"
    for signature in signatures:
        sides = [", ".join(_name(tensor) for tensor in _records(signature.get(side))) for side in ("inputs", "outputs")]
        yield f"{signature.get('key', '')}: {sides[0] or 'nothing'} -> {sides[1] or 'nothing'}"


def _tensors(side: str) -> Callable[[Facts], Iterator[str]]:
    """The inputs or the outputs, and below them what else could be some."""

    def tell(facts: Facts) -> Iterator[str]:
        chosen = _records(facts.get(side))
        candidates = _records(facts.get(f"candidate_{side}"))
        operations = {_name(one): one.get("op") for one in candidates}
        for tensor in chosen[:6]:
            yield _tensor(tensor, tensor.get("op") or operations.get(_node(tensor)))
        if len(chosen) > 6:
            yield f"... and {len(chosen) - 6} more"
        known = {name for tensor in chosen for name in (_name(tensor), _node(tensor))}
        others = [one for one in candidates if _name(one) not in known]
        if others:
            named = ", ".join(_name(one) for one in others[:4])
            unlisted = max(facts.get(f"candidate_{side}_count", 0) - len(candidates), 0)
            yield f"also possible: {_first(named, len(others) + unlisted, 4)}"

    return tell


def _tensor(tensor: Facts, operation: Any) -> str:
    parts = [_name(tensor), str(tensor.get("dtype") or "?"), shape_text(tensor.get("shape"))]
    return "  ".join([*parts, str(operation)] if operation else parts)


def _node(tensor: Facts) -> str:
    return str(tensor.get("tensor") or _name(tensor)).partition(":")[0]


def _name(tensor: Facts) -> str:
    return str(tensor.get("name") or tensor.get("tensor") or "?")


def _brief(name: str) -> str:
    """A name of a node where there is room for a part of it only: the end tells most."""
    return name if len(name) <= _NAME else "..." + name[3 - _NAME :]


def shape_text(shape: Any) -> str:
    """A shape for people: "1x224x224x3", "?" for what is not known, "scalar"."""
    if not isinstance(shape, list):
        return "?"
    return "x".join("?" if not isinstance(extent, int) or extent < 0 else str(extent) for extent in shape) or "scalar"


# What it costs


def _parameters(facts: Facts) -> Iterator[str]:
    total = facts.get("parameters")
    if total is None:
        return
    text = f"{total:,}"
    by_type = facts.get("parameters_by_dtype") or {}
    if by_type:
        text += f" ({', '.join(f'{dtype} {count:,}' for dtype, count in _largest(by_type))})"
    if facts.get("parameter_bytes"):
        text += f", {size(facts['parameter_bytes'])}"
    where = [f"{facts[key]:,} {words}" for key, words in _WHERE if facts.get(key) is not None]
    yield "; ".join([text, *where])


#: As summarize_graph counts: every element, integers and scalars too.
_WHERE = (("constant_elements", "elements in constants"), ("variable_elements", "in variables"))


def _costs(facts: Facts) -> Iterator[str]:
    costs = facts.get("costs")
    if not isinstance(costs, dict):
        return
    given = costs.get("input_shapes") or {}
    shapes = ", ".join(f"{name}={shape_text(shape)}" for name, shape in given.items() if isinstance(shape, list))
    text = f"{_short(costs.get('multiply_adds', 0))} multiply-adds"
    if costs.get("activation_bytes"):
        text += f"; activations {size(costs['activation_bytes'])}"
    if costs.get("peak_activation_bytes"):
        text += f", at most {size(costs['peak_activation_bytes'])} at once"
    yield f"{text}; for {shapes}" if shapes else text
    total = costs.get("multiply_adds") or 0
    heavy = [node for node in _records(costs.get("nodes")) if node.get("multiply_adds")][:3]
    if heavy and total:
        yield "most in " + ", ".join(f"{_brief(_name(node))} ({node['multiply_adds'] / total:.0%})" for node in heavy)
    if unshaped := costs.get("open_inputs"):
        yield f"more with --input-shape for {', '.join(map(str, unshaped))}"
    if uncounted := costs.get("uncounted"):
        yield f"not counted: {_histogram(uncounted, 6)}"


def _unknown(facts: Facts) -> Iterator[str]:
    unknown = _records(facts.get("unknown_dimensions"))
    if not unknown:
        return
    count = facts.get("unknown_dimensions_count", len(unknown))
    causes = dict.fromkeys(str(one.get("cause", "")) for one in unknown)
    yield f"{_plural(count, 'tensor')} of unknown size: {_first('; '.join(list(causes)[:2]), len(causes), 2)}"


# What it is made of


def _operations(facts: Facts) -> Iterator[str]:
    operations = facts.get("operations") or {}
    if operations:
        yield f"{_histogram(operations, 40)} ({_plural(len(operations), 'kind')})"
    if training := facts.get("training_only"):
        yield f"not needed by the outputs: {_histogram(training, 8)}"


def _structure(facts: Facts) -> Iterator[str]:
    parts = []
    if facts.get("control_edges") is not None:
        parts.append(_plural(facts["control_edges"], "control edge"))
    flow = facts.get("control_flow")
    if isinstance(flow, dict):
        told = [f"{count} {what}" for what, count in flow.items() if count]
        parts.append(f"control flow: {', '.join(told)}" if told else "no control flow")
    if facts.get("functions") is not None:
        parts.append(_plural(facts.get("functions_count", len(facts["functions"])), "function"))
    for key in ("subgraphs", "layers"):
        if isinstance(facts.get(key), list):
            parts.append(_plural(facts.get(f"{key}_count", len(facts[key])), key[:-1]))
    if parts:
        yield "; ".join(parts)


def _variables(facts: Facts) -> Iterator[str]:
    variables = _records(facts.get("variable_list"))
    if variables:
        named = ", ".join(f"{_name(one)} {shape_text(one.get('shape'))}" for one in variables[:3])
        yield _first(named, facts.get("variable_list_count", len(variables)), 3)


def _quantisation(facts: Facts) -> Iterator[str]:
    found = facts.get("quantisation")
    if not isinstance(found, dict):
        return
    parts = [
        f"{key.replace('_', ' ')} {value:,}"
        for key, value in found.items()
        if isinstance(value, int) and not isinstance(value, bool) and value
    ]
    if missing := found.get("tensors_without_range"):
        count = found.get("tensors_without_range_count", len(missing))
        parts.append(f"no range: {_first(', '.join(map(str, missing[:2])), count, 2)}")
    if parts:
        yield "; ".join(parts)


def _runtime(facts: Facts) -> Iterator[str]:
    """What the files of devices and browsers say of themselves."""
    parts = []
    runtime = facts.get("runtime_version")
    if isinstance(runtime, dict) and runtime.get("needed"):
        parts.append(f"needs TFLite {runtime['needed']} or newer")
    for key, what in (("custom_operators", "custom"), ("flex_operators", "TensorFlow")):
        if facts.get(key):
            parts.append(f"{what} operators: {_histogram(facts[key], 4)}")
    if facts.get("arena_bytes"):
        parts.append(f"arena {size(facts['arena_bytes'])}")
    if parts:
        yield "; ".join(parts)
    edgetpu = facts.get("edgetpu")
    if isinstance(edgetpu, dict) and edgetpu:
        told = [f"runtime {edgetpu.get('runtime_version')}", _plural(edgetpu.get("subgraphs", 0), "operator")]
        told += [f"{size(edgetpu[f'{where}_bytes'])} {where.replace('_', ' ')}" for where in ("on_chip", "off_chip")]
        yield f"Edge TPU: {', '.join(told)}"


# What can become of it


def _support(facts: Facts) -> Iterator[str]:
    support = facts.get("support")
    if isinstance(support, dict):
        yield from describe_support(_records(support.get("targets")))


def _rewrites(facts: Facts) -> Iterator[str]:
    rewrites = facts.get("rewrites")
    if rewrites is None:
        return
    by_text: dict[str, list[str]] = {}
    for target in dict.fromkeys(str(one.get("target", "")) for one in _records(rewrites)):
        rules = [one for one in _records(rewrites) if one.get("target") == target]
        by_text.setdefault("; ".join(_rule(rule) for rule in rules), []).append(target)
    if not by_text:
        yield "none of the rules applies"
    for text, targets in by_text.items():
        yield f"{', '.join(targets)}: {text}"


def _rule(rule: Facts) -> str:
    parts = []
    if rule.get("count"):
        parts.append(f"at {_plural(rule.get('nodes_count', rule['count']), 'node')}")
    if rule.get("nearly_count"):
        parts.append(f"nearly at {rule['nearly_count']}")
    return f"{rule.get('rule', '')} {', '.join(parts)}"


def _security(facts: Facts) -> Iterator[str]:
    security = facts.get("security")
    if not isinstance(security, dict):
        return
    findings = _records(security.get("findings"))
    scanned = security.get("scanned", {})
    where = ", ".join(_plural(count, key[:-1]) for key, count in scanned.items() if count)
    if not findings:
        yield f"nothing found in {where}" if where else "nothing found"
        return
    count = security.get("findings_count", len(findings))
    yield f"{str(security.get('highest', '')).upper()}: {_plural(count, 'finding')} in {where or 'the model'}"
    yield from (finding_text(finding) for finding in findings[:4])
    if count > 4:
        yield f"... and {count - 4} more"


def finding_text(finding: Facts) -> str:
    """A finding in one line."""
    node = f" at {finding['node']}" if finding.get("node") else ""
    times = f" ({finding['count']} times)" if finding.get("count", 1) > 1 else ""
    said = f"{finding.get('severity', '')} {finding.get('reason', '')}{node}{times}: {finding.get('text', '')}"
    return printable(said)


def _notes(facts: Facts) -> Iterator[str]:
    yield from (str(note) for note in facts.get("notes", []))


_PARTS: tuple[tuple[str, int, Callable[[Facts], Iterator[str]]], ...] = (
    ("TensorFlow", 4, _tensorflow),
    ("signatures", 4, _signatures),
    ("inputs", 5, _tensors("inputs")),
    ("outputs", 6, _tensors("outputs")),
    ("parameters", 2, _parameters),
    ("compute", 6, _costs),
    ("unknown", 2, _unknown),
    ("operations", 6, _operations),
    ("structure", 2, _structure),
    ("variables", 2, _variables),
    ("quantised", 2, _quantisation),
    ("runtime", 3, _runtime),
    ("support", 6, _support),
    ("rewrites", 3, _rewrites),
    ("security", 6, _security),
    ("notes", 4, _notes),
)


# Words


def _records(value: Any) -> list[Facts]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _largest(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _histogram(counts: Mapping[str, int], shown: int) -> str:
    ordered = _largest(counts)
    return _first(", ".join(f"{name} {count:,}" for name, count in ordered[:shown]), len(ordered), shown)


def _first(named: str, count: int, shown: int) -> str:
    return named if count <= shown else f"{named} and {count - shown} more"


def _plural(count: int, singular: str) -> str:
    return f"{count:,} {singular}" if count == 1 else f"{count:,} {singular}s"


def _short(count: float) -> str:
    for unit, letter in _UNITS:
        if count >= unit:
            return f"{count / unit:.2f} {letter}"
    return f"{count:.0f}"
