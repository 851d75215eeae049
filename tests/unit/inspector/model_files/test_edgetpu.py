"""Compiled files beside what they were compiled from, by compilers of 2019, 2021 and now."""

from collections import Counter

import pytest
from modelmill_inspector.edgetpu._flexbuffer import Flexbuffer
from modelmill_worker.flatbuffer import FlatbufferError

MOBILENET = "2019/mobilenet_v1_0.25_128_quant"
MOBILENET_LARGER = "2019/mobilenet_v1_0.5_160_quant"
TOGETHER = MOBILENET + "_cocompiled_with_mobilenet_v1_0.5_160_quant"
TOGETHER_LARGER = MOBILENET_LARGER + "_cocompiled_with_mobilenet_v1_0.25_128_quant"
EMBEDDED = "edgetpu-custom-op"

#: Source, compiled, operators of the source, those left to the CPU, Edge TPU runtime.
PAIRS = [
    ("2019/mobilenet_edgetpu_0.75_224_post_training_quant", "", 79, 0, 12),
    (MOBILENET, "", 31, 0, 12),
    (MOBILENET, TOGETHER, 31, 0, 12),
    (MOBILENET_LARGER, "", 31, 0, 12),
    (MOBILENET_LARGER, TOGETHER_LARGER, 31, 0, 12),
    ("2019/posenet_mobilenet_v1_075_353_481_quant_decoder", "", 33, 1, 12),
    ("2021/deeplabv3_mnv2_dm05_pascal_quant", "", 72, 8, 12),
    ("2021/keras_lstm_mnist_ptq", "", 6, 0, 12),
    ("2021/split_concat", "", 3, 0, 13),
    ("v16/dense_256", "", 3, 0, 14),
    ("v16/dummy", "", 3, 0, 14),
    ("v16/gabor_64x64_p4", "", 4, 0, 14),
]
FLEXBUFFER = (
    "6100620063000474657874006400030102030404046500051817160f070000000800000001000000"
    "0500000007000000d4feffff2d000000290000000000003f060614280e192601"
)

#: Those whose constants are all parameters of what was mapped.
MAPPED_WHOLE = [
    pair for pair in PAIRS if pair[3] == 0 and not any(one in pair[0] for one in ("split", "lstm", "gabor"))
]


@pytest.fixture
def pair(inspect, corpus):
    """A source and what became of it, as recognised."""

    def find(source, compiled=""):
        folder = corpus / "edgetpu-pairs"
        return inspect(folder / (source + ".tflite")), inspect(folder / ((compiled or source) + "_edgetpu.tflite"))

    return find


def test_every_pair_of_the_corpus_is_looked_at(corpus):
    there = {path.name for path in (corpus / "edgetpu-pairs").rglob("*_edgetpu.tflite")}
    assert there == {(compiled or source).split("/")[1] + "_edgetpu.tflite" for source, compiled, _, _, _ in PAIRS}


@pytest.mark.parametrize(("source", "compiled", "before", "left", "runtime"), PAIRS)
def test_what_was_mapped_and_what_runs_on_the_cpu(pair, source, compiled, before, left, runtime):
    old, new = pair(source, compiled)
    assert (old.kind, new.kind) == ("tflite", "tflite.edgetpu")
    assert old.facts["nodes"] == before
    assert new.facts["operations"][EMBEDDED] == new.facts["edgetpu"]["subgraphs"] == 1
    on_cpu = Counter(new.facts["operations"]) - Counter({EMBEDDED: 1})
    assert sum(on_cpu.values()) == left
    assert not on_cpu - Counter(old.facts["operations"])
    assert new.facts["edgetpu"]["runtime_version"] == runtime
    assert new.facts["edgetpu"]["chips"] == ["beagle"]
    assert "compiled for the Edge TPU" in new.facts["description"]


@pytest.mark.parametrize(("source", "compiled", "_before", "_left", "_runtime"), PAIRS)
def test_layers_are_the_inputs_and_outputs_of_the_source(pair, source, compiled, _before, _left, _runtime):
    old, new = pair(source, compiled)
    tensors = {one["name"]: one for one in new.facts["tensors"]}
    (operator,) = new.facts["edgetpu"]["operators"]
    (runs,) = [one for one in operator["executables"] if one["type"] != "PARAMETER_CACHING"]
    layers = {one["name"]: one for one in runs["inputs"]}
    for end in new.facts["inputs"]:
        # What the file tells of the tensor is what the compiler told the Edge TPU.
        layer, scales = layers[end["tensor"]], tensors[end["tensor"]]["quantisation"]
        assert (layer["scale"], layer["zero_point"]) == (scales["scale"], scales["zero_point"])
        assert layer["dtype"] == end["dtype"]
        assert layer["shape"] == [1, 1, 1, *end["shape"][1:]][-3:]
    assert [end["shape"][1:] for end in old.facts["inputs"]] == [end["shape"][1:] for end in new.facts["inputs"]]
    assert all(layer["bytes"] >= layer["shape"][0] * layer["shape"][1] * layer["shape"][2] for layer in runs["inputs"])
    assert runs["outputs"]
    assert runs["instruction_bytes"] > 1000


