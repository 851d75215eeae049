"""Values of constants that were asked for lately: as bytes they are in the graph already, and may be most of it."""

from collections import OrderedDict
from typing import Optional

import numpy as np

#: Bytes that are kept; a rule asks for the same few constants again and again, and then for others.
_MOST_BYTES = 32 * 2**20


class RecentArrays:
    """Arrays by name, of which the oldest go when there are too many; the latest is always there."""

    def __init__(self) -> None:
        self._arrays: "OrderedDict[str, np.ndarray]" = OrderedDict()
        self._bytes = 0

    def get(self, name: str) -> Optional[np.ndarray]:
        """The array, where it is still there."""
        return self._arrays.get(name)

    def put(self, name: str, array: np.ndarray) -> None:
        """Keep an array for a while."""
        self.forget(name)
        self._arrays[name] = array
        self._bytes += array.nbytes
        while self._bytes > _MOST_BYTES and len(self._arrays) > 1:
            _, oldest = self._arrays.popitem(last=False)
            self._bytes -= oldest.nbytes

    def forget(self, name: str) -> None:
        """Let an array go, where it is there."""
        array = self._arrays.pop(name, None)
        if array is not None:
            self._bytes -= array.nbytes
