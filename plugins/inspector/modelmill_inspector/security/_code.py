"""Tells marshalled Python code, pickles and machine code from other bytes, without loading any of them."""

import pickletools
import re
from typing import List, Optional

from modelmill_inspector.security._embedded import from_base64

#: A code object as `marshal` writes it: its type, with or without the mark that it may be referred to, and four or more
#: numbers of 32 bits, the first of them the number of its arguments (cpython/Python/marshal.c, TYPE_CODE).
_MARSHALLED = re.compile(rb"[\x63\xe3][\x00-\x7f]\x00\x00\x00[\x00-\x7f]\x00\x00\x00")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s_-]{16,}")
#: A short text as `marshal` writes it: its type, its length, the text.
_SHORT_TEXT = re.compile(rb"[\xfa\xdaZz]([\x02-\x3f])([A-Za-z_][A-Za-z0-9_.]{1,62})")
#: The start of a pickle of protocol 2 or later, and of one before, which is text: that counts only where it is whole.
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_OLD_PICKLE = re.compile(rb"[(\]})]*[ci(][^\n]{1,255}\n|\(")
#: What lets a pickle call something.
_PICKLE_CALLS = frozenset(["GLOBAL", "STACK_GLOBAL", "INST"])
#: Opcodes of a pickle that are read until it counts as one whatever follows.
_MOST_OPCODES = 10_000
_MACHINE_CODE = (
    (b"\x7fELF", "a library or program for Linux"),
    (b"MZ", "a library or program for Windows"),
    (b"\xcf\xfa\xed\xfe", "a library or program for macOS"),
    (b"\xca\xfe\xba\xbe", "a library or program for macOS, or a Java class"),
)
_SHOWN = 12


def marshalled(text: str) -> Optional[bytes]:
    """The code object, marshalled, that a text stands for: in base64, or a character for each byte; else None."""
    if _BASE64.fullmatch(text):
        data = from_base64(text.encode("ascii"))
        if _MARSHALLED.match(data):
            return data
    if text[:1] in ("c", "\xe3"):
        data = text.encode("latin-1", "replace")
        if _MARSHALLED.match(data):
            return data
    return None


def is_marshalled(data: bytes) -> bool:
    """Whether bytes are a marshalled code object."""
    return _MARSHALLED.match(data) is not None


def names_in(code: bytes) -> List[str]:
    """Names and short texts in a marshalled code object, in their order, at most a dozen: what it is about."""
    found: List[str] = []
    for match in _SHORT_TEXT.finditer(code):
        length, text = match.group(1)[0], match.group(2)
        if len(text) >= length:
            name = text[:length].decode("ascii")
            if name not in found:
                found.append(name)
    return found[:_SHOWN]


def pickle_calls(data: bytes) -> Optional[List[str]]:
    """The functions and classes that a pickle names; None where the bytes are no pickle. Nothing is unpickled."""
    old = not _PICKLE.match(data)
    if old and not (_OLD_PICKLE.match(data) and data.rstrip().endswith(b".")):
        return None
    named: List[str] = []
    texts: List[str] = []
    try:
        for index, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if isinstance(argument, str):
                texts = [*texts[-1:], argument]
            if opcode.name in _PICKLE_CALLS:
                name = argument if isinstance(argument, str) and opcode.name != "STACK_GLOBAL" else " ".join(texts)
                if name not in named and len(named) < _SHOWN:
                    named.append(name.replace(" ", "."))
            if index > _MOST_OPCODES:
                return named
    except (ValueError, IndexError, OverflowError, UnicodeDecodeError):
        return None if old else named or None
    return named


def machine_code(data: bytes) -> str:
    """What kind of machine code a file begins with; empty where it begins with none."""
    return next((what for mark, what in _MACHINE_CODE if data.startswith(mark)), "")
