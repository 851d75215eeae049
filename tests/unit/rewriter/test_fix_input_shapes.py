"""Inputs at a fixed size: what follows is constant, everything computes the same, and when the graph does not agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules.shapes.fix_input_shapes import FixInputShapes
from modelmill_rewriter.rules_api import Interface, ShapeOf, Target, Tensor
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError
from tflite_of_graphs import Interpreter, convert

NAME = "fix_input_shapes"


def dimension(graph, label, image, axis):
    """One size of an image as old code asks for it."""
    graph.node(label + "/shape", "Shape", image, out_type="int32")
    for part, value in (("begin", axis), ("end", axis + 1), ("step", 1)):
        graph.constant(f"{label}/{part}", [value], "int32")
    parts = [f"{label}/{part}" for part in ("begin", "end", "step")]
    return graph.node(label, "StridedSlice", label + "/shape", *parts, shrink_axis_mask=1, dtype="int32", Index="int32")


def dynamic(graph, shape, channels, dtype="float32"):
    """A mask, filled and tiled by the image's sizes, on the image; then each image as a row."""
    graph.placeholder("image", shape, dtype)
    sizes = [dimension(graph, f"size_{axis}", "image", axis) for axis in range(3)]
    graph.constant("one", 1, "int32")
    graph.constant("half", 0.5, dtype)
    graph.node("ones", "Pack", "one", sizes[1], sizes[2], "one", dtype="int32", N=4, axis=0)
    graph.node("mask", "Fill", "ones", "half", dtype=dtype, index_type="int32")
    graph.constant("channels", channels, "int32")
    graph.node("times", "Pack", sizes[0], "one", "one", "channels", dtype="int32", N=4, axis=0)
    graph.node("tiled", "Tile", "mask", "times", dtype=dtype, Tmultiples="int32")
    graph.node("masked", "Mul", "image", "tiled", dtype=dtype)
    graph.node("area", "Mul", sizes[1], sizes[2], dtype="int32")
    graph.node("length", "Mul", "area", "channels", dtype="int32")
    graph.node("row", "Pack", sizes[0], "length", dtype="int32", N=2, axis=0)
    graph.outputs.append(graph.node("rows", "Reshape", "masked", "row", dtype=dtype, Tshape="int32"))
    return graph


def shape_of(rewritten, name):
    return rewritten.index.shape(Tensor(name))


@given(
    image=strategies.tuples(*[strategies.integers(1, 5)] * 4),
    dtype=strategies.sampled_from(["float32", "float64", "int32"]),
    rank_known=strategies.booleans(),
)
def test_computes_the_same_and_works_no_shape_out_any_more(image, dtype, rank_known, new_graph, run_rules, compute):
    graph = dynamic(new_graph(), (-1, -1, -1, image[3]) if rank_known else None, image[3], dtype)
    rewritten = run_rules(graph, f"{NAME}(shape='image:{','.join(map(str, image))}')")
    x = (10 * np.random.default_rng(3).normal(size=image)).astype(dtype)
    before, after = (compute(item, {"image": x}, ["rows"])[0] for item in (graph.message, rewritten.message))
    np.testing.assert_array_equal(after, before)  # nothing but integers is computed otherwise
    assert set(rewritten.operations) == {"Placeholder", "Const", "Tile", "Mul", "Reshape"}
    assert shape_of(rewritten, "rows") == (image[0], image[1] * image[2] * image[3])
    assert shape_of(rewritten, "image") == image


def test_a_batch_fixes_every_open_first_size(graph, run_rules):
    dynamic(graph, (-1, 4, 4, 3), 3)
    graph.message.versions.producer = 26  # before 24, no dimensions meant that the rank is not known
    graph.placeholder("number", ())
    graph.placeholder("pair", (-1, 2))
    graph.outputs.append(graph.node("scaled", "Mul", "pair", "number"))
    rewritten = run_rules(graph, NAME + "(batch=2)")
    assert [shape_of(rewritten, name) for name in ("image", "number", "pair")] == [(2, 4, 4, 3), (), (2, 2)]
    assert rewritten.refused == {}
    assert rewritten.reports[0].note == (
        "image is [2, 4, 4, 3] now and was [?, 4, 4, 3]; pair is [2, 2] now and was [?, 2]."
    )


