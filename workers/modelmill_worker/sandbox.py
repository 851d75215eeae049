"""Landlock: a step process writes into its own folder only and opens no TCP connection. Best effort.

Reading is not confined yet. MODELMILL_SANDBOX=off switches it off.
The numbers and layouts are those of linux/landlock.h; they are the same on x86-64 and arm64.
"""

import ctypes
import os
import platform
from pathlib import Path
from typing import Iterable

from modelmill_worker import libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_QUERY_VERSION = 1
_RULE_PATH_BENEATH = 1

_WRITE_FILE = 1 << 1
#: REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM.
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))
#: Linking and renaming across folders; since version 2.
_REFER = 1 << 13
#: Since version 3.
_TRUNCATE = 1 << 14
#: TCP bind and connect; since version 4.
_TCP = (1 << 0) | (1 << 1)

_DEVICES = (Path("/dev/null"), Path("/dev/zero"), Path("/dev/full"))
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's name for it, not a place for temporary files


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64), ("handled_access_net", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """The version of Landlock that will be applied; 0 where it is switched off or the kernel has none."""
    if os.environ.get("MODELMILL_SANDBOX") == "off" or platform.machine() not in ("x86_64", "aarch64"):
        return 0
    try:
        return libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_QUERY_VERSION))
    except OSError:
        return 0


def apply(writable: Iterable[Path]) -> None:
    """Confine this thread, all threads and all processes that it will start. Does nothing where `version` is 0.

    Needs `libc.forbid_new_privileges` before. Raises OSError where the kernel has Landlock and refuses.
    """
    supported = version()
    if not supported:
        return
    in_folders = _WRITE_FILE | _CHANGE_FOLDER | (_REFER if supported >= 2 else 0) | (_TRUNCATE if supported >= 3 else 0)
    ruleset = _create(in_folders, supported)
    try:
        for folder in (_SHARED_MEMORY, *writable):
            _allow(ruleset, folder, in_folders)
        for device in _DEVICES:
            _allow(ruleset, device, in_folders & (_WRITE_FILE | _TRUNCATE))
        libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _create(filesystem: int, supported: int) -> int:
    rules = _Ruleset(filesystem, _TCP)
    # Older kernels know the first field only and refuse a longer structure.
    size = ctypes.sizeof(rules) if supported >= 4 else ctypes.sizeof(ctypes.c_uint64)
    return libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        handle = os.open(str(path), os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rule = _PathBeneath(access, handle)
        kind = ctypes.c_int(_RULE_PATH_BENEATH)
        libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), kind, ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(handle)
