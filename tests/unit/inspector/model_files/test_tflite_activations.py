"""The fact `activations` of a .tflite: which are part of another operator, which are not, and why."""

import pytest

CODES = {
    "CONV_2D": 3,
    "DEQUANTIZE": 6,
    "RELU": 19,
    "RELU6": 21,
    "RESHAPE": 22,
    "TANH": 28,
    "FAKE_QUANT": 80,
    "QUANTIZE": 114,
}
NAMES = sorted(CODES)


@pytest.fixture
def activations(inspect, make_tflite, tables):
    """The fact of operators, each (op, inputs, outputs) or with a fused activation's number behind them.

    Tensor 0 is the input, 1 the filter.
    """

    def describe(operators, outputs):
        count = 1 + max(index for one in operators for index in one[2])
        tensors = [tables["tensor"](f"t{index}", [1, 4, 4, 1]) for index in range(count)]
        codes = [tables["builtin"](CODES[name]) for name in NAMES]
        calls = [
            tables["operator"](
                NAMES.index(name), inputs, made, {3: ("b", *more)} if more else {} if name == "CONV_2D" else None
            )
            for name, inputs, made, *more in operators
        ]
        graph = tables["subgraph"](tensors, [0], outputs, calls)
        return inspect(make_tflite(tables["model"](codes, [graph]))).facts["activations"]

    return describe


def test_lists_what_is_fused(activations):
    found = activations([("CONV_2D", [0, 1], [2], 3), ("CONV_2D", [2, 1], [3], 1), ("CONV_2D", [3, 1], [4], 3)], [4])
    assert found["fused"][0] == {"subgraph": 0, "operator": 0, "op": "CONV_2D", "activation": "RELU6", "name": "t2"}
    assert found["fused_by_operator"] == {"CONV_2D": {"RELU": 1, "RELU6": 2}}
    assert (found["fused_count"], found["separate"], found["could_fuse_count"]) == (3, [], 0)


CONV = ("CONV_2D", [0, 1], [2])
CASES = {
    "KIND": ([CONV, ("TANH", [2], [3])], [3], "no operator takes TANH as a part of itself"),
    "INPUT": ([("RELU", [0], [2])], [2], "it takes an input of the model or a constant"),
    "OPERATOR": ([CONV, ("RESHAPE", [2], [3]), ("RELU", [3], [4])], [4], "RESHAPE before it cannot take one"),
    "ACTIVATION": ([(*CONV, 1), ("RELU6", [2], [3])], [3], "CONV_2D before it has RELU already"),
    "OUTPUT": ([CONV, ("RELU", [2], [3])], [2, 3], "what CONV_2D makes for it is an output of the model too"),
    "SHARED": (
        [CONV, ("RELU", [2], [3]), ("RESHAPE", [2], [4])],
        [3, 4],
        "what CONV_2D makes for it is also used by another operator",
    ),
    "FAKE_QUANTISATION": (
        [CONV, ("FAKE_QUANT", [2], [3]), ("RELU", [3], [4])],
        [4],
        "a fake quantisation stands between it and CONV_2D",
    ),
    "NOTHING": ([CONV, ("RELU6", [2], [3])], [3], "nothing stands in its way"),
}


@pytest.mark.parametrize("why", CASES)
def test_says_why_one_is_not_fused(activations, why):
    operators, outputs, reason = CASES[why]
    found = activations(operators, outputs)
    (one,) = found["separate"]
    assert (one["why"], one["reason"]) == (why, reason)
    assert one["could_fuse"] == (why in ("FAKE_QUANTISATION", "NOTHING"))
    assert found["could_fuse_count"] == int(one["could_fuse"])


def test_sees_the_fake_quantisation_that_mlir_writes_as_two_operators(activations):
    operators = [CONV, ("QUANTIZE", [2], [3]), ("DEQUANTIZE", [3], [4]), ("RELU", [4], [5])]
    (one,) = activations(operators, [5])["separate"]
    assert (one["why"], one["behind"], one["could_fuse"]) == ("FAKE_QUANTISATION", "DEQUANTIZE", True)


@pytest.mark.parametrize("tensor", [2, 3])
def test_a_fake_quantisation_that_others_use_too_is_in_nobodys_way(activations, tensor):
    operators = [CONV, ("FAKE_QUANT", [2], [3]), ("RELU", [3], [4]), ("RESHAPE", [tensor], [5])]
    (one,) = activations(operators, [4, 5])["separate"]
    assert (one["why"], one["could_fuse"]) == ("SHARED", False)
