"""Real numbers to the whole numbers of a quantised tensor, and back: real = scale * (whole - zero_point).

Formula: https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np

_STORED_AS = ("uint8", "int8", "int16")


@dataclass(frozen=True)
class Quantization:
    """How a whole tensor's values are stored; dtype: numpy's name, "uint8", "int8" or "int16"."""

    dtype: str
    scale: float
    zero_point: int

    def quantise(self, values: np.ndarray) -> np.ndarray:
        """The nearest whole numbers, halves to even; what is out of range becomes its end."""
        limits = np.iinfo(self.dtype)
        whole = np.rint(values.astype(np.float64) / self.scale) + self.zero_point
        return np.clip(whole, limits.min, limits.max).astype(self.dtype)

    def dequantise(self, values: np.ndarray) -> np.ndarray:
        """The real numbers, as float32."""
        return ((values.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)

    def facts(self) -> Dict[str, Any]:
        """As the report has it."""
        return {"dtype": self.dtype, "scale": self.scale, "zero_point": self.zero_point}


def quantization_of(detail: Dict[str, Any]) -> Optional[Quantization]:
    """That of a tensor as the interpreter describes it; None where it holds the numbers that it means."""
    dtype = np.dtype(detail["dtype"]).name
    scale, zero_point = detail["quantization"]
    if dtype not in _STORED_AS or not scale > 0:
        return None
    return Quantization(dtype, float(scale), int(zero_point))
