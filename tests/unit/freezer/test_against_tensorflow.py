"""The frozen graph beside what TensorFlow's own freezing makes of the same checkpoint: no more nodes, equal numbers."""

import numpy as np
import pytest
from modelmill_freezer._steps import FreezeOptions, freeze
from modelmill_worker import graph_def, signature
from modelmill_worker.plugin_api import Step, Tree

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
v1 = getattr(getattr(tf, "compat", None), "v1", tf)

#: Of an output's range.
TOLERANCE = 1e-6
NETS = {"pnet": ("prob", "bbox"), "rnet": ("prob", "bbox"), "onet": ("prob", "bbox", "landmarks")}
SIZES = {"pnet": 48, "rnet": 24, "onet": 48}


@pytest.mark.parametrize("version", ["tf1.9.0", "tf1.15.5"])
@pytest.mark.parametrize("net", sorted(NETS))
def test_has_no_more_nodes_and_the_same_numbers_as_tensorflows(corpus, tmp_path, version, net):
    folder = corpus / "mtcnn" / version / net
    output = tmp_path / "output"
    output.mkdir()
    files = ("graph.pb", "model.ckpt.data-00000-of-00001", "model.ckpt.index")
    freeze(Step({"model": Tree("tf.checkpoint", folder, files)}, FreezeOptions(outputs=NETS[net]), output, tmp_path))
    ours = graph_def.read(output / "graph.pb")
    theirs = freeze_with_tensorflow(folder, NETS[net])
    assert 0 < len(ours.node) <= len(theirs.node)

    (given,) = signature.read(output).inputs
    values = np.random.RandomState(7).uniform(-1, 1, (2, SIZES[net], SIZES[net], 3)).astype(np.float32)
    for wanted, found in zip(run(theirs, NETS[net], given.tensor, values), run(ours, NETS[net], given.tensor, values)):
        assert np.abs(found - wanted).max() <= TOLERANCE * np.ptp(wanted)
        assert np.ptp(wanted) > 0


def freeze_with_tensorflow(folder, outputs):
    with v1.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        v1.train.import_meta_graph(str(folder / "model.ckpt.meta"), clear_devices=True).restore(
            session, str(folder / "model.ckpt")
        )
        return v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), list(outputs))


def run(graph, outputs, given, values):
    with v1.Graph().as_default() as imported, v1.Session(graph=imported) as session:
        v1.import_graph_def(graph_def.copy(graph), name="")
        return session.run([name + ":0" for name in outputs], {given: values})