@pytest.mark.parametrize("text", ["image:1,8,?,3", "image:1x8x?x3", "image:0:1,8,-1,3", "image:[1, 8, ?, 3]"])
def test_reads_a_shape_in_each_spelling_and_leaves_a_size(text, graph, run_rules):
    dynamic(graph, (-1, -1, -1, 3), 3)
    assert shape_of(run_rules(graph, f'{NAME}(shape="{text}")'), "image") == (1, 8, -1, 3)


def test_takes_several_inputs_and_a_batch_for_the_rest(graph, run_rules):
    graph.placeholder("a", (-1, -1))
    graph.placeholder("b", (-1, 3))
    graph.outputs.append(graph.node("y", "Add", "a", "b"))
    rewritten = run_rules(graph, NAME + "(shape=a:?x3 batch=4)")
    assert [shape_of(rewritten, name) for name in ("a", "b", "y")] == [(4, 3)] * 3


def test_changes_a_size_that_was_fixed(graph, run_rules):
    graph.placeholder("x", (1, 8, 8, 2))
    graph.constant("w", np.ones((3, 3, 2, 4)))
    graph.outputs.append(graph.node("y", "Conv2D", "x", "w", strides=(1, 2, 2, 1), padding=b"SAME"))
    assert shape_of(run_rules(graph, NAME + "(shape=x:1x6x10x2)"), "y") == (1, 3, 5, 4)


def told(graph, name, *shapes, attribute="_output_shapes"):
    for shape in shapes:
        tensors.encode_shape(shape, graph.find(name).attr[attribute].list.shape.add())


def test_what_nodes_tell_of_their_shapes_follows(graph, run_rules):
    graph.placeholder("x", (-1, 4))
    graph.placeholder("z", (-1, 4))
    graph.node("y", "Neg", "x")
    graph.node("other", "Neg", "z")
    graph.outputs.extend(["y", "other"])
    for name in ("x", "y", "other"):
        told(graph, name, (8, 4))
    rewritten = run_rules(graph, NAME + "(shape=x:2x4)")
    attributes = [rewritten.find(name).attr["_output_shapes"].list.shape for name in ("x", "y", "other")]
    assert [tensors.decode_shape(shapes[0]) for shapes in attributes] == [(2, 4), (2, 4), (8, 4)]


def test_what_a_loop_tells_of_its_shapes_follows(graph, run_rules):
    graph.placeholder("x", (8, 4))
    graph.outputs.append(graph.node("y", "StatelessWhile", "x", T=None))
    told(graph, "y", (8, 4), attribute="output_shapes")
    held = run_rules(graph, NAME + "(shape=x:2x4)").find("y").attr["output_shapes"].list
    assert [tensors.decode_shape(shape) for shape in held.shape] == [(2, 4)]


def test_finds_nothing_more_in_what_it_wrote(graph, new_graph, run_rules):
    dynamic(graph, (-1, -1, -1, 3), 3)
    first = run_rules(graph, NAME + "(shape=image:1x4x4x3)")
    again = new_graph(first.message, graph.inputs, graph.outputs)
    assert run_rules(again, NAME + "(shape=image:1x4x4x3)").fired == 0


def test_leaves_a_shape_alone_when_it_is_worked_out_in_a_condition(graph, run_rules):
    graph.placeholder("x", (-1, 4))
    graph.placeholder("p", (), "bool")
    graph.node("switch", "Switch", "x", "p")
    graph.node("shape", "Shape", "switch:1", out_type="int32")
    graph.node("other", "Shape", "switch", out_type="int32")
    graph.outputs.append(graph.node("y", "Merge", "other", "shape", dtype="int32"))
    rewritten = run_rules(graph, NAME + "(batch=2)")
    assert (rewritten.find("shape").op, rewritten.find("other").op) == ("Shape", "Shape")


