import os
import shutil
import subprocess
import sys

import numpy as np
from google.protobuf import text_format
from modelmill.fleet.smoke import smoke_graph
from tensorboard.compat.proto.graph_pb2 import GraphDef

#: Attributes that TensorFlow 1.5 does not know; a graph that names one cannot be read by it.
NEWER_THAN_TF_1_5 = {"explicit_paddings", "dilations", "_output_shapes", "grad_a", "grad_b"}


def read() -> GraphDef:
    return text_format.Parse(smoke_graph().read_text(), GraphDef())


def test_is_what_the_script_beside_it_makes(tmp_path):
    made = shutil.copy(smoke_graph().with_name("generate"), tmp_path)
    subprocess.run([sys.executable, made], check=True, env={**os.environ})
    assert (tmp_path / "graph.pbtxt").read_text() == smoke_graph().read_text()


def test_holds_nothing_that_an_old_tensorflow_cannot_read():
    graph = read()
    assert graph.versions.producer == 24
    assert graph.versions.min_consumer == 0
    assert not graph.library.function
    for node in graph.node:
        assert not NEWER_THAN_TF_1_5 & set(node.attr), node.name


def test_every_input_is_there_before_it_is_used():
    seen = set()
    for node in read().node:
        assert set(node.input) <= seen
        seen.add(node.name)
    assert "scores" in seen


def test_the_weights_say_something():
    for node in read().node:
        if node.op == "Const" and node.attr["dtype"].type == 1:
            weights = np.array(node.attr["value"].tensor.float_val)
            assert weights.std() > 0.1
            assert (weights * 64 == np.round(weights * 64)).all()
