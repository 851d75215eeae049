"""The values with which a plug-in describes itself and that its steps are given.

A plug-in is a distribution with an entry point in the group ``modelmill.plugins``. Its module implements
the hook ``modelmill_plugins`` (see hookspecs.py) and yields a `Plugin`. The module must import without
TensorFlow: an edge's `run` imports what it needs when it is called.
"""

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

#: Raised by one whenever a plug-in written for the API before it would no longer work.
API_VERSION = 1


class Role(enum.Enum):
    """What a step along an edge is there for; the same names as in catalog.proto.

    INSPECT: tells facts. The edge that takes "*" recognises what a user hands in; every other one takes exactly one
    kind, is run for models of that kind when somebody inspects one, and adds to the facts. It cannot change those that
    are there already, but for `notes`, which are joined. Of the inspector's options it gets those that its own options
    class has too. Conversions run the recognising edge only.

    EDIT: takes a model and the user's edits, which are of kind "graph.edits"; what it makes is the model from then on.

    PROVE: takes what a REWRITE or an EDIT of the same plug-in takes, and a dataset of inputs; its options are the other
    edge's. It says by how much each change moved the model's outputs, in the fact `proof`.
    """

    CONVERT = "CONVERT"
    REWRITE = "REWRITE"
    INSPECT = "INSPECT"
    SAMPLE = "SAMPLE"
    RUN = "RUN"
    COMPARE = "COMPARE"
    CONTRAST = "CONTRAST"
    EDIT = "EDIT"
    PROVE = "PROVE"


class Preference(enum.Enum):
    """Which of the environments that can run an edge is the best choice."""

    #: The newest TensorFlow.
    NEWEST = "NEWEST"
    #: The oldest TensorFlow that is not older than the one that wrote the model, or that made it on the way.
    WRITER = "WRITER"
    #: The environment that made the model; else the oldest TensorFlow that is not older than its own.
    MAKER = "MAKER"


@dataclass(frozen=True)
class NoOptions:
    """The options of an edge that takes none."""


@dataclass(frozen=True)
class Tree:
    """An artifact on the disk of the step process: a kind and a folder of read-only files."""

    kind: str
    path: Path
    #: Relative to `path`, with forward slashes, sorted.
    files: Tuple[str, ...]


def _ignore_progress(fraction: float, message: str) -> None:
    """Where nobody is there to be told, as in tests."""
    del fraction, message


@dataclass
class Step:
    """What one step works with; made by the step process, handed to an edge's `run`."""

    inputs: Dict[str, Tree]
    #: An instance of the edge's options class.
    options: Any
    #: Empty when the step starts; what lies here when `run` returns is the artifact made.
    output: Path
    #: For anything else; gone after the step.
    scratch: Path
    #: Tells how far the step is: a fraction from 0 to 1 (negative: cannot be told) and a few words.
    progress: Callable[[float, str], None] = _ignore_progress


@dataclass(frozen=True)
class Edge:
    """One thing that a plug-in can do: from the kinds of its inputs to the kind of its output.

    run: called in the step process; fills ``step.output`` and returns facts, a JSON object for the report.
    inputs: pairs of (name, kind); the kind "*" takes any. A single pair with the name "*" takes any number of inputs of
        its kind, with names of the caller's.
    output: the kind of the artifact made.
    options: a frozen dataclass whose fields are made with `modelmill_worker.options.option`.
    requires: PEP 508 requirements that an environment must meet, such as "tensorflow>=1.15,<2.22";
        none means that the step needs no TensorFlow and runs in `base`.
    cost: routes with the smallest sum win; 1 is usual.
    prefers: the versions of TensorFlow that are better than newer ones, such as "~=2.15.0"; none where empty.
    input_made_by: the versions of TensorFlow that may have made the model that goes in, such as "<2.16" for a
        compiler that reads no newer operators; any where empty.
    """

    name: str
    role: Role
    inputs: Tuple[Tuple[str, str], ...]
    output: str
    run: Callable[[Step], Dict[str, Any]]
    options: type = NoOptions
    requires: Tuple[str, ...] = ()
    preference: Preference = Preference.NEWEST
    cost: float = 1.0
    prefers: str = ""
    input_made_by: str = ""


@dataclass(frozen=True)
class Target:
    """What a client may name with ``--to``: the artifact kind that answers it and one line for people."""

    name: str
    kind: str
    summary: str
    #: The plug-in's own edge that makes it.
    edge: str


@dataclass(frozen=True)
class Plugin:
    """What a plug-in says of itself.

    preload: called once in each zygote whose environment can run any of the edges, to import what they need.
        It must only import: a zygote that has run a session or a conversion hangs its children.
    warm_up: called in a spare of such a zygote: a process that will run one step, not known yet, and then end. It does
        in small what steps do, on data of its own, so that what a library prepares at first use is ready. It must be
        quick (some 0.1 s), must not change what any step makes, and may write temporary files only. Where it raises,
        the traceback is in the zygote's log and the spare is used all the same. Sessions: see tensorflow_threads.py.
    """

    name: str
    version: str
    summary: str
    edges: Tuple[Edge, ...]
    targets: Tuple[Target, ...] = ()
    api_version: int = API_VERSION
    preload: Optional[Callable[[], None]] = None
    warm_up: Optional[Callable[[], None]] = None


@dataclass(frozen=True)
class FailedStep:
    """What a failure looks like to the hook that explains failures."""

    plugin: str
    edge: str
    reason: str
    message: str
    log_tail: str


@dataclass(frozen=True)
class ErrorHint:
    """What a failure means: a stable UPPER_SNAKE code, and a sentence that tells what to do."""

    code: str
    text: str
