"""Frozen graphs and sources with lookup tables are run with the tables filled."""

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset
from modelmill_worker import graph_def
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")

STRING, INT64 = 7, 9

SIGNATURE = Signature(
    (Tensor("words", "words:0", "string", (-1,)),),
    (Tensor("numbers", "numbers:0", "int64", (-1,)),),
    initializers=("fill",),
)
WORDS = np.array([b"dog", b"cow", b"cat"])


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "inputs").mkdir()
    datasets.write(tmp_path / "inputs", Dataset(SIGNATURE, {"words": WORDS}))
    return tmp_path / "inputs"


def write_graph(path, fill, *given):
    """A look-up of words in a table, which the operation `fill` fills from arrays; a graph of any TensorFlow."""
    graph = graph_def.new_graph()
    graph.versions.producer = 22
    constants = [(f"given_{number}", array) for number, array in enumerate(given)]
    nodes = [graph_def.new_constant(name, array) for name, array in [*constants, ("default", np.array(-1))]]
    nodes += [
        graph_def.new_node("words", "Placeholder"),
        graph_def.new_node("table", "HashTableV2"),
        graph_def.new_node("fill", fill, ("table", *(name for name, _ in constants))),
        graph_def.new_node("numbers", "LookupTableFindV2", ("table", "words", "default")),
    ]
    by_name = {node.name: node for node in nodes}
    by_name["words"].attr["dtype"].type = STRING
    for name, key, value in (("table", "key_dtype", "value_dtype"), ("numbers", "Tin", "Tout")):
        by_name[name].attr[key].type = STRING
        by_name[name].attr[value].type = INT64
    if fill == "InitializeTableV2":
        by_name["fill"].attr["Tkey"].type = STRING
        by_name["fill"].attr["Tval"].type = INT64
    else:
        by_name["fill"].attr["key_index"].i = -2
        by_name["fill"].attr["value_index"].i = -1
    graph.node.extend(nodes)
    graph_def.write(path, graph)


def strings(*texts):
    return np.array([text.encode() for text in texts], dtype=object)


def test_runs_the_initialisers_of_a_frozen_graph(run_edge, inputs, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    write_graph(model / "graph.pb", "InitializeTableV2", strings("cat", "dog"), np.array([5, 6]))
    signatures.write(model, SIGNATURE)
    _, output = run_edge("run-frozen-graph", {"model": model, "inputs": inputs})
    assert datasets.read(output).arrays["numbers"].tolist() == [6, -1, 5]


def test_finds_a_vocabulary_among_the_files_of_a_source(run_edge, inputs, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "animals.txt").write_text("cat\ndog\n")
    path = strings("/where/it/was/trained/animals.txt").reshape(())
    write_graph(model / "graph.pb", "InitializeTableFromTextFileV2", path)
    _, output = run_edge("run-graph", {"model": model, "inputs": inputs})
    assert datasets.read(output).arrays["numbers"].tolist() == [1, -1, 0]
