"""cut_front_end: where it cuts, what is fed then, and when it leaves a model alone."""

import io
import struct
import wave
import zlib

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from modelmill_worker import graph_def, tensors

STRING = tensors.data_type_named("string").number


def file_input(graph, name="file", shape=()):
    graph.placeholder(name, shape)
    graph.find(name).attr["dtype"].type = STRING
    return name


def decoded(graph, operation="DecodePng"):
    """A picture of three colours."""
    return graph.node("decoded", operation, file_input(graph), T=None, channels=3, dtype="uint8")


def prepared(graph, picture="decoded"):
    """Resized to 8 x 8 and normalised, in the way of TensorFlow's examples."""
    graph.node("cast", "Cast", picture, T=None, SrcT="uint8", DstT="float32")
    graph.constant("axis", 0, "int32")
    graph.node("batch", "ExpandDims", "cast", "axis", Tdim="int32")
    graph.constant("size", [8, 8], "int32")
    graph.node("resized", "ResizeBilinear", "batch", "size")
    graph.constant("mean", 128.0)
    graph.constant("scale", 1 / 128)
    graph.node("centred", "Sub", "resized", "mean")
    return graph.node("normalised", "Mul", "centred", "scale")


def network(graph, x):
    graph.constant("w", np.random.default_rng(0).normal(size=(1, 1, 3, 4)))
    graph.node("conv", "Conv2D", x, "w", strides=(1, 1, 1, 1), padding=b"SAME")
    graph.outputs.append(graph.node("y", "Relu", "conv"))


def fed(rewritten):
    """Name, type and shape of every input."""
    found = {}
    for tensor in rewritten.interface.inputs:
        attributes = rewritten.find(tensor.node).attr
        shape = tensors.decode_shape(attributes["shape"].shape)
        found[tensor.node] = (tensors.data_type(attributes["dtype"].type).name, shape)
    return found


