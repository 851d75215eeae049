"""Edges that behave."""

import os
import resource
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List

from modelmill_worker import Step, option

from modelmill_misbehaving import warm


@dataclass(frozen=True)
class Copy:
    words: str = option("", "Printed, and given back as a fact.")


@dataclass(frozen=True)
class Slow:
    steps: int = option(5, "How often to tell.")
    seconds: float = option(0.1, "Between two times.")


@dataclass(frozen=True)
class Look:
    write_to: str = option("", "A file outside that it tries to write.")
    connect_to: int = option(0, "A port on this machine to connect to; 0 for none.")


def copy(step: Step) -> Dict[str, Any]:
    print(step.options.words)
    copy_files(step)
    return {"words": step.options.words, "files": len(step.inputs["model"].files)}


def report_slowly(step: Step) -> Dict[str, Any]:
    for number in range(step.options.steps):
        step.progress(number / step.options.steps, f"part {number + 1}")
        print("part", number + 1)
        time.sleep(step.options.seconds)
    return copy_files(step)


def look(step: Step) -> Dict[str, Any]:
    """Facts about what a step process finds and may do."""
    model = step.inputs["model"]
    found = sorted(path.name for folder in (step.scratch, step.output) for path in folder.iterdir())

    def write_elsewhere() -> bool:
        return _can(lambda: Path(step.options.write_to).open("ab"))

    return dict(
        copy_files(step),
        found=found,
        working_directory=Path.cwd() == step.scratch,
        temporary=tempfile.gettempdir() == str(step.scratch) == os.environ["TMPDIR"],
        standard_input=os.read(0, 1) == b"",
        descriptors=_descriptors(),
        leads_its_session=os.getsid(0) == os.getpid(),
        core_limit=resource.getrlimit(resource.RLIMIT_CORE)[0],
        inputs_writable=_can(lambda: (model.path / model.files[0]).open("ab")),
        elsewhere_writable=write_elsewhere() if step.options.write_to else None,
        elsewhere_writable_in_old_thread=warm.in_old_thread(write_elsewhere) if step.options.write_to else None,
        moves_to_output=_can(lambda: _move_from_scratch(step)),
        connects=_can(lambda: socket.create_connection(("127.0.0.1", step.options.connect_to), timeout=5)),
    )


def copy_files(step: Step) -> Dict[str, Any]:
    for name in step.inputs["model"].files:
        target = step.output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(step.inputs["model"].path / name), str(target))
    return {}


def _move_from_scratch(step: Step) -> Any:
    made = step.scratch / "made"
    made.write_text("made")
    made.rename(step.output / "moved")
    return (step.output / "moved").open("rb")


def _can(attempt: Any) -> bool:
    try:
        attempt().close()
    except OSError:
        return False
    return True


def _descriptors() -> List[int]:
    """Open file descriptors; the listing's own is not one any more."""
    listed = [int(entry.name) for entry in os.scandir("/proc/self/fd")]
    return sorted(number for number in listed if Path("/proc/self/fd/{}".format(number)).exists())
