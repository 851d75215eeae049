"""Rules that change names, order or what is not needed, and edits: a random network computes the same, to the bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    for old, new in zip(before, after):
        assert (old.dtype, old.shape) == (new.dtype, new.shape)
        np.testing.assert_array_equal(new, old)
