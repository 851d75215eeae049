"""Edits by hand: what each changes, what follows it, and what it refuses."""

import numpy as np
import pytest
from modelmill_rewriter.rules_api import Interface, Tensor
from modelmill_rewriter.sequences import passes_for
from modelmill_worker import tensors
from modelmill_worker.errors import StepError

RULES = (
    "rename_nodes",
    "set_attribute",
    "replace_constant",
    "retype_input",
    "cut_graph",
    "insert_placeholder",
    "delete_nodes",
    "bypass_nodes",
)


@pytest.fixture
def net(graph):
    """y = relu(x * scale) + 1, behind an assertion; an unused second branch reads the product."""
    graph.placeholder("x", (-1, 3))
    graph.constant("scale", [1.0, 2.0, 3.0])
    graph.node("a/product", "Mul", "x", "scale")
    graph.node("a/check", "NoOp", "^x")
    graph.node("a/relu", "Relu", "a/product", "^a/check")
    graph.constant("one", 1.0)
    graph.outputs.append(graph.node("y", "AddV2", "a/relu", "one"))
    graph.node("side", "Neg", "a/product")
    return graph


def refusal(run_rules, graph, text):
    with pytest.raises(StepError) as raised:
        run_rules(graph, text)
    return raised.value


@pytest.mark.parametrize("rule", RULES)
def test_names_what_comes_near_where_nothing_is_named_so(net, run_rules, rule):
    key = {
        "rename_nodes": "new=z, old",
        "retype_input": "dtype=uint8, input",
        "cut_graph": "inputs",
        "insert_placeholder": "tensor",
        "set_attribute": "attribute=T, value=float32, node",
    }.get(rule, "node")
    error = refusal(run_rules, net, f"{rule}({key}=a/prodct)")
    assert (error.reason, error.details["near"]) == ("NODE_NOT_FOUND", ["a/product"])
    assert error.message == (
        f"The edit {rule} names 'a/prodct', and the graph has no such node at that point. Did you mean a/product?"
    )


# rename_nodes


def test_renames_by_a_pattern(net, run_rules):
    rewritten = run_rules(net, "rename_nodes(old=a/*, new=b/*)")
    assert rewritten.names == ["x", "scale", "b/product", "b/check", "b/relu", "one", "y", "side"]
    assert list(rewritten.find("b/relu").input) == ["b/product", "^b/check"]


def test_names_may_change_places(net, run_rules):
    rewritten = run_rules(net, "rename_nodes(old=x, new=tmp) rename_nodes(old=y, new=x) rename_nodes(old=tmp, new=y)")
    assert rewritten.interface == Interface((Tensor("y"),), (Tensor("x"),))
    assert rewritten.find("y").op == "Placeholder"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rename_nodes(old=a/product, new=y)", "'a/product' would be called 'y', which is taken"),
        ("rename_nodes(old=a/*, new=b)", "give old= and new=, with one * in both or in neither"),
        ("rename_nodes(old=a/product)", "give old= and new=, with one * in both or in neither"),
    ],
)
def test_refuses_to_rename(net, run_rules, text, why):
    error = refusal(run_rules, net, text)
    assert error.reason == "EDIT_IMPOSSIBLE"
    assert error.message == f"The edit rename_nodes cannot be made: {why}."


# set_attribute


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("attribute=b, value=False", "b", False),
        ("attribute=i, value=7", "i", 7),
        ("attribute=f, value=0.5", "f", 0.5),
        ("attribute=s, value=VALID", "s", b"VALID"),
        ("attribute=T, value=float64", "T", 2),
        ("attribute=l, value='1,2,2,1'", "l", [1, 2, 2, 1]),
        ("attribute=new, value='0.5,1', type=floats", "new", [0.5, 1]),
    ],
)
def test_sets_an_attribute_to_what_it_is_already(net, run_rules, text, key, value):
    net.node("n", "NoOp", b=True, i=1, f=1.5, s=b"SAME", l=(1, 1, 1, 1))
    attribute = run_rules(net, f"set_attribute(node=n, {text})").find("n").attr[key]
    field = attribute.WhichOneof("value")
    found = getattr(attribute, field)
    assert (list(found.i) or list(found.f) if field == "list" else found) == value


def test_sets_a_shape(net, run_rules):
    rewritten = run_rules(net, "set_attribute(node=x, attribute=shape, value='2,?')")
    assert tensors.decode_shape(rewritten.find("x").attr["shape"].shape) == (2, -1)
    assert rewritten.index.shape(Tensor("y")) == (2, 3)


