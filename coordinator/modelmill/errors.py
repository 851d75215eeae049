"""The one family of errors of the coordinator, its client and its command."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The domain of every `google.rpc.ErrorInfo` that modelmill sends.
DOMAIN = "modelmill"


class Fault(enum.Enum):
    """Who can do something about a failure; the names are those of failure.proto."""

    INPUT = "INPUT"
    TOOL = "TOOL"
    INFRASTRUCTURE = "INFRASTRUCTURE"
    CANCELLATION = "CANCELLATION"


@dataclass(frozen=True)
class Failure:
    """Why something failed, as a value: part of a step, a result or a conversion.

    reason: stable and UPPER_SNAKE; the same reason always means the same.
    message: what happened and what to do next, in a sentence or two.
    details: the parts of the message that vary, as JSON values.
    log_tail: the end of what the step printed; empty where nothing ran.
    """

    reason: str
    message: str
    fault: Fault = Fault.INPUT
    details: Mapping[str, Any] = field(default_factory=dict)
    log_tail: str = ""

    def to_json(self) -> dict[str, Any]:
        """This failure as a JSON object, for the journal and the engine."""
        return {
            "reason": self.reason,
            "message": self.message,
            "fault": self.fault.value,
            "details": dict(self.details),
            "log_tail": self.log_tail,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Failure:
        """The inverse of `to_json`."""
        return cls(data["reason"], data["message"], Fault(data["fault"]), data["details"], data["log_tail"])


class ModelmillError(Exception):
    """Something cannot be done, for a reason that a person can act on.

    Raised everywhere in the coordinator and the client; `api` turns it into a google.rpc.Status and the
    client turns that back, so that a reason is the same on both sides of the wire.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        fault: Fault = Fault.INPUT,
        log_tail: str = "",
    ) -> None:
        super().__init__(message)
        self.failure = Failure(reason, message, fault, dict(details or {}), log_tail)

    @classmethod
    def of(cls, failure: Failure) -> ModelmillError:
        """The exception for a failure that was met as a value."""
        return cls(failure.reason, failure.message, failure.details, failure.fault, failure.log_tail)

    @property
    def reason(self) -> str:
        """The failure's stable reason."""
        return self.failure.reason

    def __str__(self) -> str:
        return self.failure.message
