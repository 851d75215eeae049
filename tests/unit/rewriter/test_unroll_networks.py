"""Recurrent networks as TensorFlow builds them, unrolled: the same numbers, and neither loop nor array is left."""

from __future__ import annotations  # these tests run on Python 3.7 as well

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_worker import graph_def, installed_tensorflow

CELLS = ("BasicRNNCell", "BasicLSTMCell", "LSTMCell", "peepholes", "GRUCell", "two layers")
LEFT_OF_A_LOOP = {"Enter", "Merge", "Switch", "NextIteration", "Exit", "LoopCond", "While", "StatelessWhile"}


@pytest.fixture(scope="module")
def v1():
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    return installed_tensorflow.v1()


@contextlib.contextmanager
def control_flow(v1, is_v2):
    """While nodes with functions, or the frames of TensorFlow 1."""
    before = v1.control_flow_v2_enabled()
    (v1.enable_control_flow_v2 if is_v2 else v1.disable_control_flow_v2)()
    yield
    (v1.enable_control_flow_v2 if before else v1.disable_control_flow_v2)()


def cell_of(v1, kind, units):
    cells = v1.nn.rnn_cell
    if kind == "peepholes":
        return cells.LSTMCell(units, use_peepholes=True, num_proj=units, cell_clip=0.5)
    if kind == "two layers":
        return cells.MultiRNNCell([cells.GRUCell(units), cells.BasicLSTMCell(units)])
    return getattr(cells, kind)(units)


def constants_for_variables(v1, random):
    """Lets layers have constants where they ask for variables, as after freezing."""

    def constant(getter, name, shape=None, **others):
        sizes = [int(size) for size in shape]
        return v1.constant(random.normal(scale=0.5, size=sizes).astype(np.float32), name=name.replace("/", "_"))

    return constant


def network(v1, kind, batch, times, lengths=None, time_major=False, is_v2=False, units=3, seed=0):
    """A GraphDef from x to the outputs of each step and the last state."""
    random = np.random.default_rng(seed)
    with control_flow(v1, is_v2), v1.Graph().as_default() as graph:
        shape = (times, batch, 2) if time_major else (batch, times, 2)
        x = v1.placeholder(v1.float32, shape, name="x")
        with v1.variable_scope("rnn", custom_getter=constants_for_variables(v1, random)):
            cell = cell_of(v1, kind, units)
            outputs, state = v1.nn.dynamic_rnn(
                cell, x, lengths, initial_state=None, dtype=v1.float32, time_major=time_major
            )
        v1.identity(outputs, "outputs")
        flat = [
            item
            for part in (state if isinstance(state, tuple) else [state])
            for item in (part if isinstance(part, tuple) else [part])
        ]
        v1.identity(v1.concat(flat, axis=1), "state")
    return graph.as_graph_def()


def unrolled(message, new_graph, run_rules, outputs=("outputs", "state")):
    graph = new_graph(message, ["x"], list(outputs))
    return run_rules(graph, "prune_unused", "unroll_loops", "unpack_arrays")


def assert_same(message, rewritten, shape, compute, outputs=("outputs", "state")):
    feeds = {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}
    before = compute(message, feeds, list(outputs))
    after = compute(rewritten.message, feeds, list(outputs))
    for old, new in zip(before, after):
        # The same operations on the same numbers: nothing is left to be rounded otherwise, but for what TensorFlow's
        # own optimiser makes of either graph (it fuses sums into products).
        np.testing.assert_allclose(new, old, rtol=2e-6, atol=2e-6)


def assert_written_out(rewritten):
    operations = set(rewritten.operations)
    assert not operations & LEFT_OF_A_LOOP
    assert not {name for name in operations if name.startswith(("TensorArray", "TensorList"))}
    assert rewritten.refused == {}