def test_sets_the_attributes_of_all_that_a_pattern_means(net, run_rules):
    (report,) = run_rules(net, "set_attribute(node=a/*, attribute=_note, value=mine, type=string)").reports
    assert report.fired[0].before == ("a/product", "a/check", "a/relu")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "node=x, attribute=padding, value=SAME",
            "x has no attribute 'padding' that could be set (it has dtype, shape); say with type= what it is to be: "
            "bool, dtype, float, floats, int, ints, shape, string",
        ),
        ("node=x, attribute=dtype, value=float", "'float' is no dtype, which dtype of x is"),
        ("node=x, attribute=shape, value=wide", "'wide' is no shape, which shape of x is"),
    ],
)
def test_refuses_to_set(net, run_rules, text, why):
    error = refusal(run_rules, net, f"set_attribute({text})")
    assert error.message == f"The edit set_attribute cannot be made: {why}."


# replace_constant


def edit_with_file(run_rules, graph, folder, array, text="replace_constant(node=scale, value=new.npy)"):
    np.save(str(folder / "new.npy"), array)
    return run_rules(graph, *passes_for("", [text], [], folder=folder))


def test_replaces_a_constant(net, run_rules, compute, tmp_path):
    rewritten = edit_with_file(run_rules, net, tmp_path, np.array([4, 5, 6], np.float64))
    (y,) = compute(rewritten.message, {"x": np.ones((1, 3), np.float32)}, ["y"])
    assert y.tolist() == [[5, 6, 7]]
    assert y.dtype == np.float32


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.ones((3, 1), np.float32), "scale has the shape [3] and new.npy has [3, 1]"),
        (np.ones(3, np.complex64), "scale holds float32 and new.npy has complex64"),
        (np.array([{}, 1, 2], object), "new.npy cannot be read as a .npy file (Object arrays cannot be loaded when"),
    ],
)
def test_refuses_to_replace(net, run_rules, tmp_path, array, why):
    with pytest.raises(StepError) as raised:
        edit_with_file(run_rules, net, tmp_path, array)
    assert raised.value.message.startswith("The edit replace_constant cannot be made: " + why)


def test_refuses_to_replace_what_is_no_constant(net, run_rules, tmp_path):
    with pytest.raises(StepError, match="y is a AddV2 and no constant"):
        edit_with_file(run_rules, net, tmp_path, np.ones(3), "replace_constant(node=y, value=new.npy)")


def test_reads_no_file_that_does_not_lie_beside_the_edits(tmp_path):
    (tmp_path / "edits").mkdir()
    np.save(str(tmp_path / "new.npy"), np.ones(3))
    for name in ("../new.npy", str(tmp_path / "new.npy"), "other.npy"):
        with pytest.raises(StepError, match="there is no such file beside the edits"):
            passes_for("", [f"replace_constant(node=scale, value={name})"], [], folder=tmp_path / "edits")
    with pytest.raises(StepError, match="files can be named in edits only"):
        passes_for("", ["replace_constant(node=scale, value=new.npy)"], [])


# retype_input


def test_an_input_takes_another_type(net, run_rules, compute):
    rewritten = run_rules(net, "retype_input(input=x, dtype=uint8)")
    assert rewritten.index.dtype(Tensor("x")) == tensors.data_type_named("uint8").number
    x = np.array([[1, 2, 200]], np.uint8)
    before = compute(net.message, {"x": x.astype(np.float32)}, ["y"])
    after = compute(rewritten.message, {"x": x}, ["y"])
    np.testing.assert_array_equal(after, before)
    assert [
        firing for report in run_rules(net, "retype_input(input=x, dtype=float32)").reports for firing in report.fired
    ] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("input=y, dtype=uint8", "y is a AddV2 and no Placeholder"),
        ("input=x, dtype=string", "string cannot be cast to float32; give one of bfloat16, bool"),
        ("input=x", "nothing cannot be cast to float32"),
    ],
)
def test_refuses_to_retype(net, run_rules, text, why):
    assert why in refusal(run_rules, net, f"retype_input({text})").message


# cut_graph


def test_cuts_at_an_input_that_keeps_its_name(net, run_rules, compute):
    rewritten = run_rules(net, "cut_graph(inputs=a/relu)")
    assert rewritten.interface == Interface((Tensor("a/relu"),), (Tensor("y"),))
    assert rewritten.names == ["a/relu", "one", "y"]
    relu = rewritten.find("a/relu")
    assert (relu.op, tensors.decode_shape(relu.attr["shape"].shape)) == ("Placeholder", (-1, 3))
    fed = np.array([[-1, 0, 1]], np.float32)
    np.testing.assert_array_equal(compute(rewritten.message, {"a/relu": fed}, ["y"])[0], fed + 1)


def test_cuts_at_an_output(net, run_rules):
    rewritten = run_rules(net, "cut_graph(outputs=a/product)")
    assert rewritten.interface == Interface((Tensor("x"),), (Tensor("a/product"),))
    assert rewritten.names == ["x", "scale", "a/product"]


