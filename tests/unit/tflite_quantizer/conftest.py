"""Steps without a worker, and models made by the TensorFlow that is there."""

import importlib.util
from pathlib import Path

import pytest
from modelmill_tflite_quantizer import modelmill_plugins
from modelmill_worker import Step, Tree, options


@pytest.fixture(scope="session")
def models():
    """models.py beside this file, which imports TensorFlow."""
    spec = importlib.util.spec_from_file_location("tflite_models", str(Path(__file__).with_name("models.py")))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_edge(tmp_path):
    """Run an edge on a folder with a model; what it made lies in tmp_path / "output"."""

    def run(name, model, values):
        (plugin,) = modelmill_plugins()
        (edge,) = [edge for edge in plugin.edges if edge.name == name]
        ((_, kind),) = edge.inputs
        (tmp_path / "output").mkdir()
        (tmp_path / "scratch").mkdir()
        files = tuple(sorted(str(file.relative_to(model)) for file in model.rglob("*") if file.is_file()))
        step = Step(
            inputs={"model": Tree(kind, model, files)},
            options=options.parse(edge.options, values),
            output=tmp_path / "output",
            scratch=tmp_path / "scratch",
        )
        return edge.run(step)

    return run


@pytest.fixture
def run_convert(run_edge):
    """Run the edge "convert" on a frozen graph's folder."""
    return lambda model, values: run_edge("convert", model, values)
