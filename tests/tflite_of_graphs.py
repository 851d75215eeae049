"""Frozen graphs as .tflite files, converted and computed by the TensorFlow that the tests run in."""

from __future__ import annotations  # these tests run on Python 3.7 as well

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelmill_worker import graph_def, installed_tensorflow


def convert(graph: Any, inputs: list[str], outputs: list[str], folder: Path) -> bytes:
    """The graph as a .tflite file; skips where there is no TensorFlow."""
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    file = folder / "graph.pb"
    graph_def.write(file, graph)
    path = os.environ["PATH"]
    # TensorFlow 1's converter is a program beside the interpreter.
    os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + path
    try:
        return installed_tensorflow.v1().lite.TFLiteConverter.from_frozen_graph(str(file), inputs, outputs).convert()
    finally:
        os.environ["PATH"] = path


class Interpreter:
    """A .tflite file, loaded."""

    def __init__(self, model: bytes) -> None:
        self._interpreter = installed_tensorflow.v1().lite.Interpreter(model_content=model)
        self._interpreter.allocate_tensors()

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        return [tuple(int(size) for size in item["shape"]) for item in self._interpreter.get_input_details()]

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The outputs, in the file's order."""
        for detail, array in zip(self._interpreter.get_input_details(), arrays):
            self._interpreter.set_tensor(detail["index"], array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(detail["index"]) for detail in self._interpreter.get_output_details()]
