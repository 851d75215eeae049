"""Steps without a worker, and the corpus."""

import os
from pathlib import Path

import pytest
from modelmill_tflite_quantizer import modelmill_plugins
from modelmill_worker import Step, Tree, options


@pytest.fixture
def corpus():
    project = Path(__file__).resolve().parents[3]
    folder = Path(os.environ.get("MODELMILL_CORPUS", str(project.parent / "shared" / "corpus")))
    if not folder.is_dir():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    return folder


@pytest.fixture
def run_convert(tmp_path):
    """Run the edge "convert" on a frozen graph's folder; what it made lies in tmp_path / "output"."""

    def run(model, values):
        (plugin,) = modelmill_plugins()
        (edge,) = plugin.edges
        (tmp_path / "output").mkdir()
        (tmp_path / "scratch").mkdir()
        step = Step(
            inputs={"model": Tree("tf.frozen_graph", model, ("graph.pb", "signature.json"))},
            options=options.parse(edge.options, values),
            output=tmp_path / "output",
            scratch=tmp_path / "scratch",
        )
        return edge.run(step)

    return run
