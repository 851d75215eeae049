import numpy as np
import pytest
from modelmill_freezer._freezing import freeze_graph
from modelmill_freezer._kept_variables import kept_variables
from modelmill_freezer._steps import FreezeOptions, normalise, select
from modelmill_worker import graph_def, options, signature, tensors, unfrozen_variables
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Step, Tree

NAMES = ("conv1/weights", "conv1/biases", "conv2/weights", "global_step")
W = np.arange(9, dtype=np.float32).reshape(3, 3)


@pytest.mark.parametrize(
    ("only", "without", "kept"),
    [
        ((), (), ()),
        (("conv1/*",), (), ("conv2/weights", "global_step")),
        ((), ("*/weights",), ("conv1/weights", "conv2/weights")),
        (("conv?/weights", "global_step"), ("conv2/weights",), ("conv1/biases", "conv2/weights")),
        ((), ("*",), NAMES),
    ],
)
def test_what_stays_a_variable(only, without, kept):
    assert kept_variables(NAMES, only, without) == frozenset(kept)


def test_a_name_with_brackets_means_itself():
    assert kept_variables(("w[0]", "w0"), (), ("w[0]",)) == {"w[0]", "w0"}
    assert kept_variables(("w[0]",), (), ("w[0]",)) == {"w[0]"}


@pytest.mark.parametrize("option", ["only_variables", "without_variables"])
def test_a_pattern_that_matches_nothing_is_refused_with_names_like_it(option):
    given = {"only_variables": (), "without_variables": ()}
    given[option] = ("conv1/weight",)
    with pytest.raises(StepError) as caught:
        kept_variables(NAMES, given["only_variables"], given["without_variables"])
    assert caught.value.reason == "VARIABLE_PATTERN_UNMATCHED"
    assert caught.value.details["option"] == option
    assert caught.value.details["nearest"][0] == "conv1/weights"


@pytest.fixture
def net(graph_of):
    """y = x a b, where a is a variable of TensorFlow 1 and b one of either kind."""

    def build(kind):
        read = "ReadVariableOp" if kind == "VarHandleOp" else "Identity"
        asked = "VarIsInitializedOp" if kind == "VarHandleOp" else "IsVariableInitialized"
        graph = graph_of(
            ("x", "Placeholder"),
            ("a", "VariableV2"),
            ("b", kind),
            ("a/read", "Identity", "a"),
            ("b/read", read, "b"),
            ("first", "MatMul", "x", "a/read"),
            ("y", "MatMul", "first", "b/read"),
            ("there", asked, "b"),
        )
        nodes = graph_def.nodes_by_name(graph)
        for name in ("a", "b"):
            nodes[name].attr["dtype"].type = 1
            tensors.encode_shape((3, 3), nodes[name].attr["shape"].shape)
        for name in ("a/read", "first", "y") + (("b/read",) if kind != "VarHandleOp" else ()):
            nodes[name].attr["T"].type = 1
        for name in ("b/read", "there"):
            nodes[name].attr["dtype"].type = 1
        if kind == "VarHandleOp":
            del nodes["there"].attr["dtype"]
        return graph

    return build


@pytest.mark.parametrize("kind", ["VariableV2", "VarHandleOp"])
def test_a_variable_that_stays_needs_no_value_and_is_used_as_before(net, kind):
    graph = net(kind)
    before = {node.name: node.SerializeToString(deterministic=True) for node in graph.node}
    frozen = freeze_graph(graph, {"a": W}, ["y", "there"], without=("b",))
    assert (frozen.variables, frozen.parameters, frozen.kept) == (1, 9, ("b",))
    after = {node.name: node.SerializeToString(deterministic=True) for node in frozen.graph.node}
    assert {name for name in before if before[name] != after[name]} == {"a"}
    assert graph_def.nodes_by_name(frozen.graph)["a"].op == "Const"
    assert frozen.notes[0].startswith("1 stayed variables, as asked for: b.")


def test_only_the_named_are_frozen(net):
    frozen = freeze_graph(net("VariableV2"), {"b": W}, ["y"], only=("b",))
    assert frozen.kept == ("a",)


def test_a_reference_to_a_variable_that_stays_gives_its_value(graph_of):
    graph = graph_of(("w", "VariableV2"), ("again", "RefIdentity", "w"), ("there", "IsVariableInitialized", "again"))
    nodes = graph_def.nodes_by_name(graph)
    nodes["w"].attr["dtype"].type = 1
    frozen = graph_def.nodes_by_name(freeze_graph(graph, {}, ["again", "there"], without=("w",)).graph)
    assert frozen["again"].op == "Identity"
    assert (frozen["there"].op, list(frozen["there"].input)) == ("IsVariableInitialized", ["w"])


@pytest.fixture
def run(tmp_path):
    """Run an edge of the freezer on one graph; returns the facts and the artifact."""

    def run_edge(edge, folder, **values):
        output = tmp_path / edge.__name__
        output.mkdir()
        files = tuple(sorted(file.name for file in folder.iterdir() if file.is_file()))
        step = Step({"model": Tree("any", folder, files)}, options.parse(FreezeOptions, values), output, tmp_path)
        return edge(step), output

    return run_edge


def test_a_graph_that_keeps_its_variables_can_be_given_back(run, net, tmp_path):
    """The signature names what stayed; choosing other outputs forgets what they do not need."""
    source = tmp_path / "source"
    source.mkdir()
    graph_def.write(source / "graph.pb", net("VariableV2"))
    facts, made = run(normalise, source, without_variables=["*"], outputs=["y"])
    assert facts["kept_variables"] == ["a", "b"]
    assert signature.read(made).variables == ("a", "b")

    facts, chosen = run(select, made, outputs=["first"])
    assert facts["kept_variables"] == ["a"]
    assert signature.read(chosen).variables == ("a",)


def test_values_are_asked_for_where_only_some_may_stay(run, net, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    graph_def.write(source / "graph.pb", net("VariableV2"))
    with pytest.raises(StepError) as caught:
        run(normalise, source, without_variables=["a"], outputs=["y"])
    assert caught.value.reason == "CHECKPOINT_MISSING"


def test_what_needs_all_values_refuses_such_a_graph(run, net, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    graph_def.write(source / "graph.pb", net("VariableV2"))
    _, made = run(normalise, source, without_variables=["*"], outputs=["y"])
    with pytest.raises(StepError) as caught:
        unfrozen_variables.refuse(signature.read(made), "TFLite")
    assert caught.value.reason == "VARIABLES_NOT_FROZEN"
    assert caught.value.details == {"variables": ["a", "b"]}
    assert "a, b stayed variables" in caught.value.message
