"""Rules that change names, order or what is not needed, and edits: a random network computes the same, to the bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_rewriter.rules_api import Target
from modelmill_rewriter.sequences import passes_for
from modelmill_worker import graph_def

UNARY = ["Relu", "Neg", "Abs", "Identity", "StopGradient", "CheckNumerics"]
BINARY = ["Add", "AddV2", "Sub", "Mul", "Maximum", "Minimum"]
STEPS = st.lists(
    st.tuples(st.sampled_from(UNARY + BINARY), st.integers(0, 50), st.integers(0, 50), st.booleans()),
    min_size=1,
    max_size=12,
)
RULES = [
    "add_default_attributes",
    "bypass_nodes(node=again)",
    "delete_nodes(node=unread*)",
    "insert_logging(op=Mul, op=Relu)",
    "merge_duplicate_nodes",
    "obfuscate_names",
    "prune_unused",
    "remove_attribute(attribute_name=_note)",
    "remove_control_dependencies(all=true)",
    "remove_default_attributes(all=true)",
    "remove_device",
    "remove_identities",
    "remove_nodes(op=Identity, op=CheckNumerics)",
    "remove_training_nodes",
    "rename_attribute(old_attribute_name=_note, new_attribute_name=_said)",
    "rename_node(old_node_name=n0, new_node_name=elsewhere)",
    "rename_nodes(old=n*, new=a/*)",
    "rename_op(old_op_name=Add, new_op_name=AddV2)",
    "set_attribute(node=n0, attribute=_note, value=other, type=string)",
    "set_device(device='/device:CPU:0')",
    "sort_by_execution_order",
]


def network(graph, steps, shape, dtype, generator):
    """Each step reads what is there already; an Identity at the end gives out the last of them and one more."""
    graph.placeholder("x", shape, dtype)
    graph.constant("c", generator.normal(size=shape[-1:]), dtype)
    graph.node("unread", "Neg", "x", dtype=dtype)
    graph.node("unread_too", "Abs", "unread", dtype=dtype)
    known = ["x", "c"]
    for number, (operation, one, other, waits) in enumerate(steps):
        read = [known[one % len(known)]] + ([known[other % len(known)]] if operation in BINARY else [])
        name = graph.node(f"n{number}", operation, *read, dtype=dtype, _note=b"said")
        if waits:
            graph.find(name).input.append("^" + known[other % len(known)])
        graph.find(name).device = "/device:GPU:0" if waits else ""
        known.append(name)
    graph.node("again", "Identity", known[-1], dtype=dtype)
    graph.outputs += [graph.node("y", "Mul", "again", "x", dtype=dtype), graph.node("z", "Neg", known[-1], dtype=dtype)]
    return graph


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=STEPS,
    shape=st.sampled_from([(3,), (2, 3), (1, 2, 2, 3)]),
    dtype=st.sampled_from(["float32", "float64", "float16"]),
    seed=st.integers(0, 99),
)
def test_what_is_computed_stays_to_the_bit(new_graph, run_rules, compute, rule, steps, shape, dtype, seed):
    generator = np.random.default_rng(seed)
    graph = network(new_graph(), steps, shape, dtype, generator)
    rewritten = run_rules(graph, rule)
    x = generator.normal(size=shape).astype(dtype)
    before = compute(graph.message, {"x": x}, graph.outputs)
    names = [str(tensor) for tensor in rewritten.interface.outputs]
    after = compute(rewritten.message, {str(rewritten.interface.inputs[0]): x}, names)
    assert_same(before, after)


def networks(test):
    """Random networks of several shapes and types."""
    given_networks = given(
        steps=STEPS,
        shape=st.sampled_from([(3,), (2, 3), (1, 2, 2, 3)]),
        dtype=st.sampled_from(["float32", "float64", "float16"]),
        seed=st.integers(0, 99),
    )
    patient = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    return patient(given_networks(test))


def assert_same(before, after):
    for old, new in zip(before, after):
        assert (old.dtype, old.shape) == (new.dtype, new.shape)
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("rule", ["cut_graph(inputs=n0)", "insert_placeholder(tensor=n0, name=fed)"])
@networks
def test_what_is_fed_in_a_tensors_place_computes_the_same(
    new_graph, run_rules, compute, rule, steps, shape, dtype, seed
):
    generator = np.random.default_rng(seed)
    graph = network(new_graph(), steps, shape, dtype, generator)
    graph.outputs.append(graph.node("w", "Add", "n0", "y", dtype=dtype))  # so that something depends on the tensor
    rewritten = run_rules(graph, rule)
    x = generator.normal(size=shape).astype(dtype)
    (value,) = compute(graph.message, {"x": x}, ["n0"])
    fed = {str(tensor): x if str(tensor) == "x" else value for tensor in rewritten.interface.inputs}
    assert len(set(fed) - {"x"}) == 1
    assert_same(compute(graph.message, {"x": x}, graph.outputs), compute(rewritten.message, fed, graph.outputs))


@networks
def test_a_constant_that_is_replaced_computes_what_it_would_have(
    new_graph, run_rules, compute, tmp_path, steps, shape, dtype, seed
):
    graph = network(new_graph(), steps, shape, dtype, np.random.default_rng(seed))
    wanted = network(new_graph(), steps, shape, dtype, np.random.default_rng(seed + 1000))
    np.save(str(tmp_path / "c.npy"), graph_def.constant_value(wanted.find("c")))
    passes = passes_for("", ["replace_constant(node=c, value=c.npy)"], [], folder=tmp_path)
    x = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    rewritten = run_rules(graph, *passes)
    assert_same(compute(wanted.message, {"x": x}, graph.outputs), compute(rewritten.message, {"x": x}, graph.outputs))


@pytest.mark.parametrize("fed", ["uint8", "int32", "float16"])
@networks
def test_an_input_of_another_type_computes_the_same(new_graph, run_rules, compute, fed, steps, shape, dtype, seed):
    generator = np.random.default_rng(seed)
    graph = network(new_graph(), steps, shape, dtype, generator)
    x = generator.integers(0, 9, size=shape).astype(fed)  # numbers that both types hold
    rewritten = run_rules(graph, f"retype_input(input=x, dtype={fed})")
    before = compute(graph.message, {"x": x.astype(dtype)}, graph.outputs)
    assert_same(before, compute(rewritten.message, {"x": x}, graph.outputs))


@pytest.mark.parametrize("random", ["RandomUniform", "RandomUniform spread"])
@networks
def test_a_dropout_that_is_off_goes(new_graph, run_rules, compute, random, steps, shape, dtype, seed):
    generator = np.random.default_rng(seed)
    graph = network(new_graph(), steps, shape, dtype, generator)
    graph.constant("size", shape, "int32")
    graph.constant("keep", 1, dtype)
    graph.constant("low", 0, dtype)
    uniform = graph.node("uniform", "RandomUniform", "size", dtype="int32")
    if random.endswith("spread"):
        graph.node("spread", "Mul", uniform, "keep", dtype=dtype)
        uniform = graph.node("moved", "Add", "spread", "low", dtype=dtype)
    graph.node("limit", "Add", "keep", uniform, dtype=dtype)
    graph.node("mask", "Floor", "limit", dtype=dtype)
    graph.node("scaled", "RealDiv", "y", "keep", dtype=dtype)
    graph.node("dropped", "Mul", "scaled", "mask", dtype=dtype)
    graph.outputs.append(graph.node("end", "Neg", "dropped", dtype=dtype))
    rewritten = run_rules(graph, "remove_dropout")
    assert rewritten.fired == 1
    assert "RandomUniform" not in rewritten.operations
    x = generator.normal(size=shape).astype(dtype)
    (after,) = compute(rewritten.message, {"x": x}, ["end"])
    np.testing.assert_array_equal(after, -compute(graph.message, {"x": x}, ["y"])[0])


@networks
def test_what_is_raised_computes_the_same(new_graph, run_rules, compute, steps, shape, dtype, seed):
    generator = np.random.default_rng(seed)
    graph = network(new_graph(), steps, shape, dtype, generator)
    graph.node("sum", "Add", "y", "z", dtype=dtype)
    graph.outputs.append(graph.node("end", "Add", "sum", "c", dtype=dtype))
    rewritten = run_rules(graph, "raise_operations", target=Target("", (1, 15)))
    assert "Add" not in rewritten.operations
    x = generator.normal(size=shape).astype(dtype)
    assert_same(compute(graph.message, {"x": x}, graph.outputs), compute(rewritten.message, {"x": x}, graph.outputs))
