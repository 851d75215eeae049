"""The one family of errors that plug-ins and the worker raise."""

from typing import Any, Dict, Optional

#: What the user asked for or handed in cannot work; the user can mend it.
INPUT = "INPUT"
#: The tool said no, crashed, or passed a limit.
TOOL = "TOOL"
#: A worker was lost: the same step may succeed elsewhere.
INFRASTRUCTURE = "INFRASTRUCTURE"
#: Somebody asked for the end.
CANCELLATION = "CANCELLATION"


class StepError(Exception):
    """A step cannot give its result, for a reason that the plug-in understands.

    Raise it where you can tell people what to do next. Any other exception that leaves a plug-in is
    reported as PLUGIN_RAISED, with its traceback in the log and not in the user's face.

    reason: stable and UPPER_SNAKE; the same reason always means the same.
    message: what happened, and what to do next, in a sentence or two.
    details: the parts of the message that vary, as JSON values.
    fault: INPUT, TOOL, INFRASTRUCTURE or CANCELLATION.
    log_tail: the end of what the step printed, where anything did.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        details: Optional[Dict[str, Any]] = None,
        fault: str = INPUT,
        log_tail: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.fault = fault
        self.log_tail = log_tail

    def __str__(self) -> str:
        return "{}: {}".format(self.reason, self.message)
