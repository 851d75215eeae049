"""Which minor versions of TensorFlow can read a GraphDef, told from a table, with no TensorFlow needed.

A version reads a graph where it knows every operation and every attribute with its value, and where the graph's own
`versions` agree (tensorflow/core/framework/node_def_util.cc, ValidateNodeDef; versions.cc, CheckVersions;
op.cc, CheckOpDeprecation). An attribute that came later and has its default can be dropped, and means the same then:
a new attribute's default is what operations did before it came (tensorflow.org/guide/versions). TensorFlow from 2.5 on
reads a node with an attribute that it does not know, and goes on as if it were not there, whatever its value.

    for verdict in judge(graph).values():
        print(verdict.version, verdict.reason or verdict.dropped or "as it is")

That a version reads a graph does not say that it has a kernel for every operation and data type.
"""

from dataclasses import dataclass
from typing import AbstractSet, Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from modelmill_worker import tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.op_versions_demands import UNJUDGED, OperationDemands, demands_of
from modelmill_worker.op_versions_table import FIELDS, NO_DEFAULT, Attribute, Definition, Version, plain_value, table

#: How many elements of a value a sentence shows.
_SHOWN = 8


@dataclass(frozen=True)
class Verdict:
    """Whether a version reads a graph.

    version: the minor version, such as "1.15".
    dropped: what has to be dropped first, such as "Conv2D.explicit_paddings", sorted.
    ignored: what the version reads and does not heed, though it has another value than its default, sorted.
    reason: why the version cannot read the graph even then, a sentence without its full stop; empty where it can.
    """

    version: str
    dropped: Tuple[str, ...] = ()
    ignored: Tuple[str, ...] = ()
    reason: str = ""

    @property
    def readable(self) -> bool:
        """Whether the version reads the graph as it is."""
        return not self.reason and not self.dropped


@dataclass(frozen=True)
class _Problem:
    """Why a version cannot read something, and the next version that can; versions are indices of the table."""

    sentence: str
    until: int


def versions() -> Tuple[str, ...]:
    """The minor versions that are known, oldest first."""
    return tuple(version.name for version in table().versions)


def minor_version(version: str) -> str:
    """The known minor version that stands for a version such as "1.15.5": its own, or the newest for a newer one.

    Raises StepError TENSORFLOW_VERSION_UNKNOWN for an older one and for what is no version.
    """
    names = versions()
    name = ".".join(version.split(".")[:2])
    if name in names:
        return name
    try:
        if _numbers(name) > _numbers(names[-1]):
            return names[-1]
    except ValueError:
        pass
    raise StepError(
        "TENSORFLOW_VERSION_UNKNOWN",
        "Nothing is known of TensorFlow {!r}: name a version from {} on, such as {}.".format(
            version, names[0], table().versions[-1].full
        ),
        {"version": version, "oldest": names[0]},
    )


def judge(
    graph: GraphDef, nodes: Optional[AbstractSet[str]] = None, every_function: bool = False
) -> Dict[str, Verdict]:
    """What each version can do with these nodes (None: all) and the functions that they reach; oldest version first.

    every_function: judge the functions that no node reaches as well.
    Linear in the size of the graph, and nothing of it is kept.
    """
    demands = demands_of(graph, nodes, every_function)
    return {version.name: _judged(graph, demands, index) for index, version in enumerate(table().versions)}


def drop_default_attributes(graph: GraphDef, version: str) -> Dict[str, List[str]]:
    """Drop, in place, what a minor version does not know and what has its default; functions included.

    A version that ignores unknown attributes needs nothing to be dropped.
    Returns the names of the nodes by what was dropped from them, such as "Conv2D.explicit_paddings".
    """
    dropped = drop_from_nodes(graph.node, version)
    for function in graph.library.function:
        for name, nodes in drop_from_nodes(function.node_def, version).items():
            dropped.setdefault(name, []).extend(nodes)
    return dropped


def drop_from_nodes(nodes: Iterable[NodeDef], version: str) -> Dict[str, List[str]]:
    """As `drop_default_attributes`, of these nodes only."""
    index = versions().index(version)
    dropped: Dict[str, List[str]] = {}
    if table().versions[index].ignores_unknown_attributes:
        return dropped
    for node in nodes:
        for name in _droppable(node, index):
            del node.attr[name]
            dropped.setdefault("{}.{}".format(node.op, name), []).append(node.name)
    return dropped


def dropped_note(dropped: Dict[str, List[str]], version: str) -> str:
    """A sentence for a report of what was dropped for a version; empty where nothing was."""
    if not dropped:
        return ""
    counts = ["{} of {:,} node{}".format(name, len(nodes), "s"[: len(nodes) > 1]) for name, nodes in dropped.items()]
    return "Attributes that TensorFlow {} does not know were dropped, as they have their defaults: {}.".format(
        version, ", ".join(sorted(counts))
    )


