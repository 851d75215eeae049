"""Edges that do not behave."""

import ctypes
import mmap
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Dict

from modelmill_worker import Step, StepError, option

_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Nothing:
    words: str = option("", "Printed before.")


@dataclass(frozen=True)
class Native:
    native: bool = option(False, "By a call into C rather than by Python.")


@dataclass(frozen=True)
class Memory:
    mebibytes: int = option(0, "How much to take at most; 0: all there is.")


@dataclass(frozen=True)
class Sleep:
    seconds: float = option(3600.0, "How long.")


@dataclass(frozen=True)
class Exit:
    code: int = option(3, "The exit code.")


@dataclass(frozen=True)
class Child:
    wait: bool = option(False, "Sleep as well, rather than end before the child.")
    detached: bool = option(False, "Put the child into a session of its own.")


def abort(step: Step) -> Dict[str, Any]:
    if not step.options.native:
        print("about to abort")
        os.abort()
    # Left in C's buffer unless somebody sees to it; a real tool prints its reason like this.
    _LIBC.printf(b"Check failed: shape.rank() == 4 from C\n")
    _LIBC.abort()
    return {}


def segfault(step: Step) -> Dict[str, Any]:
    print(step.options.words)
    ctypes.string_at(0)
    return {}


def bad_alloc(step: Step) -> Dict[str, Any]:
    message = b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n"
    os.write(2, message)
    os.abort()
    return {}


def eat_memory(step: Step) -> Dict[str, Any]:
    """Touches a MiB at a time, and rests a little, so that this machine survives a worker that does not watch."""
    eaten = []
    while not step.options.mebibytes or len(eaten) < step.options.mebibytes:
        block = mmap.mmap(-1, 1 << 20)
        block.write(b"x" * (1 << 20))
        eaten.append(block)
        time.sleep(0.0005)
    (step.output / "eaten").write_text(str(len(eaten)))
    return {}


def grab_memory(step: Step) -> Dict[str, Any]:
    bytearray(step.options.mebibytes << 20)
    return {}


def sleep(step: Step) -> Dict[str, Any]:
    print("asleep")
    time.sleep(step.options.seconds)
    (step.output / "rested").write_text("rested")
    return {}


def flood_stderr(step: Step) -> Dict[str, Any]:
    line = b"the same warning again and again\n" * 100
    while True:
        if step.options.native:
            os.write(2, line)
        else:
            sys.stderr.write(line.decode())


def raise_error(step: Step) -> Dict[str, Any]:
    print(step.options.words)
    raise RuntimeError("the tool does not like this model\nsecond line")


def explain(step: Step) -> Dict[str, Any]:
    print(step.options.words)
    raise StepError("NOT_THIS_MODEL", "This model cannot be converted; take another.", {"node": "conv1"})


def leave(step: Step) -> Dict[str, Any]:
    print("leaving")
    sys.stdout.flush()
    os._exit(step.options.code)
    return {}


def make_nothing(step: Step) -> Dict[str, Any]:
    (step.output / "empty-folder").mkdir()
    return {}


def make_link(step: Step) -> Dict[str, Any]:
    (step.output / "link").symlink_to("/etc/hostname")
    return {}


def return_nan(step: Step) -> Dict[str, Any]:
    (step.output / "file").write_text("file")
    return {"errors": [0.0, float("nan")]}


def spawn_child(step: Step) -> Dict[str, Any]:
    child = subprocess.Popen(["sleep", "3600"], start_new_session=step.options.detached)
    print("child", child.pid)
    if step.options.wait:
        time.sleep(3600)
    (step.output / "child").write_text(str(child.pid))
    return {"child": child.pid}


def fill_disk(step: Step) -> Dict[str, Any]:
    with open("/dev/full", "wb") as full:
        full.write(b"x" * 4096)
    return {}
