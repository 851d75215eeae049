"""The host's own log: one JSON object a line on standard error, with the ids of conversion and step."""

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any, MutableMapping, Tuple

_NAME = "modelmill.worker"


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; what is passed as ``extra={"fields": {...}}`` becomes its keys."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        entry.update(getattr(record, "fields", {}))
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class StepLog(logging.LoggerAdapter):  # type: ignore[type-arg]
    """A log whose every line carries the ids of one step."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> Tuple[Any, MutableMapping[str, Any]]:
        """Put the ids before the line's own fields."""
        fields = dict(self.extra or {})
        fields.update(kwargs.get("extra", {}).get("fields", {}))
        kwargs["extra"] = {"fields": fields}
        return msg, kwargs


def worker_log() -> logging.Logger:
    """The log of what concerns no step."""
    return logging.getLogger(_NAME)


def step_log(conversion_id: str, step_id: str) -> StepLog:
    """The log of one step."""
    return StepLog(worker_log(), {"conversion_id": conversion_id, "step_id": step_id})


def write_to_stderr() -> None:
    """Send the log to standard error; called once, by the host."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