def _droppable(node: NodeDef, index: int) -> List[str]:
    history = table().history(node.op)
    definition = history[index]
    if definition is None:
        return []
    unknown = [name for name in node.attr if name not in definition.attributes and not name.startswith("_")]
    return [name for name in unknown if _has_default(node.attr[name], _introduced(history, name, index))]


def _has_default(value: Any, attribute: Optional[Attribute]) -> bool:
    if attribute is None or attribute.default is NO_DEFAULT or value.WhichOneof("value") != _field(attribute.kind):
        return False
    return bool(plain_value(value, attribute.kind) == attribute.default)


def _introduced(history: Sequence[Optional[Definition]], name: str, index: int) -> Optional[Attribute]:
    """The attribute as the first later version has it that knows it, or else the last earlier one."""
    for definition in list(history[index + 1 :]) + list(history[:index])[::-1]:
        if definition is not None and name in definition.attributes:
            return definition.attributes[name]
    return None


def _judged(graph: GraphDef, demands: Dict[str, OperationDemands], index: int) -> Verdict:
    """The verdict; of several reasons, the one that lasts longest, since that version is what the graph needs."""
    version = table().versions[index]
    problems = list(_version_problems(graph.versions, version, index))
    dropped: List[str] = []
    ignored: List[str] = []
    for operation, demand in demands.items():
        definition = demand.history[index]
        if definition is None:
            problems.append(_unknown(operation, demand, index))
            continue
        problems.extend(_node_problems(operation, demand, definition, graph.versions.producer))
        for name in demand.values:
            if name in definition.attributes:
                problems.extend(_value_problems(operation, demand, name, definition.attributes[name], version))
                continue
            problem = _undroppable(operation, demand, name, index)
            if not version.ignores_unknown_attributes:
                problems.extend([problem] if problem else [])
                dropped.append("{}.{}".format(operation, name))
            elif problem:
                ignored.append("{}.{}".format(operation, name))
    if problems:
        return Verdict(version.name, reason=max(problems, key=lambda problem: problem.until).sentence)
    return Verdict(version.name, tuple(sorted(dropped)), tuple(sorted(ignored)))


def _version_problems(asked: Any, version: Version, index: int) -> Iterator[_Problem]:
    """What a graph's VersionDef says against a version."""
    if version.producer < asked.min_consumer:
        enough = [other.producer >= asked.min_consumer for other in table().versions]
        yield _Problem(
            "the graph asks for a TensorFlow that reads GraphDef version {}, {}, and {} reads up to {}".format(
                asked.min_consumer, _which(enough, "which {} does"), version.name, version.producer
            ),
            _lasts_until(enough),
        )
    if version.producer in asked.bad_consumers:
        yield _Problem(
            "the graph says that what reads GraphDef version {} reads it wrongly".format(version.producer), index + 1
        )
    if asked.producer < version.min_producer:
        yield _Problem("the graph's GraphDef version {} is too old".format(asked.producer), len(table().versions))


def _unknown(operation: str, demand: OperationDemands, index: int) -> _Problem:
    known = [definition is not None for definition in demand.history]
    sentence = "the operation {}, at {}, is {}".format(
        operation, demand.everywhere, _which(known, "known {}", "known to no TensorFlow from {} to {}")
    )
    if index in table().contrib.get(operation, ()):
        sentence += "; TensorFlow {} knows it only once tf.contrib is loaded".format(versions()[index])
    return _Problem(sentence, _lasts_until(known))


def _node_problems(
    operation: str, demand: OperationDemands, definition: Definition, producer: int
) -> Iterator[_Problem]:
    """What stands against nodes whatever their attributes' values."""
    known = demand.history
    if definition.deprecated is not None and producer >= definition.deprecated:
        allowed = [
            found is not None and (found.deprecated is None or producer < found.deprecated) for found in demand.history
        ]
        sentence = "the operation {}, at {}, ended with GraphDef version {}, and the graph is of version {}".format(
            operation, demand.everywhere, definition.deprecated, producer
        )
        yield _Problem(sentence, _lasts_until(allowed))
    for names, found in demand.attributes.items():
        for missing in sorted(definition.required - names):
            optional = [other is not None and missing not in other.required for other in known]
            sentence = "{}, at {}, lacks the attribute {}, {}".format(
                operation, found, missing, _which(optional, "which is not needed {}", "which every version needs")
            )
            yield _Problem(sentence, _lasts_until(optional))
    for (inputs, more), found in demand.inputs.items():
        if inputs != _input_count(definition, dict(more)):
            fits = [other is not None and inputs == _input_count(other, dict(more)) for other in known]
            sentence = "{}, at {}, with {} input{}, is {}".format(
                operation, found, inputs, "" if inputs == 1 else "s", _which(fits, "known {}", "known to no version")
            )
            yield _Problem(sentence, _lasts_until(fits))


