"""How far files are that travel to or from the farm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Bytes of a file in one message. 1 MiB costs gRPC twice as much processor time on both sides: measured.
PIECE = 512 << 10
#: Pieces read in one thread hop: more of them no longer fit into a processor's cache.
PIECES_AT_ONCE = 2


@dataclass(frozen=True)
class Transfer:
    """A moment of a transfer: the file that moved, and bytes done of all, over all files.

    to_farm: whether they are uploaded, else downloaded.
    """

    path: str
    done: int
    total: int
    to_farm: bool = True


#: Is told of a transfer's progress; called on the client's event loop, so it must return at once.
OnTransfer = Callable[[Transfer], None]


def ignore_transfer(transfer: Transfer) -> None:
    """For those who do not want to know."""


class Meter:
    """Adds up the bytes of several files that travel at once."""

    def __init__(self, total: int, to_farm: bool, on_transfer: OnTransfer) -> None:
        self._total = total
        self._to_farm = to_farm
        self._on_transfer = on_transfer
        self._done: dict[str, int] = {}

    def at(self, path: str, done: int) -> None:
        """This file has come so far."""
        self._done[path] = done
        self._on_transfer(Transfer(path, sum(self._done.values()), self._total, self._to_farm))
