"""Run by an environment's Python: the converter alone, called again and again in one warm process.

    python converter.py GRAPH INPUTS OUTPUTS

Reads a line, converts once, prints the seconds; ends with its input.
"""

import sys
import time

import tensorflow as tf

graph, inputs, outputs = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(",")
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(graph, inputs, outputs).convert()
    print(time.perf_counter() - start, flush=True)