def _input_count(definition: Definition, more: Dict[str, int]) -> int:
    count: int = definition.inputs[0]
    return count + sum(more.get(name, 0) for name in definition.inputs[1:])


def _undroppable(operation: str, demand: OperationDemands, name: str, index: int) -> Optional[_Problem]:
    """What stands against dropping an attribute that a version does not know; None where it has its default."""
    attribute = _introduced(demand.history, name, index)
    if attribute is None:
        (_, value), found = next(iter(demand.values[name].items()))
        sentence = "the attribute {} of {}, at {}, is known to no version".format(name, operation, found)
        return _Problem(sentence, len(demand.history))
    for (field, value), found in demand.values[name].items():
        if field != _field(attribute.kind) or attribute.default is NO_DEFAULT or value != attribute.default:
            known = [other is not None and name in other.attributes for other in demand.history]
            sentence = "the attribute {} of {}, at {}, {}, and {} is not its default".format(
                name, operation, found, _which(known, "is known {}"), _shown(value, attribute.kind)
            )
            return _Problem(sentence, _lasts_until(known))
    return None


def _value_problems(
    operation: str, demand: OperationDemands, name: str, attribute: Attribute, version: Version
) -> Iterator[_Problem]:
    for (field, value), found in demand.values[name].items():
        if field == "placeholder":  # A function's parameter: its value comes with the call.
            continue
        if field != _field(attribute.kind):
            sentence = "the attribute {} of {}, at {}, is no {}".format(name, operation, found, attribute.kind)
            yield _Problem(sentence, len(demand.history))
        elif value is not UNJUDGED and not _takes(attribute, value, version):
            taken = [_takes_so(definition, name, value, at) for definition, at in zip(demand.history, table().versions)]
            sentence = "{} with {} {}, at {}, is {}".format(
                operation, name, _shown(value, attribute.kind), found, _which(taken, "known {}", "known to no version")
            )
            yield _Problem(sentence, _lasts_until(taken))


def _takes(attribute: Attribute, value: Any, version: Version) -> bool:
    if attribute.kind in ("type", "list(type)"):
        types = value if isinstance(value, tuple) else (value,)
        if not all(number in version.types for number in types):
            return False
    return attribute.allows(value)


def _takes_so(definition: Optional[Definition], name: str, value: Any, version: Version) -> bool:
    attribute = definition.attributes.get(name) if definition is not None else None
    return attribute is not None and _takes(attribute, value, version)


def _field(kind: str) -> str:
    return "list" if kind.startswith("list(") else FIELDS[kind]


def _shown(value: Any, kind: str) -> str:
    """A plain value for people."""
    if isinstance(value, tuple) and kind.startswith("list("):
        more = ", ..." if len(value) > _SHOWN else ""
        return "[{}{}]".format(", ".join(_shown(item, kind[5:-1]) for item in value[:_SHOWN]), more)
    if kind == "type" and isinstance(value, int):
        return _type_name(value)
    if kind == "float" and isinstance(value, (int, float)):
        return "{:g}".format(value)
    if kind == "shape" and (value is None or isinstance(value, tuple)):
        return "of unknown rank" if value is None else str(list(value))
    return repr(value)


def _type_name(number: int) -> str:
    try:
        return tensors.data_type(number).name
    except StepError:
        return "the data type {}".format(number)


def _lasts_until(good: Sequence[bool]) -> int:
    """How far into the table a problem lasts for good, by which problems are compared."""
    return next((index for index, found in enumerate(good) if found), len(good))


def _which(good: Sequence[bool], sentence: str, none: str = "known to no version") -> str:
    """The versions that are good put into a sentence: "from 1.13 on", "up to 1.12", "in 1.15 and from 2.1 on"."""
    names = versions()
    if not any(good):
        return none.format(names[0], names[-1])
    return sentence.format(" and ".join(_ranges(good, names)))


def _ranges(good: Sequence[bool], names: Sequence[str]) -> Iterable[str]:
    start = None  # type: Optional[int]
    for index, found in enumerate(list(good) + [False]):
        if found and start is None:
            start = index
        elif not found and start is not None:
            yield _range(start, index - 1, names)
            start = None


def _range(start: int, end: int, names: Sequence[str]) -> str:
    if end == len(names) - 1:
        return "from {} on".format(names[start])
    if start == 0:
        return "up to {}".format(names[end])
    return "in {}".format(names[start]) if start == end else "from {} to {}".format(names[start], names[end])


def _numbers(name: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in name.split("."))