def test_leaves_a_shape_alone_when_the_image_is_fed_in_the_middle(graph, run_rules):
    graph.placeholder("x", (-1, 4))
    graph.node("middle", "Neg", "x")
    graph.inputs.append("middle")
    graph.outputs.append(graph.node("y", "Shape", "middle", out_type="int32"))
    assert run_rules(graph, NAME + "(batch=2)").find("y").op == "Shape"


def test_leaves_a_shape_alone_when_it_waits_for_something(graph, run_rules):
    graph.placeholder("x", (-1, 4))
    graph.node("check", "Neg", "x")
    graph.outputs.append(graph.node("y", "Shape", "x", "^check", out_type="int32"))
    assert run_rules(graph, NAME + "(batch=2)").find("y").op == "Shape"


def test_leaves_a_fill_alone_when_it_is_large(graph, run_rules):
    graph.placeholder("x", (-1, -1))
    graph.node("shape", "Shape", "x", out_type="int32")
    graph.constant("zero", 0)
    graph.outputs.append(graph.node("y", "Fill", "shape", "zero", index_type="int32"))
    assert run_rules(graph, NAME + "(shape=x:256x256)").find("y").op == "Const"
    assert run_rules(graph, NAME + "(shape=x:256x257)").find("y").op == "Fill"


def test_leaves_an_input_alone_when_its_rank_is_not_known_or_its_batch_is_fixed(graph, run_rules):
    graph.placeholder("x", None)
    graph.placeholder("z", (3, 4))
    graph.outputs.append(graph.node("y", "Add", "x", "z"))
    rewritten = run_rules(graph, NAME + "(batch=2)")
    assert rewritten.fired == 0
    assert rewritten.refused == {
        "x": "its rank is not known; name all its sizes with shape",
        "z": "its first size is 3 already; change it with shape",
    }


def refusal(run_rules, graph, options):
    with pytest.raises(StepError) as caught:
        run_rules(graph, f"{NAME}({options})")
    assert caught.value.reason == "INVALID_OPTION"
    return caught.value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "say which shape an input is to have, or give batch."),
        ("batch=0", "give a number from 1 on."),
        ("shape=y:1x2", "the model's inputs are x, middle."),
        ("shape=middle:1x2", "middle is no Placeholder but a Neg, whose shape follows from the graph."),
        ("shape=x:", 'write the sizes as in "x:1,224,224,3", with ? to leave one.'),
        ("shape=x:1x0", 'write the sizes as in "x:1,224,224,3", with ? to leave one.'),
        ("shape=x:1xa", 'write the sizes as in "x:1,224,224,3", with ? to leave one.'),
        ("shape=x:1x2x3", "x is declared as [?, 4]."),
    ],
)
def test_refuses_an_option_that_means_nothing(options, message, graph, run_rules):
    graph.placeholder("x", (-1, 4))
    graph.node("middle", "Neg", "x")
    graph.inputs.append("middle")
    graph.outputs.append(graph.node("y", "Neg", "middle"))
    assert refusal(run_rules, graph, options).message.endswith(message)


def numbers(graph, name, value):
    return graph.constant(name, value, "int32")


def reshape(graph):
    graph.node("bad", "Reshape", "x", numbers(graph, "size", [-1, 64]), Tshape="int32")


def whole_reshape(graph):
    graph.node("bad", "Reshape", "x", numbers(graph, "size", [1, 64]), Tshape="int32")


def matrix_product(graph):
    graph.node("row", "Reshape", "x", numbers(graph, "size", [1, -1]), Tshape="int32")
    graph.node("bad", "MatMul", "row", graph.constant("w", np.ones((64, 2))))


def batched_product(graph):
    graph.node("bad", "BatchMatMulV2", "x", graph.constant("w", np.ones((1, 1, 4, 2))), adj_x=True)


def sum_with_a_constant(graph):
    graph.node("bad", "AddV2", "x", graph.constant("c", np.ones((1, 4, 4, 1))))


def sum_of_all(graph):
    graph.node("bad", "AddN", "x", graph.constant("c", np.ones((1, 4, 4, 4))), N=2)


def selection(graph):
    graph.placeholder("truth", (1, -1, -1, 4), "bool")
    graph.node("bad", "Select", "truth", "x", graph.constant("c", np.ones((1, 4, 4, 4))))


