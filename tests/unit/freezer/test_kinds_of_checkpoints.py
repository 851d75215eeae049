"""Checkpoints of both formats, variables of every type and in partitions, as TensorFlow itself writes them."""

import numpy as np
import pytest
from modelmill_freezer._steps import FreezeOptions, freeze
from modelmill_worker import graph_def, source_files
from modelmill_worker.file_formats import FileFormat
from modelmill_worker.plugin_api import Step, Tree

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
v1 = getattr(getattr(tf, "compat", None), "v1", tf)

VERSIONS = (v1.train.SaverDef.V1, v1.train.SaverDef.V2)
#: The graph that a checkpoint is given with: its MetaGraphDef, which has the saver's nodes, or a GraphDef without.
GRAPHS = ("meta", "graph")


class Source:
    """A checkpoint that was saved with a graph of one kind."""

    def __init__(self, folder, version, kind):
        self._folder, self._version, self._kind = folder, version, kind
        folder.mkdir()

    def save(self, session):
        if self._kind == "graph":  # Before the saver is added to it.
            graph_def.write(self._folder / "graph.pb", session.graph.as_graph_def())
        saver = v1.train.Saver(write_version=self._version)
        saver.save(session, str(self._folder / "model.ckpt"), write_meta_graph=self._kind == "meta", write_state=False)

    @property
    def tree(self):
        names = tuple(sorted(file.name for file in self._folder.iterdir()))
        return Tree("tf.checkpoint", self._folder, names)


def run(source, output, given=((1.0, 2.0, 3.0),), outputs=("y",)):
    """Freeze it; the facts, and what a session of the frozen graph answers for an input."""
    output.mkdir()
    step = Step({"model": source.tree}, FreezeOptions(outputs=outputs), output, output.parent)
    facts = freeze(step)
    graph = graph_def.read(output / "graph.pb")
    assert not [node.name for node in graph.node if node.op in graph_def.VARIABLES]
    with v1.Graph().as_default() as imported, v1.Session(graph=imported) as session:
        v1.import_graph_def(graph_def.copy(graph), name="")
        return facts, session.run([name + ":0" for name in outputs], {"x:0": given})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("resource", [False, True])
def test_both_formats_are_recognised_and_frozen(tmp_path, version, kind, resource):
    source = Source(tmp_path / "source", version, kind)
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        with v1.variable_scope("net", use_resource=resource):
            w = v1.get_variable("w", [3, 2], initializer=v1.random_normal_initializer(seed=3))
            b = v1.get_variable("b", [2], initializer=v1.random_normal_initializer(seed=4))
        y = tf.identity(tf.matmul(x, w) + b, name="y")
        session.run(v1.global_variables_initializer())
        source.save(session)
        expected = session.run(y, {x: [[1.0, 2.0, 3.0]]})

    files = source_files.survey(source.tree)
    old = [file.name for file in source_files.of_formats(files, FileFormat.CHECKPOINT_V1)]
    assert old == (["model.ckpt"] if version == v1.train.SaverDef.V1 else [])
    assert source_files.choose_checkpoint(files).name == "model.ckpt"
    facts, (answer,) = run(source, tmp_path / "out")
    assert (facts["variables"], facts["parameters"]) == (2, 8)
    np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("resource", [False, True])
def test_the_parts_of_a_partitioned_variable_get_their_slices(tmp_path, version, kind, axis, resource):
    """Five rows or columns in two parts of unlike size, which the checkpoint holds as one tensor."""
    source = Source(tmp_path / "source", version, kind)
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        with v1.variable_scope("net", use_resource=resource, partitioner=v1.fixed_size_partitioner(2, axis=axis)):
            shape = [3, 5]
            w = v1.get_variable("w", shape, initializer=v1.random_normal_initializer(seed=3))
        y = tf.identity(tf.matmul(x, tf.convert_to_tensor(w)), name="y")
        session.run(v1.global_variables_initializer())
        source.save(session)
        expected = session.run(y, {x: [[1.0, 2.0, 3.0]]})

    facts, (answer,) = run(source, tmp_path / "out")
    assert (facts["variables"], facts["parameters"]) == (2, 15)
    np.testing.assert_array_equal(answer, expected)


VALUES = {
    "float16": [0.5, -3.25, 65504.0],
    "bfloat16": [0.5, -3.25, 1e30],
    "float64": [1e300, -1 / 3, 0.0],
    "int8": [-128, 0, 127],
    "uint8": [0, 1, 255],
    "int16": [-32768, 0, 32767],
    "int32": [-(2**31), 0, 2**31 - 1],
    "int64": [-(2**63), 0, 2**63 - 1],
    "bool": [True, False, True],
    "string": [b"", b"\x00\xff", "z\u00fcrich".encode("utf-8")],
    "complex64": [1j, -2.5, 0],
}


#: TensorFlow cannot save bfloat16 in the old format.
TYPES = [(dtype, version) for dtype in sorted(VALUES) for version in VERSIONS[dtype == "bfloat16" :]]


@pytest.mark.parametrize(("dtype", "version"), TYPES)
def test_variables_of_every_type_keep_their_values(tmp_path, dtype, version):
    kind = getattr(tf, dtype)
    source = Source(tmp_path / "source", version, "graph")
    with v1.Graph().as_default(), v1.Session() as session:
        value = tf.constant(VALUES[dtype], tf.float32 if dtype == "bfloat16" else kind)
        v = v1.get_variable("v", initializer=tf.cast(value, kind) if dtype == "bfloat16" else value)
        tf.gather(v, v1.placeholder(tf.int32, [None], name="x"), name="y")
        session.run(v1.global_variables_initializer())
        source.save(session)
        expected = session.run(v)

    facts, (answer,) = run(source, tmp_path / "out", given=[0, 1, 2])
    assert facts["variables"] == 1
    assert answer.dtype == expected.dtype
    assert answer.tolist() == expected.tolist()
    if dtype != "bfloat16":
        assert answer.tolist() == np.array(VALUES[dtype], kind.as_numpy_dtype).tolist()