def png(pixels):
    """A PNG file of an array [height, width, 3] of uint8. (https://www.w3.org/TR/png, 5: each row starts with 0.)"""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sound(samples):
    """A WAV file of a second, of an array of int16."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
    return data.getvalue()


def test_cuts_behind_the_normalisation_of_a_picture(graph, run_rules):
    decoded(graph, "DecodeJpeg")
    network(graph, prepared(graph))
    rewritten = run_rules(graph, "cut_front_end")
    assert fed(rewritten) == {"normalised": ("float32", (1, 8, 8, 3))}
    assert rewritten.operations == ["Placeholder", "Const", "Conv2D", "Relu"]
    assert rewritten.fired == 1


@given(pixels=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20).map(lambda s: (*s, 3))))
@settings(max_examples=10, deadline=None)
def test_the_network_computes_the_same_of_what_is_fed(pixels, new_graph, run_rules, compute):
    graph = new_graph()
    decoded(graph)
    network(graph, prepared(graph))
    rewritten = run_rules(graph, "cut_front_end")
    between, before = compute(graph.message, {"file": np.array(png(pixels), object)}, ["normalised", "y"])
    after = compute(rewritten.message, {"normalised": between}, ["y"])[0]
    # The Conv2D is the same; its kernel may divide the work otherwise.
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("model", ["DS_CNN_S", "CRNN_S", "Basic_LSTM_S"])
def test_cuts_keyword_spotters_at_their_features(model, corpus, new_graph, run_rules):
    message = graph_def.read(corpus / "kws-tf1-frozen" / (model + ".pb"))
    rewritten = run_rules(new_graph(message, ["wav_data"], ["labels_softmax"]), "cut_front_end")
    assert fed(rewritten) == {"Mfcc": ("float32", (1, 49, 10))}
    assert not {"DecodeWav", "AudioSpectrogram"} & set(rewritten.operations)


def test_a_keyword_spotter_says_the_same_of_its_features(corpus, new_graph, run_rules, compute):
    message = graph_def.read(corpus / "kws-tf1-frozen" / "DS_CNN_S.pb")
    graph = new_graph(message, ["wav_data"], ["labels_softmax"])
    rewritten = run_rules(graph, "cut_front_end")
    samples = np.random.default_rng(0).integers(-9000, 9000, 16000).astype(np.int16)
    file = np.array(sound(samples), object)
    features, before = compute(message, {"wav_data": file}, ["Mfcc", "labels_softmax"])
    after = compute(rewritten.message, {"Mfcc": features}, ["labels_softmax"])[0]
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)


def test_cuts_at_the_samples_where_the_network_takes_them(graph, run_rules):
    graph.node("decoded", "DecodeWav", file_input(graph), T=None, desired_channels=1, desired_samples=16000)
    graph.constant("w", np.ones((16000, 2)))
    graph.outputs.append(graph.node("y", "MatMul", "decoded", "w", transpose_a=True))
    assert fed(run_rules(graph, "cut_front_end")) == {"decoded": ("float32", (16000, 1))}


def test_cuts_before_the_size_is_taken(graph, run_rules):
    decoded(graph)
    network(graph, prepared(graph))
    graph.node("shape", "Shape", "decoded", T="uint8", out_type="int32")
    graph.outputs.append(graph.node("height_and_width", "Neg", "shape", dtype="int32"))
    assert fed(run_rules(graph, "cut_front_end")) == {"decoded": ("uint8", (-1, -1, 3))}


def test_feeds_every_field_of_a_record(graph, run_rules):
    file_input(graph, shape=(-1,))
    for name in ("a", "b"):
        graph.message.node.append(graph_def.new_constant("default/" + name, np.zeros(0, np.float32)))
    graph.message.node.append(graph_def.new_constant("names", np.zeros(0, object)))
    graph.message.node.append(graph_def.new_constant("key/a", np.array(b"a", object)))
    graph.message.node.append(graph_def.new_constant("key/b", np.array(b"b", object)))
    inputs = ("file", "names", "key/a", "key/b", "default/a", "default/b")
    graph.node("record", "ParseExample", *inputs, T=None, Nsparse=0, Ndense=2)
    attributes = graph.find("record").attr
    attributes["Tdense"].list.type.extend([1, 1])
    for size in (3, 3):
        tensors.encode_shape((size,), attributes["dense_shapes"].list.shape.add())
    graph.outputs.append(graph.node("y", "Atan2", "record", "record:1"))
    rewritten = run_rules(graph, "cut_front_end")
    assert [described[0] for described in fed(rewritten).values()] == ["float32", "float32"]
    assert rewritten.operations.count("Placeholder") == 2
    assert "ParseExample" not in rewritten.operations


def test_keeps_the_other_inputs(graph, run_rules):
    decoded(graph)
    network(graph, prepared(graph))
    graph.placeholder("factor", ())
    graph.outputs = [graph.node("scaled", "Mul", "y", "factor")]
    assert set(fed(run_rules(graph, "cut_front_end"))) == {"normalised", "factor"}


def test_keeps_what_are_weights_already(graph, run_rules):
    decoded(graph)
    graph.node("cast", "Cast", "decoded", T=None, SrcT="uint8", DstT="float32")
    graph.constant("mask", np.ones((8, 8, 3)))
    graph.outputs.append(graph.node("y", "Mul", "cast", "mask"))
    assert set(fed(run_rules(graph, "cut_front_end"))) == {"cast"}


def test_cuts_where_it_is_told_to(graph, run_rules):
    decoded(graph)
    network(graph, prepared(graph))
    assert fed(run_rules(graph, "cut_front_end(at=resized)")) == {"resized": ("float32", (1, 8, 8, 3))}


def numbers(graph):
    graph.placeholder("picture", (-1, -1, 3), "uint8")
    network(graph, prepared(graph, "picture"))


def test_cuts_what_prepares_numbers_where_it_is_told_to(graph, run_rules):
    numbers(graph)
    assert fed(run_rules(graph, "cut_front_end(resize=true)")) == {"normalised": ("float32", (1, 8, 8, 3))}


def test_leaves_alone_when_the_input_takes_numbers(graph, run_rules):
    numbers(graph)
    rewritten = run_rules(graph, "cut_front_end")
    reason = "it takes numbers, which are prepared up to normalised; give resize=true to cut that off"
    assert (rewritten.fired, rewritten.refused) == (0, {"picture": reason})


def test_leaves_alone_when_strings_are_looked_up(graph, run_rules):
    file_input(graph, "words", (-1,))
    graph.outputs.append(graph.node("y", "StringToHashBucketFast", "words", T=None, num_buckets=10))
    reason = "its strings are read by StringToHashBucketFast, which decodes nothing; say with at= where to cut"
    assert run_rules(graph, "cut_front_end").refused == {"words": reason}


def test_leaves_alone_when_the_picture_is_an_output_too(graph, run_rules):
    decoded(graph)
    network(graph, prepared(graph))
    graph.outputs.append("decoded")
    reason = "what is decoded of it goes several ways or is given out; say with at= where to cut"
    assert run_rules(graph, "cut_front_end").refused == {"file": reason}


def test_says_nothing_about_a_network_alone(graph, run_rules):
    graph.placeholder("x", (1, 8, 8, 3))
    network(graph, "x")
    rewritten = run_rules(graph, "cut_front_end(resize=true)")
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_is_done_after_once(graph, new_graph, run_rules):
    decoded(graph)
    network(graph, prepared(graph))
    first = run_rules(graph, "cut_front_end")
    again = run_rules(new_graph(first.message, ["normalised"], ["y"]), "cut_front_end")
    assert (again.fired, again.refused) == (0, {})
