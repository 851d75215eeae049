"""The few calls into the C library that Python has no name for. Linux only.

The library is opened when this module is imported, so that a forked child need not load anything.
"""

import ctypes
import os
import signal

_LIBC = ctypes.CDLL(None, use_errno=True)

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
# stdio.h
_IOLBF = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends. A fork does not inherit it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def outlive_parent() -> None:
    """Undo `die_with_parent`."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none can escape."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    """No program started from here can gain rights by its set-user-id bit."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def line_buffer_stdout() -> None:
    """Make C's stdout write each line at once: what is printed just before a crash then reaches the log."""
    stdout = ctypes.c_void_p.in_dll(_LIBC, "stdout")
    _LIBC.setvbuf(stdout, None, _IOLBF, ctypes.c_size_t(0))


def flush_stdio() -> None:
    """Write out what C code has printed; `os._exit` would lose it."""
    _LIBC.fflush(None)


def syscall(number: int, *arguments: object) -> int:
    """A system call by number. Raises OSError."""
    result = int(_LIBC.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise _last_error()
    return result


def _prctl(option: int, value: int) -> None:
    unused = ctypes.c_ulong(0)
    if _LIBC.prctl(option, ctypes.c_ulong(value), unused, unused, unused) != 0:
        raise _last_error()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
