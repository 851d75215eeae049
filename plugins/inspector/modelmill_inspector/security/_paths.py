"""Whether a path in a model leads out of the model's folder."""

import re

_DRIVE_OR_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def leaves(path: str) -> bool:
    """Whether a path is absolute, climbs out, or is an address, on any operating system."""
    parts = path.replace("\\", "/").split("/")
    return (parts[0] == "" and len(parts) > 1) or ".." in parts or _DRIVE_OR_SCHEME.match(path) is not None
