"""What the end of a step process means: from its wait status and its log to a failure. No side effects."""

import os
import re
import signal
from typing import Dict, Optional

from modelmill_worker.errors import CANCELLATION, INFRASTRUCTURE, TOOL, StepError
from modelmill_worker.failures import EXIT_DISK_FULL, disk_full

_MIB = 1 << 20

#: What native code prints when an allocation failed, before it aborts.
_OUT_OF_MEMORY = re.compile(r"std::bad_alloc|[Cc]annot allocate memory|[Oo]ut of memory|OOM when allocating")

_SIGNALS = {
    "SIGABRT": "The conversion tool aborted itself (SIGABRT), usually because a check in its native code failed. "
    "The end of the log says which; another version of TensorFlow may accept the model.",
    "SIGSEGV": "The conversion tool crashed in its native code (SIGSEGV). "
    "Another version of TensorFlow may accept the model; the end of the log shows how far it came.",
    "SIGBUS": "The conversion tool crashed in its native code (SIGBUS), often because a file that it had mapped shrank "
    "or the disk is full. Check the space left and convert again.",
    "SIGILL": "The conversion tool used an instruction that this CPU does not have (SIGILL). "
    "Run this environment on a newer CPU, or choose another version of TensorFlow.",
    "SIGFPE": "The conversion tool divided by zero in its native code (SIGFPE), often because a dimension is 0. "
    "Check the model's input shapes.",
    "SIGKILL": "The step was killed from outside (SIGKILL), often by the kernel because the machine's memory ran out. "
    "Free memory or run fewer steps at once, and convert again.",
}
_OTHER_SIGNAL = "The step was ended by {}. If nobody sent it, convert again and see the end of the log."


def explain(status: int, log_tail: str) -> StepError:
    """Why a step process that left no result ended; `status` is that of wait(2)."""
    if os.WIFSIGNALED(status):
        return _signalled(os.WTERMSIG(status), log_tail)
    code = os.WEXITSTATUS(status)
    if code == EXIT_DISK_FULL:
        return disk_full("the worker's scratch folder")
    return StepError(
        "STEP_EXITED",
        "The step ended without a result, with exit code {}: the conversion tool left on its own. "
        "The end of the log may say why.".format(code),
        {"exit_code": code},
        fault=TOOL,
        log_tail=log_tail,
    )


def deadline_exceeded(seconds: float) -> StepError:
    """For a step that was ended because it ran too long."""
    message = "The step was ended because it ran longer than its deadline of {:g} s. Allow it more time.".format(
        seconds
    )
    return StepError("STEP_DEADLINE_EXCEEDED", message, {"deadline_seconds": seconds}, fault=TOOL)


def memory_exceeded(limit: int, used: int) -> StepError:
    """For a step that was ended because it took too much memory; both in bytes."""
    return StepError(
        "STEP_OUT_OF_MEMORY",
        "The step was ended because it used {} MiB of memory; its limit is {} MiB. Raise the memory limit of the "
        "conversion, or convert a smaller model.".format(used // _MIB, limit // _MIB),
        {"limit_bytes": limit, "used_bytes": used},
        fault=TOOL,
    )


def log_flooded(limit: int) -> StepError:
    """For a step that was ended because it printed too much; in bytes."""
    message = (
        "The step was ended because it printed more than {} KiB. The end of the log shows what it repeats; "
        "switch that output off.".format(limit // 1024)
    )
    return StepError("STEP_LOG_FLOODED", message, {"limit_bytes": limit}, fault=TOOL)


def cancelled() -> StepError:
    """For a step that somebody ended."""
    return StepError("STEP_CANCELLED", "The step was cancelled.", fault=CANCELLATION)


def worker_lost() -> StepError:
    """For a step whose zygote died."""
    message = "The worker process that ran the step died. The step is tried again; if it repeats, check the memory."
    return StepError("WORKER_LOST", message, fault=INFRASTRUCTURE)


def _signalled(number: int, log_tail: str) -> StepError:
    name = _signal_name(number)
    details: Dict[str, object] = {"signal": name, "number": number}
    if name == "SIGABRT" and _last_out_of_memory(log_tail):
        return StepError(
            "STEP_OUT_OF_MEMORY",
            "The conversion tool aborted because it could not get more memory. Raise the memory limit of the "
            "conversion, or convert a smaller model.",
            details,
            fault=TOOL,
            log_tail=log_tail,
        )
    message = _SIGNALS.get(name, _OTHER_SIGNAL.format(name))
    return StepError("STEP_SIGNALLED", message, details, fault=TOOL, log_tail=log_tail)


def _last_out_of_memory(log_tail: str) -> Optional[str]:
    """What an allocation that failed left among the last lines of the log."""
    found = _OUT_OF_MEMORY.findall("\n".join(log_tail.splitlines()[-20:]))
    return found[-1] if found else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "SIG{}".format(number)