def joined(graph):
    constant = graph.constant("c", np.ones((1, 4, 4, 1)))
    graph.node("bad", "ConcatV2", "x", constant, numbers(graph, "axis", -1), N=2, Tidx="int32")


def window(graph):
    graph.node("bad", "MaxPool", "x", ksize=(1, 4, 4, 1), strides=(1, 1, 1, 1), padding=b"VALID")


def channels(graph):
    graph.node("turned", "Transpose", "x", numbers(graph, "order", [0, 3, 2, 1]), Tperm="int32")
    graph.node("bad", "DepthwiseConv2dNative", "turned", graph.constant("w", np.ones((1, 1, 4, 1))),
               strides=(1, 1, 1, 1), padding=b"SAME")  # fmt: skip


def bias(graph):
    graph.node("turned", "Transpose", "x", numbers(graph, "order", [0, 3, 2, 1]), Tperm="int32")
    graph.node("bad", "BiasAdd", "turned", graph.constant("b", np.ones(4)))


def squeezed(graph):
    pooled = graph.node("pool", "AvgPool", "x", ksize=(1, 2, 2, 1), strides=(1, 2, 2, 1), padding=b"SAME")
    pooled = graph.node("pool_2", "AvgPool", pooled, ksize=(1, 2, 2, 1), strides=(1, 2, 2, 1), padding=b"VALID")
    graph.node("bad", "Squeeze", pooled, squeeze_dims=(1, 2))


def cut(graph):
    graph.node("bad", "Slice", "x", numbers(graph, "begin", [0, 1, 0, 0]), numbers(graph, "size", [1, 3, -1, -1]))


def parted(graph):
    graph.node("bad", "Split", numbers(graph, "axis", 1), "x", num_split=4)


def parted_by_sizes(graph):
    sizes, axis = numbers(graph, "sizes", [1, 3]), numbers(graph, "axis", 1)
    graph.node("bad", "SplitV", "x", sizes, axis, num_split=2)


def blocks(graph):
    graph.node("bad", "SpaceToDepth", "x", block_size=2)


def batches(graph):
    pads = numbers(graph, "pads", [[0, 0], [1, 1]])
    graph.node("bad", "SpaceToBatchND", "x", numbers(graph, "blocks", [2, 2]), pads)


def declared(graph):
    graph.node("bad", "EnsureShape", "x", shape=ShapeOf((1, 4, 4, -1)))


MADE_FOR_FOUR = {
    reshape: ((3, 5), "the 60 elements of [1, 3, 5, 4] do not fill [?, 64]"),
    whole_reshape: ((3, 5), "the 60 elements of [1, 3, 5, 4] do not fill [1, 64]"),
    matrix_product: ((3, 5), "it multiplies the matrices [1, 60] and [64, 2]"),
    batched_product: ((3, 5), "it multiplies the matrices [1, 3, 5, 4] and [1, 1, 4, 2]"),
    sum_with_a_constant: ((3, 5), "it computes [1, 3, 5, 4] with [1, 4, 4, 1] element by element"),
    sum_of_all: ((3, 5), "its operands [1, 3, 5, 4] and [1, 4, 4, 4] must be alike"),
    selection: ((3, 5), "its operands [1, 3, 5, 4] and [1, 4, 4, 4] must be alike"),
    joined: ((3, 5), "it joins [1, 3, 5, 4] and [1, 4, 4, 1] along axis -1"),
    window: ((3, 5), "[1, 3, 5, 4] has no room for a window"),
    channels: ((3, 5), "its filter [1, 1, 4, 1] does not fit [1, 4, 5, 3]"),
    bias: ((3, 5), "it has 4 numbers for the channels of [1, 4, 5, 3]"),
    squeezed: ((8, 8), "it drops the axes [1, 2] of [1, 2, 2, 4], which must be of size 1"),
    cut: ((3, 5), "it cuts [1, 3, 5, 4] from [0, 1, 0, 0] to [1, 4, 0, 0]"),
    parted: ((3, 5), "it parts axis 1 of [1, 3, 5, 4] in 4"),
    parted_by_sizes: ((3, 5), "it parts axis 1 of [1, 3, 5, 4] in [1, 3]"),
    blocks: ((3, 5), "[1, 3, 5, 4] does not part in blocks of 2 x 2"),
    batches: ((3, 5), "[1, 3, 5, 4], padded, does not part in blocks of [2, 2]"),
    declared: ((3, 5), "it is declared to be [1, 4, 4, ?] and reads [1, 3, 5, 4]"),
}