@pytest.mark.parametrize("is_v2", [False, True], ids=["frames", "functions"])
@pytest.mark.parametrize("kind", CELLS)
def test_cells_are_written_out(v1, new_graph, run_rules, compute, kind, is_v2):
    message = network(v1, kind, 2, 5, is_v2=is_v2)
    rewritten = unrolled(message, new_graph, run_rules)
    assert_written_out(rewritten)
    assert_same(message, rewritten, (2, 5, 2), compute)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_size_is_written_out(v1, new_graph, run_rules, compute, data):
    batch, times = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12))
    lengths = data.draw(st.none() | st.lists(st.integers(0, times), min_size=batch, max_size=batch))
    options = {
        "time_major": data.draw(st.booleans()),
        "is_v2": data.draw(st.booleans()),
        "units": data.draw(st.integers(1, 5)),
        "seed": data.draw(st.integers(0, 1000)),
    }
    message = network(v1, data.draw(st.sampled_from(CELLS)), batch, times, lengths, **options)
    rewritten = unrolled(message, new_graph, run_rules)
    assert_written_out(rewritten)
    assert_same(message, rewritten, (times, batch, 2) if options["time_major"] else (batch, times, 2), compute)


@pytest.mark.parametrize("is_v2", [False, True], ids=["frames", "functions"])
def test_the_batch_may_be_open(v1, new_graph, run_rules, compute, is_v2):
    message = network(v1, "BasicLSTMCell", None, 4, is_v2=is_v2)
    rewritten = unrolled(message, new_graph, run_rules)
    assert_written_out(rewritten)
    assert_same(message, rewritten, (3, 4, 2), compute)


@pytest.mark.parametrize("is_v2", [False, True], ids=["frames", "functions"])
def test_leaves_alone_when_the_number_of_steps_is_open(v1, new_graph, run_rules, compute, is_v2):
    message = network(v1, "GRUCell", 2, None, is_v2=is_v2)
    rewritten = unrolled(message, new_graph, run_rules)
    reasons = sorted(rewritten.refused.values())
    assert any(reason.startswith("how often it runs depends on '") for reason in reasons)
    assert rewritten.fired == len(rewritten.reports[0].fired)
    assert_same(message, rewritten, (2, 3, 2), compute)


def test_what_is_the_same_in_each_step_is_there_once(v1, new_graph, run_rules):
    rewritten = unrolled(network(v1, "BasicLSTMCell", 1, 7), new_graph, run_rules)
    weights = [node for node in rewritten.message.node if node.op == "Const" and "kernel" in node.name]
    assert len(weights) == 1
    assert rewritten.operations.count("MatMul") == 7


def test_a_condition_inside_the_loop_stays_a_condition(v1, new_graph, run_rules, compute):
    with control_flow(v1, False), v1.Graph().as_default() as graph:
        x = v1.placeholder(v1.float32, (2,), name="x")

        def body(number, value):
            grown = v1.cond(v1.reduce_sum(value) > 1.0, lambda: value * 0.5 + 0.25, lambda: value + 1.0)
            return number + 1, grown

        _, last = v1.while_loop(lambda number, _: number < 4, body, [v1.constant(0), x])
        v1.identity(last, "last")
    message = graph.as_graph_def()
    rewritten = unrolled(message, new_graph, run_rules, ("last",))
    assert rewritten.refused == {}
    assert not {"Enter", "Exit", "LoopCond", "NextIteration"} & set(rewritten.operations)
    assert rewritten.operations.count("Merge") == 4
    for scale in (-3, 0.1, 5):
        feeds = {"x": np.array([scale, 0.5], np.float32)}
        np.testing.assert_array_equal(compute(rewritten.message, feeds, ["last"]), compute(message, feeds, ["last"]))


