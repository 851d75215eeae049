"""Whether a file is a lock: pins with hashes, as `workers/environments/lock` writes it."""

from __future__ import annotations

import re

_OPTION = re.compile(r"--[a-z][a-z-]+( \S+)?")
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PIN = re.compile(rf"({_NAME})(?:\[[^\]]*\])?==([^\s;]+)(?:\s*;\s*[^#]*?)?((?:\s+--hash=sha256:[0-9a-f]{{64}})+)")
#: The distributions that have TensorFlow in them; plug-ins require it by the first name.
_TENSORFLOW = ("tensorflow", "tensorflow-cpu")


def lock_error(text: str) -> str:
    """What makes a text no lock, as the end of a sentence; empty for a lock.

    uv would find it too, but only when the environment is installed: the plan that chose it would have failed by then.
    """
    for number, line in _lines(text):
        if not _OPTION.fullmatch(line) and not _PIN.fullmatch(line):
            return f"line {number} is neither an option nor a package pinned with hashes: {line[:80]!r}"
    return ""


def pinned_tensorflow(text: str) -> str:
    """The version of TensorFlow that a lock pins, whichever distribution has it; empty where there is none."""
    pins = {match[1]: match[2] for _, line in _lines(text) if (match := _PIN.fullmatch(line))}
    return next((pins[name] for name in _TENSORFLOW if name in pins), "")


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines with something in them and their numbers; those that a backslash continues are one."""
    lines = []
    parts: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("#"):
            continue
        parts.append(bare.removesuffix("\\").strip())
        if not bare.endswith("\\"):
            whole = " ".join(part for part in parts if part)
            if whole:
                lines.append((number - len(parts) + 1, whole))
            parts = []
    if any(parts):
        lines.append((len(text.splitlines()) - len(parts) + 1, " ".join(parts)))
    return lines
