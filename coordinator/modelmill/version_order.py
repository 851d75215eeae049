"""The order in which versions of TensorFlow are shown: 1.5 before 1.10."""

from packaging.version import InvalidVersion, Version


def version_of(text: str | None) -> Version:
    """A version to sort by; first comes what there is none of, and what is no version."""
    try:
        return Version(text or "0")
    except InvalidVersion:
        return Version("0")
