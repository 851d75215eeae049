"""Freezes signatures of SavedModels with TensorFlow's own function: the nodes that it makes, by JSON line.

Arguments: pairs of a folder and a signature's key.
"""

import json
import sys

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def main():
    for folder, key in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        loaded = tf.saved_model.load(folder)  # which keeps the variables alive
        function = loaded.signatures[key]
        graph = convert_variables_to_constants_v2(function, lower_control_flow=False).graph.as_graph_def()
        print("\n" + json.dumps({"nodes": len(graph.node)}), flush=True)


if __name__ == "__main__":
    main()