@pytest.mark.parametrize(("source", "compiled", "_before", "_left", "_runtime"), MAPPED_WHOLE)
def test_parameters_are_the_constants_of_the_source_and_what_fills_them_up(
    pair, source, compiled, _before, _left, _runtime
):
    old, new = pair(source, compiled)
    whole = new.facts["edgetpu"]["on_chip_bytes"] + new.facts["edgetpu"]["off_chip_bytes"]
    weights = old.facts["quantisation"]["weights"]
    biases = weights.pop("int32", 0) // 4
    integers = sum(weights.values())
    assert integers <= whole <= 1.2 * integers + 12 * biases


def test_bytes_on_and_off_the_chip(pair):
    assert pair("v16/dense_256")[1].facts["edgetpu"]["on_chip_bytes"] == 256 * 256 + 8 * 256
    # Filters of 7x7 for one channel, which is filled up to eight.
    assert pair("v16/gabor_64x64_p4")[1].facts["edgetpu"]["on_chip_bytes"] == 8 * 8 * 7 * 7 + 8 * 8
    lstm = pair("2021/keras_lstm_mnist_ptq")[1].facts["edgetpu"]
    assert (lstm["on_chip_bytes"], lstm["off_chip_bytes"]) == (43968, 576)


def test_models_that_were_compiled_together_share_a_token(pair):
    alone, larger = pair(MOBILENET)[1].facts["edgetpu"], pair(MOBILENET_LARGER)[1].facts["edgetpu"]
    one, two = (
        pair(MOBILENET, TOGETHER)[1].facts["edgetpu"],
        pair(MOBILENET_LARGER, TOGETHER_LARGER)[1].facts["edgetpu"],
    )
    assert one["caching_tokens"] == two["caching_tokens"]
    assert len({*alone["caching_tokens"], *larger["caching_tokens"], *one["caching_tokens"]}) == 3
    for apart, together in ((alone, one), (larger, two)):
        assert sum(apart[key] for key in ("on_chip_bytes", "off_chip_bytes")) == sum(
            together[key] for key in ("on_chip_bytes", "off_chip_bytes")
        )


def test_cycles_were_told_in_2019_only(pair):
    assert pair(MOBILENET)[1].facts["edgetpu"]["cycles"] == 21568
    assert pair("2021/split_concat")[1].facts["edgetpu"]["cycles"] == 0
    assert pair("2021/split_concat")[1].facts["edgetpu"]["compiler"] == "cl/343520747"


def test_an_operator_without_the_compilers_payload_is_damaged(refusal, make_tflite, tables):
    tensors = [tables["tensor"]("a", [1]), tables["tensor"]("b", [1])]
    for payload, words in ((b"", "end before they begin"), (b"\1\2\3\4\5", "no map"), (None, "end before they begin")):
        call = tables["operator"](0, [0], [1])
        if payload is not None:
            call[5] = payload
        graph = tables["subgraph"](tensors, [0], [1], [call])
        error = refusal(make_tflite(tables["model"]([tables["custom"](EMBEDDED)], [graph])))
        assert error.reason == "TFLITE_DAMAGED"
        assert words in error.message


def test_reads_numbers_texts_and_vectors_of_a_flexbuffer():
    # Written by Google's flexbuffers.Dumps({"a": 7, "b": -300, "c": "text", "d": [1, 2, 3], "e": 0.5}).
    content = bytes.fromhex(FLEXBUFFER)
    found = Flexbuffer(content, 0, len(content)).read_map()
    start, length = found.pop("c")
    assert content[start : start + length] == b"text"
    assert found == {"a": 7, "b": -300, "d": [1, 2, 3], "e": 0.5}


def test_refuses_a_flexbuffer_that_leads_out_of_itself():
    content = bytes.fromhex(FLEXBUFFER)
    for place in range(len(content)):
        for value in (0, 127, 255):
            changed = content[:place] + bytes([value]) + content[place + 1 :]
            try:
                found = Flexbuffer(changed, 0, len(changed)).read_map()
            except FlatbufferError:
                continue
            assert len(found) <= len(content)