def test_cuts_at_both_and_at_a_tensor_that_is_fetched_as_well(net, run_rules):
    rewritten = run_rules(net, "cut_graph(inputs=a/product, outputs=a/product, outputs=a/relu)")
    assert rewritten.interface == Interface(
        (Tensor("a/product/fed"), Tensor("x")), (Tensor("a/product"), Tensor("a/relu"))
    )
    assert list(rewritten.find("a/relu").input) == ["a/product/fed", "^a/check"]


def test_refuses_to_cut_where_no_output_depends_on_it(net, run_rules):
    error = refusal(run_rules, net, "cut_graph(inputs=side)")
    assert error.message == "The edit cut_graph cannot be made: no output depends on side."


def test_cuts_nothing_where_all_is_needed(net, run_rules):
    first = run_rules(net, "cut_graph(outputs=y)")
    assert first.fired == 1
    again = type(net)(first.message, ["x"], ["y"])
    assert run_rules(again, "cut_graph(outputs=y)").fired == 0


# insert_placeholder


def test_feeds_a_constant(net, run_rules, compute):
    rewritten = run_rules(net, "insert_placeholder(tensor=scale, name=gain)")
    assert rewritten.interface == Interface((Tensor("x"), Tensor("gain")), (Tensor("y"),))
    assert "scale" not in rewritten.names
    gain = rewritten.find("gain")
    assert tensors.decode_shape(gain.attr["shape"].shape) == (3,)
    feeds = {"x": np.ones((1, 3), np.float32), "gain": np.array([1, 2, -3], np.float32)}
    assert compute(rewritten.message, feeds, ["y"])[0].tolist() == [[2, 3, 1]]


def test_takes_the_shape_and_the_type_that_are_told(net, run_rules):
    gain = run_rules(net, "insert_placeholder(tensor=scale, shape='?,3', dtype=float64)").find("scale/fed")
    assert tensors.decode_shape(gain.attr["shape"].shape) == (-1, 3)
    assert gain.attr["dtype"].type == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tensor=scale, name=y", "there is a node 'y' already; give another name"),
        ("tensor=y", "nothing reads y"),
        ("tensor=scale, shape=wide", "'wide' is no shape; write it as 1,224,224,3"),
        ("tensor=scale, dtype=float", "There is no data type float."),
    ],
)
def test_refuses_to_insert(net, run_rules, text, why):
    assert why in refusal(run_rules, net, f"insert_placeholder({text})").message


# delete_nodes, bypass_nodes


def test_deletes_what_is_only_waited_for(net, run_rules):
    rewritten = run_rules(net, "delete_nodes(node=*/check)")
    assert "a/check" not in rewritten.names
    assert list(rewritten.find("a/relu").input) == ["a/product"]


def test_deletes_what_reads_and_what_is_read_together(net, run_rules):
    net.node("side2", "Neg", "side")
    assert not [name for name in run_rules(net, "delete_nodes(node=side*)").names if name.startswith("side")]


def test_refuses_to_delete(net, run_rules):
    error = refusal(run_rules, net, "delete_nodes(node=a/relu)")
    assert error.message == ("The edit delete_nodes cannot be made: y reads a/relu; bypass it instead, or delete both.")
    assert "y is an input or output of the model" in refusal(run_rules, net, "delete_nodes(node=y)").message


def test_bypasses_what_is_read(net, run_rules):
    rewritten = run_rules(net, "delete_nodes(node=a/check), bypass_nodes(node=a/relu)")
    assert list(rewritten.find("y").input) == ["a/product", "one"]
    assert "a/relu" not in rewritten.names


def test_an_output_and_what_waits_are_bypassed_by_an_identity(net, run_rules):
    rewritten = run_rules(net, "bypass_nodes(node=a/relu) bypass_nodes(node=y)")
    assert [(rewritten.find(name).op, list(rewritten.find(name).input)) for name in ("a/relu", "y")] == [
        ("Identity", ["a/product", "^a/check"]),
        ("Identity", ["a/relu"]),
    ]


def test_refuses_to_bypass(net, run_rules):
    net.constant("axis", 0, "int32")
    net.node("total", "Sum", "side", "axis", Tidx="int32")
    net.node("cast", "Cast", "total", T=None, SrcT="float32", DstT="int32")
    net.outputs.append("cast")
    assert "scale reads nothing" in refusal(run_rules, net, "bypass_nodes(node=scale)").message
    assert "total gives out another shape than it reads" in refusal(run_rules, net, "bypass_nodes(node=total)").message
    assert "cast gives out another type than it reads" in refusal(run_rules, net, "bypass_nodes(node=cast)").message


def test_edits_are_read_from_a_list(net, run_rules):
    text = (
        "# first the names\nrename_nodes(old=a/*, new=*)\n\n  # then the rest\ndelete_nodes(node=check), prune_unused\n"
    )
    rewritten = run_rules(net, *passes_for("", [text], []))
    assert rewritten.names == ["x", "scale", "product", "relu", "one", "y"]
