"""Resizes, mirrored borders and convolutions in one operation, as TensorFlow's Graph Transform Tool fused them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_rewriter.rules_api import Target
from modelmill_worker import graph_def

SETTINGS = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
RULES = {
    "fuse_resize_pad_and_conv": (True, True, "FusedResizeAndPadConv2D"),
    "fuse_resize_and_conv": (True, False, "FusedResizeAndPadConv2D"),
    "fuse_pad_and_conv": (False, True, "FusedPadConv2D"),
}
#: Relative to the largest output: sums of some dozens of products in another order.
TOLERANCE = 2e-6


def convolved(
    graph, generator, *, resize, pad, mode=b"REFLECT", corners=False, padding=b"VALID", stride=1, size=9, images=1
):
    last = graph.placeholder("x", (images, 6, 7, 3))
    if resize:
        graph.constant("size", [size, size + 1], "int32")
        last = graph.node("resized", "ResizeBilinear", last, "size", align_corners=corners)
    if pad:
        graph.constant("pads", [[0, 0], [1, 2], [2, 0], [0, 0]], "int32")
        last = graph.node("mirrored", "MirrorPad", last, "pads", mode=mode, Tpaddings="int32")
    graph.constant("w", generator.normal(size=(3, 3, 3, 4)))
    graph.outputs.append(graph.node("y", "Conv2D", last, "w", strides=(1, stride, stride, 1), padding=padding))
    return graph


def operations(rewritten):
    return [item for item in rewritten.operations if item not in ("Const", "Placeholder")]


@pytest.mark.parametrize("rule", sorted(RULES))
@SETTINGS
@given(
    mode=st.sampled_from([b"REFLECT", b"SYMMETRIC"]),
    corners=st.booleans(),
    padding=st.sampled_from([b"SAME", b"VALID"]),
    stride=st.sampled_from([1, 2]),
    size=st.sampled_from([4, 9, 13]),
    seed=st.integers(0, 999),
)
def test_computes_the_same(new_graph, run_rules, compute, rule, seed, **more):
    resize, pad, wanted = RULES[rule]
    generator = np.random.default_rng(seed)
    graph = convolved(new_graph(), generator, resize=resize, pad=pad, **more)
    rewritten = run_rules(graph, rule)
    assert operations(rewritten) == [wanted]
    assert operations(run_rules(graph, "fuse_convolutions")) == [wanted]
    feeds = {"x": generator.normal(size=(1, 6, 7, 3)).astype(np.float32)}
    old, new = (compute(message, feeds, ["y"])[0] for message in (graph.message, rewritten.message))
    assert old.shape == new.shape
    np.testing.assert_allclose(new, old, rtol=0, atol=TOLERANCE * np.abs(old).max())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_writes_the_node_that_the_tool_writes(graph, run_rules, rule):
    tool = pytest.importorskip("tensorflow.tools.graph_transforms", reason="needs the tool, of TensorFlow before 2.0")
    resize, pad, _ = RULES[rule]
    convolved(graph, np.random.default_rng(0), resize=resize, pad=pad, corners=True, mode=b"SYMMETRIC", stride=2)
    theirs = tool.TransformGraph(graph_def.copy(graph.message), ["x"], ["y"], [rule])
    ours = run_rules(graph, rule)
    assert len(ours.names) <= len(theirs.node)
    wanted, given_ = next(node for node in theirs.node if node.name == "y"), ours.find("y")
    assert given_.op == wanted.op
    for key in wanted.attr:
        assert given_.attr[key].SerializeToString() == wanted.attr[key].SerializeToString()
    if rule != "fuse_resize_and_conv":  # whose border of no width has a name of its own
        assert list(given_.input) == list(wanted.input)


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dilations": (1, 2, 2, 1)}, "it is dilated, which no fused convolution can say"),
        ({"data_format": b"NCHW"}, "its channels come first, which no fused convolution can say"),
        ({"padding": b"EXPLICIT"}, "its padding is explicit, which no fused convolution can say"),
        ({"T": 14}, "it computes bfloat16, which no fused convolution does"),
    ],
)
def test_leaves_alone_when_the_fused_one_cannot_say_it(graph, run_rules, rule, change, reason):
    resize, pad, _ = RULES[rule]
    convolved(graph, np.random.default_rng(0), resize=resize, pad=pad)
    for key, value in change.items():
        attribute = graph.find("y").attr[key]
        attribute.Clear()
        if key == "T":
            attribute.type = value
        elif isinstance(value, bytes):
            attribute.s = value
        else:
            attribute.list.i.extend(value)
    assert run_rules(graph, rule).refused == {"y": reason}


def test_leaves_alone_when_pixels_have_their_centres_in_the_middle(graph, run_rules):
    convolved(graph, np.random.default_rng(0), resize=True, pad=False)
    graph.find("resized").attr["half_pixel_centers"].b = True
    assert run_rules(graph, "fuse_resize_and_conv").refused == {
        "y": "resized has half_pixel_centers, which no fused convolution can say"
    }


def test_leaves_alone_when_the_resize_gives_out_another_type(graph, run_rules):
    convolved(graph, np.random.default_rng(0), resize=True, pad=False)
    graph.find("x").attr["dtype"].type = 4
    graph.find("resized").attr["T"].type = 4
    assert run_rules(graph, "fuse_resize_and_conv").refused == {
        "y": "resized reads another type of image than it gives out"
    }


def test_leaves_alone_when_paddings_are_of_another_type(graph, run_rules):
    convolved(graph, np.random.default_rng(0), resize=False, pad=True)
    graph.constant("long", [[0, 0], [1, 2], [2, 0], [0, 0]], "int64")
    graph.find("mirrored").input[1] = "long"
    graph.find("mirrored").attr["Tpaddings"].type = 9
    assert run_rules(graph, "fuse_pad_and_conv").refused == {
        "y": "its paddings are not of type int32, which no fused convolution can say"
    }


@pytest.mark.parametrize("target", ["tflite", "tfjs"])
def test_leaves_alone_when_the_target_has_no_such_operation(graph, run_rules, target):
    convolved(graph, np.random.default_rng(0), resize=False, pad=True)
    assert run_rules(graph, "fuse_pad_and_conv", target=Target(target)).refused == {
        "y": f"nothing but TensorFlow has an operation for both, and the target is {target}"
    }


def test_leaves_alone_when_the_border_is_read_elsewhere(graph, run_rules):
    convolved(graph, np.random.default_rng(0), resize=False, pad=True)
    graph.outputs.append(graph.node("z", "Relu", "mirrored"))
    assert run_rules(graph, "fuse_pad_and_conv").refused == {"y": "its part 'mirrored' is also used elsewhere"}


@pytest.mark.parametrize("images", [2, -1])
def test_leaves_alone_when_there_may_be_several_images(graph, run_rules, images):
    convolved(graph, np.random.default_rng(0), resize=False, pad=True, images=images)
    assert run_rules(graph, "fuse_pad_and_conv").refused == {
        "y": "TensorFlow's fused convolutions compute the first image of a batch only; "
        "say with fix_input_shapes(batch=1) that there is one"
    }


def test_tensorflow_computes_several_images_wrongly(graph, compute_with_tensorflow):
    """Why they are left alone; where this fails TensorFlow has mended it."""
    generator = np.random.default_rng(0)
    convolved(graph, generator, resize=False, pad=True, images=2)
    node = graph.message.node.add()
    node.CopyFrom(graph.find("y"))
    node.name, node.op = "fused", "FusedPadConv2D"
    node.input[:] = ["x", "pads", "w"]
    node.attr["mode"].s = b"REFLECT"
    feeds = {"x": generator.normal(size=(2, 6, 7, 3)).astype(np.float32)}
    right, fused = compute_with_tensorflow(graph.message, feeds, ["y", "fused"])
    np.testing.assert_allclose(fused[0], right[0], rtol=0, atol=TOLERANCE * np.abs(right).max())
    assert np.abs(fused[1] - right[1]).max() > 0.1