@pytest.mark.parametrize("make", MADE_FOR_FOUR)
@pytest.mark.parametrize("before", [(1, -1, -1, 4), (1, 4, 4, 4)], ids=["open", "fixed"])
def test_refuses_a_size_that_the_graph_was_not_made_for(make, before, graph, run_rules):
    size, reason = MADE_FOR_FOUR[make]
    graph.placeholder("x", before)
    make(graph)
    graph.outputs.append(graph.node("y", "Relu", "bad"))
    error = refusal(run_rules, graph, "shape=x:1x{}x{}x4".format(*size))
    operation = graph.find("bad").op
    written = "[1, {}, {}, 4]".format(*size)
    assert error.message == (
        f"With x at {written}, the {operation} 'bad' does not work: {reason}. Choose sizes that the model was made for."
    )
    assert (error.details["node"], error.details["disagreement"]) == ("bad", reason)


@pytest.mark.parametrize("make", MADE_FOR_FOUR)
def test_takes_the_size_that_the_graph_was_made_for(make, graph, run_rules):
    graph.placeholder("x", (1, -1, -1, 4))
    make(graph)
    graph.outputs.append(graph.node("y", "Relu", "bad"))
    assert shape_of(run_rules(graph, NAME + "(shape=x:1x4x4x4)"), "x") == (1, 4, 4, 4)


def test_what_no_output_needs_may_disagree(graph, run_rules):
    graph.placeholder("x", (1, -1, -1, 4))
    reshape(graph)
    graph.outputs.append(graph.node("y", "Relu", "x"))
    assert run_rules(graph, NAME + "(shape=x:1x3x5x4)").fired == 1


# -- a real net -------------------------------------------------------------------------------------------------------

PNET = Interface((Tensor("pnet/input"),), (Tensor("prob"), Tensor("bbox")))
IMAGE = (1, 120, 160, 3)


@pytest.fixture
def pnet(corpus):
    """MTCNN's first net, which takes images [?, ?, ?, 3], and the same for images of one size."""
    before = graph_def.read(corpus / "mtcnn" / "tf1.15.5" / "pnet" / "frozen.pb")
    passes = [FixInputShapes(shapes=("pnet/input:1,120,160,3",))]
    return before, rewrite_graph(graph_def.copy(before), PNET, passes, Target())


def test_every_shape_of_a_dynamic_net_is_known_and_nothing_works_shapes_out(pnet):
    _, after = pnet
    assert [after.index.shape(tensor) for tensor in PNET.outputs] == [(1, 55, 75, 2), (1, 55, 75, 4)]
    shapes = [after.index.shape(Tensor(node.name)) for node in after.graph.node]
    assert [shape for shape in shapes if shape is None or -1 in shape] == []
    assert not {"Shape", "StridedSlice", "Pack"} & {node.op for node in after.graph.node}


def test_tflite_has_the_fixed_net_with_the_same_numbers(pnet, tmp_path, compute_with_tensorflow):
    before, after = pnet
    interpreter = Interpreter(convert(after.graph, ["pnet/input"], ["prob", "bbox"], tmp_path))
    assert interpreter.input_shapes == [IMAGE]
    x = np.random.default_rng(11).uniform(-1, 1, IMAGE).astype(np.float32)
    found = {value.shape: value for value in interpreter.run(x)}
    for value in compute_with_tensorflow(before, {"pnet/input": x}, ["prob", "bbox"]):
        # Both kernels sum a few hundred products in float32, in their own order.
        np.testing.assert_allclose(found[value.shape], value, rtol=1e-5, atol=1e-5 * np.abs(value).max())
