"""Steps without a worker, and models that need no TensorFlow to be made."""

import pytest
from modelmill_verifier import modelmill_plugins
from modelmill_worker import Step, Tree, options
from modelmill_worker import signature as signatures


@pytest.fixture
def run_edge(tmp_path):
    """Run an edge of the verifier on folders: run_edge("sample", {"model": folder}) -> (facts, output folder)."""
    count = iter(range(1000))

    def run(name, inputs, values=None):
        (plugin,) = modelmill_plugins()
        (edge,) = [edge for edge in plugin.edges if edge.name == name]
        folder = tmp_path / f"step-{next(count)}"
        (folder / "output").mkdir(parents=True)
        (folder / "scratch").mkdir()
        kinds = dict(edge.inputs)
        step = Step(
            inputs={key: tree(kinds.get(key) or kinds["*"], path) for key, path in inputs.items()},
            options=options.parse(edge.options, values or {}),
            output=folder / "output",
            scratch=folder / "scratch",
        )
        return edge.run(step), folder / "output"

    return run


def tree(kind, path):
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return Tree(kind, path, tuple(files))


@pytest.fixture
def model_of(tmp_path):
    """A folder with a signature alone, which is all that sampling looks at."""

    def make(signature):
        folder = tmp_path / "model"
        folder.mkdir()
        signatures.write(folder, signature)
        return folder

    return make
