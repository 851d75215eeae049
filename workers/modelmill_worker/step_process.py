"""What a forked step process does: leave the zygote behind, run one edge, write result.json, end.

A spare does the same, but for the wait between the first and the second (spare_process.py).
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Iterable

from modelmill_worker import json_values, libc, limits, options, sandbox
from modelmill_worker.errors import TOOL, StepError
from modelmill_worker.failures import EXIT_DISK_FULL, as_step_error, is_disk_full
from modelmill_worker.plugin_api import Step, Tree
from modelmill_worker.registry import Registry
from modelmill_worker.step_folder import StepFolder, read_json, write_json

#: Of JSON. Several times as much must pass as one gRPC message, and is read whole by all who ask.
FACTS_BYTES = 8 << 20
#: The exit code where the step process itself could not do its work.
_EXIT_BROKEN = 70


def start_at_once() -> None:
    """The `wait` of a process that is forked for a step."""


def become(
    folder: StepFolder,
    registry: Registry,
    zygote: int,
    descriptors: Iterable[int],
    wait: Callable[[], None] = start_at_once,
) -> None:
    """Turn this fork of the zygote into the process of one step. Does not return.

    wait: called when the process is confined; the step has come when it returns.

    It ends by `os._exit`: TensorFlow's teardown is slow, and nothing is left to tear down for.
    """
    code = _EXIT_BROKEN
    try:
        _leave_zygote(folder, zygote, descriptors)
        limits.forbid()
        sandbox.apply(folder.writable)
        wait()
        _run(folder, registry)
        code = 0
    except BaseException as error:  # noqa: BLE001 - nothing may unwind into the zygote's loop; the log says what it was
        code = EXIT_DISK_FULL if is_disk_full(error) else _EXIT_BROKEN
        with contextlib.suppress(OSError):  # the log's disk may be the full one
            traceback.print_exc()
    finally:
        flush()
        os._exit(code)


def _leave_zygote(folder: StepFolder, zygote: int, descriptors: Iterable[int]) -> None:
    os.setsid()
    libc.die_with_parent()
    if os.getppid() != zygote:
        os._exit(_EXIT_BROKEN)  # it died before the kernel was told
    libc.adopt_orphans()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for descriptor in descriptors:
        os.close(descriptor)
    _redirect(folder.log)
    os.chdir(str(folder.scratch))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder.scratch)


def _redirect(log: Path) -> None:
    """Standard input from nowhere, output and errors to the log, for C and C++ as well."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    written = os.open(str(log), os.O_WRONLY | os.O_APPEND)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.close(written)


def _run(folder: StepFolder, registry: Registry) -> None:
    request = read_json(folder.request)
    if request is None:
        raise FileNotFoundError(str(folder.request))
    limits.limit_memory(request["memory_bytes"])
    try:
        result: Dict[str, Any] = {"facts": _facts(folder, registry, request)}
    except BaseException as error:  # noqa: BLE001 - whatever leaves a plug-in becomes a failure
        if not isinstance(error, StepError):
            traceback.print_exc()
        result = {"failure": _as_json(as_step_error(error))}
    flush()
    write_json(folder.report / "result.json", result)


def _facts(folder: StepFolder, registry: Registry, request: Dict[str, Any]) -> Dict[str, Any]:
    edge = registry.edge(request["plugin"], request["edge"])
    step = Step(
        inputs={name: _tree(folder, name, tree) for name, tree in request["inputs"].items()},
        options=options.parse(edge.options, request["options"]),
        output=folder.output,
        scratch=folder.scratch,
        progress=_Progress(folder.report / "progress.json"),
    )
    facts = edge.run(step)
    if not isinstance(facts, dict):
        raise StepError(
            "NOT_JSON",
            "The edge {} returned {!r:.80} where facts, a JSON object, are due. "
            "Report it to the plug-in's author.".format(edge.name, facts),
            fault=TOOL,
        )
    return _small(json_values.checked(facts, "facts"))


def _small(facts: Dict[str, Any]) -> Dict[str, Any]:
    size = len(json.dumps(facts))
    if size > FACTS_BYTES:
        raise StepError(
            "FACTS_TOO_LARGE",
            "The plug-in returned {} bytes of facts; {} are allowed. Report it to its author: "
            "large results belong into files.".format(size, FACTS_BYTES),
            {"bytes": size, "limit": FACTS_BYTES},
            fault=TOOL,
        )
    return facts


def _tree(folder: StepFolder, name: str, tree: Dict[str, Any]) -> Tree:
    return Tree(kind=tree["kind"], path=folder.inputs / name, files=tuple(sorted(tree["files"])))


class _Progress:
    """Leaves the latest word on how far the step is where the host looks for it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, fraction: float, message: str) -> None:
        write_json(self._path, {"fraction": float(fraction), "message": str(message)})


def _as_json(error: StepError) -> Dict[str, Any]:
    return {
        "reason": error.reason,
        "message": error.message,
        "details": json_values.tolerated(error.details),
        "fault": error.fault,
    }


def flush() -> None:
    """Write out what was printed, by C++ as well."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # the log's disk is full, or the plug-in closed it: nothing more can be said there
    libc.flush_stdio()
