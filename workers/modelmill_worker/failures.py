"""The failure that an exception means."""

import errno
import os

from modelmill_worker.errors import INFRASTRUCTURE, TOOL, StepError

#: The exit code of a step process that could not even write its failure down.
EXIT_DISK_FULL = 74

_FULL = (errno.ENOSPC, errno.EDQUOT)


def as_step_error(error: BaseException) -> StepError:
    """The failure that an exception from a plug-in means."""
    if isinstance(error, StepError):
        return error
    if is_disk_full(error):
        return disk_full("the worker's scratch folder")
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return StepError(
            "STEP_OUT_OF_MEMORY",
            "The step could not get the memory that it asked for. Raise the memory limit of the conversion, "
            "or convert a smaller model.",
            {"exception": type(error).__name__},
            fault=TOOL,
        )
    kind = type(error).__name__
    text = _first_line(error)
    return StepError(
        "PLUGIN_RAISED",
        "The conversion tool stopped with {}{}. The end of the log shows where.".format(kind, text and ": " + text),
        {"exception": kind, "text": text},
        fault=TOOL,
    )


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception says that there is no space left, TensorFlow's own included."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return type(error).__name__ == "ResourceExhaustedError" and os.strerror(errno.ENOSPC) in str(error)


def disk_full(where: str) -> StepError:
    """The failure for a full disk."""
    message = "No space is left in {}. Free some space there and convert again.".format(where)
    return StepError("DISK_FULL", message, {"where": where}, fault=INFRASTRUCTURE)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else ""
