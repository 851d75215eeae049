"""Whom to kill: the processes of a coordinator's workers."""

import psutil
from asking import wait_for
from coordinator_process import CoordinatorProcess


def zygote_of(coordinator: CoordinatorProcess, environment: str) -> psutil.Process:
    """The zygote of a worker host that runs."""
    return coordinator.hosts()[environment].children()[0]


def step_process(coordinator: CoordinatorProcess, environment: str) -> psutil.Process:
    """The one step process that runs, or is about to run, in an environment.

    A spare that was not warm when the step came is older than the step's process and waits beside it; while a step
    runs, no other is made.
    """
    found = wait_for(lambda: zygote_of(coordinator, environment).children(), "a step process")
    assert isinstance(found, list)
    return max(found, key=lambda child: child.create_time())


def gone(process: psutil.Process) -> bool:
    """The process has ended; one that nobody has waited for yet counts as ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def await_end(*processes: psutil.Process) -> None:
    """Return when all have ended."""
    for process in processes:
        wait_for(lambda process=process: gone(process), f"the end of {process}")
