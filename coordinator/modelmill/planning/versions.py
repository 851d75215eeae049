"""Versions of TensorFlow: how they are compared, and what a user who asks for some of them means."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from modelmill.errors import ModelmillError

#: "1.9" means any 1.9.x, "1.15.5" that one.
_PLAIN = re.compile(r"\d+\.\d+(\.\d+)?")


@dataclass(frozen=True)
class Wish:
    """The versions of TensorFlow that are allowed for what makes a target.

    text: as it was asked for.
    every: a user asked for every version, and this is one of them.
    """

    text: str
    specifiers: str
    every: bool = False

    def allows(self, version: str) -> bool:
        """Whether a full version such as "1.15.5" is one of them."""
        return contains(self.specifiers, version)


def parse_wish(text: str) -> Wish | None:
    """What was asked for; None for an empty text, which allows every version.

    Raises ModelmillError INVALID_TENSORFLOW_VERSION with what to write.
    """
    stripped = text.strip()
    if not stripped:
        return None
    plain = _PLAIN.fullmatch(stripped)
    specifier = f"=={stripped}{'' if plain[1] else '.*'}" if plain else stripped
    try:
        SpecifierSet(specifier)
    except InvalidSpecifier as error:
        raise ModelmillError(
            "INVALID_TENSORFLOW_VERSION",
            f"{text!r} is no version of TensorFlow: write one such as 1.9 (any 1.9.x) or 1.15.5, or a range such as "
            "'>=2.4,<2.16'.",
            {"tensorflow": text},
        ) from error
    return Wish(stripped, specifier)


def one_of_every(version: str) -> Wish:
    """One version and no other, where every version was asked for."""
    return Wish(version, f"=={version}", every=True)


@functools.cache
def contains(specifiers: str, version: str) -> bool:
    """Whether PEP 440 specifiers such as ">=2.4,<2.16" contain a version."""
    return SpecifierSet(specifiers).contains(version, prereleases=True)


@functools.cache
def release(version: str) -> tuple[int, int, int]:
    """Major, minor and micro; planning asks for the same few a hundred times."""
    parsed = Version(version)
    return parsed.major, parsed.minor, parsed.micro


def minor(version: str) -> str:
    """The minor version, such as "1.15" of "1.15.5"."""
    major, second, _ = release(version)
    return f"{major}.{second}"
