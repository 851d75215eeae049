"""A graph read some fields at a time is the graph that was written, wherever the pieces end."""

import numpy as np
import pytest
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError


def written(path, sizes):
    graph = graph_def.new_graph()
    for number, size in enumerate(sizes):
        graph.node.append(graph_def.new_constant(f"c{number}", np.arange(size, dtype=np.uint8)))
    graph.versions.producer = 27
    path.write_bytes(graph.SerializeToString())
    return graph


@pytest.mark.parametrize("piece", [1, 7, 64, 100, 5000])
def test_reads_what_was_written(tmp_path, monkeypatch, piece):
    """Pieces shorter than a node, than its length's own bytes, and longer than all."""
    monkeypatch.setattr(graph_def, "_PIECE", piece)
    graph = written(tmp_path / "graph.pb", [0, 3, 200, 1, 130, 2])
    assert graph_def.read(tmp_path / "graph.pb") == graph


def test_reads_what_fills_its_last_piece(tmp_path, monkeypatch):
    graph = written(tmp_path / "graph.pb", [10, 20])
    monkeypatch.setattr(graph_def, "_PIECE", (tmp_path / "graph.pb").stat().st_size)
    assert graph_def.read(tmp_path / "graph.pb") == graph


@pytest.mark.parametrize("piece", [16, 4096])
def test_tells_a_graph_that_ends_too_early(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(graph_def, "_PIECE", piece)
    path = tmp_path / "graph.pb"
    written(path, [300, 300])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StepError) as raised:
        graph_def.read(path)
    assert raised.value.reason == "GRAPH_DEF_DAMAGED"


@pytest.mark.parametrize("piece", [16, 4096])
def test_tells_a_node_that_is_none(tmp_path, monkeypatch, piece):
    """The lengths of all fields are right, and the bytes of the second node are no message."""
    monkeypatch.setattr(graph_def, "_PIECE", piece)
    path = tmp_path / "graph.pb"
    first = written(path, [300]).SerializeToString()
    path.write_bytes(first + bytes([0x0A, 3, 0x0A, 200, 1]) + first)
    with pytest.raises(StepError) as at_once:
        graph_def.parse(path.read_bytes(), path.name)
    with pytest.raises(StepError) as raised:
        graph_def.read(path)
    assert raised.value.reason == at_once.value.reason == "GRAPH_DEF_DAMAGED"