@pytest.mark.parametrize("is_v2", [False, True], ids=["frames", "functions"])
@pytest.mark.parametrize("inner", ["constant", "counted by the outer loop", "open"])
def test_a_loop_in_a_loop(v1, new_graph, run_rules, compute, inner, is_v2):
    with control_flow(v1, is_v2), v1.Graph().as_default() as graph:
        x = v1.placeholder(v1.float32, (2,), name="x")

        def body(number, value):
            most = {"constant": 2, "open": v1.cast(value[0], v1.int32)}.get(inner, number)
            _, grown = v1.while_loop(
                lambda step, _: step < most, lambda step, it: (step + 1, it * 0.5 + 1.0), [v1.constant(0), value]
            )
            return number + 1, grown + v1.cast(number, v1.float32)

        _, last = v1.while_loop(lambda number, _: number < 3, body, [v1.constant(0), x])
        v1.identity(last, "last")
    message = graph.as_graph_def()
    rewritten = unrolled(message, new_graph, run_rules, ("last",))
    if inner == "constant" or (inner == "counted by the outer loop" and is_v2):
        assert_written_out(rewritten)
    else:
        assert LEFT_OF_A_LOOP & set(rewritten.operations)
        assert any("how often it runs depends on" in reason for reason in rewritten.refused.values())
    feeds = {"x": np.array([2.5, 0.5], np.float32)}
    # Three sums of two terms.
    np.testing.assert_allclose(
        compute(rewritten.message, feeds, ["last"]), compute(message, feeds, ["last"]), rtol=1e-6
    )


def test_leaves_alone_when_a_random_number_is_drawn(v1, new_graph, run_rules):
    with control_flow(v1, False), v1.Graph().as_default() as graph:
        x = v1.placeholder(v1.float32, (2,), name="x")
        _, last = v1.while_loop(
            lambda number, _: number < 4,
            lambda number, value: (number + 1, value + v1.random_uniform((2,), seed=1)),
            [v1.constant(0), x],
        )
        v1.identity(last, "last")
    rewritten = unrolled(graph.as_graph_def(), new_graph, run_rules, ("last",))
    assert rewritten.refused == {
        "while/LoopCond": "its 'while/random_uniform/RandomUniform' (RandomUniform) has a state of its own, "
        "which copies would not share"
    }


def test_leaves_alone_when_the_loop_lies_in_a_condition(v1, new_graph, run_rules):
    with control_flow(v1, False), v1.Graph().as_default() as graph:
        x = v1.placeholder(v1.float32, (2,), name="x")

        def looped():
            return v1.while_loop(lambda k, _: k < 4, lambda k, it: (k + 1, it * 2.0), [v1.constant(0), x])[1]

        v1.identity(v1.cond(x[0] > 0.0, looped, lambda: x), "last")
    rewritten = unrolled(graph.as_graph_def(), new_graph, run_rules, ("last",))
    assert rewritten.fired == len(rewritten.reports[0].fired)
    assert list(rewritten.refused.values()) == ["it lies inside the condition on 'cond/pred_id'"]


def test_arrays_that_loops_leave_behind_keep_what_they_hold(v1, new_graph, run_rules, compute):
    """An array that is written in one loop, read backwards in another and concatenated."""
    with control_flow(v1, False), v1.Graph().as_default() as graph:
        x = v1.placeholder(v1.float32, (2, 3), name="x")
        array = v1.TensorArray(v1.float32, 4, element_shape=(2, 3))
        _, array = v1.while_loop(
            lambda k, _: k < 4, lambda k, a: (k + 1, a.write(k, x * v1.cast(k, v1.float32))), [v1.constant(0), array]
        )
        _, last = v1.while_loop(
            lambda k, _: k >= 0, lambda k, it: (k - 2, it * 0.5 + array.read(k)), [v1.constant(3), x]
        )
        v1.identity(last, "last")
    message = graph.as_graph_def()
    rewritten = unrolled(message, new_graph, run_rules, ("last",))
    assert_written_out(rewritten)
    feeds = {"x": np.random.default_rng(3).normal(size=(2, 3)).astype(np.float32)}
    np.testing.assert_allclose(
        compute(rewritten.message, feeds, ["last"]), compute(message, feeds, ["last"]), rtol=1e-6
    )
    assert graph_def.nodes_by_name(rewritten.message)["last"].op == "Identity"
