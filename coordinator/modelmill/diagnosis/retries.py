"""Retry by class: what was lost is tried again, what the tool said no to is not."""

from __future__ import annotations

from modelmill.errors import Failure, Fault

#: Runs of one step, the first included, before a lost worker counts as the step's own doing.
ATTEMPTS = 3


def worth_another_try(failure: Failure, attempts: int) -> bool:
    """Whether a step that has failed so after so many runs may succeed if it is run again.

    A full disk is INFRASTRUCTURE too, but trying again at once only fills it again.
    """
    return failure.fault is Fault.INFRASTRUCTURE and failure.reason != "DISK_FULL" and attempts < ATTEMPTS
