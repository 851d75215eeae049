import json
import shutil
import tracemalloc
import zipfile
from collections import Counter

import pytest
from modelmill_inspector.tflite import _arena, _operators, draw_tflite
from modelmill_inspector.tflite._arena import Block, plan

KWS, KWS_FLOAT = "kws-dscnn/kws_ref_model.tflite", "kws-dscnn/kws_ref_model_float32.tflite"
RESNET, RESNET_INT8 = "resnet8/pretrainedResnet.tflite", "resnet8/pretrainedResnet_quant.tflite"
MOBILENET = "edgetpu-pairs/2019/mobilenet_v1_0.25_128_quant.tflite"
POSENET = "edgetpu-pairs/2019/posenet_mobilenet_v1_075_353_481_quant_decoder.tflite"


def test_describes_a_vendor_model(inspect, corpus):
    found = inspect(corpus / KWS)
    facts = found.facts
    assert found.kind == "tflite"
    assert facts["inputs"] == [{"name": "input_1", "tensor": "input_1", "dtype": "int8", "shape": [-1, 49, 10, 1]}]
    assert [one["name"] for one in facts["outputs"]] == ["Identity"]
    assert facts["operations"] == {
        "AVERAGE_POOL_2D": 1,
        "CONV_2D": 5,
        "DEPTHWISE_CONV_2D": 4,
        "FULLY_CONNECTED": 1,
        "RESHAPE": 1,
        "SOFTMAX": 1,
    }
    assert {"op": "CONV_2D", "version": 3, "custom": False, "count": 5} in facts["operator_versions"]
    assert (facts["nodes"], facts["operators_count"], facts["tensors_count"]) == (13, 13, len(facts["tensors"]))
    assert facts["subgraphs"][0]["operators"] == 13
    assert json.loads(json.dumps(facts)) == facts


def test_names_fused_activations_and_the_tensors_of_an_operator(inspect, corpus):
    facts = inspect(corpus / RESNET).facts
    first = facts["operators"][0]
    assert (first["op"], first["version"], first["activation"]) == ("CONV_2D", 1, "RELU")
    assert [facts["tensors"][index]["shape"] for index in first["inputs"]] == [[-1, 32, 32, 3], [16, 3, 3, 3], [16]]
    assert Counter(one.get("activation") for one in facts["operators"] if one["op"] == "ADD") == {"RELU": 3}


def test_tells_scales_by_channel_and_for_a_whole_tensor(inspect, corpus):
    facts = inspect(corpus / RESNET_INT8).facts
    tensors = {one["index"]: one for one in facts["tensors"]}
    image, filters, _ = (tensors[index] for index in facts["operators"][0]["inputs"])
    assert image["quantisation"]["scale"] == 1.0
    assert image["quantisation"]["zero_point"] == -128
    assert filters["quantisation"]["channels"] == 16
    assert filters["quantisation"]["dimension"] == 0
    smallest, largest = filters["quantisation"]["scales"]
    assert 0 < smallest < largest
    assert filters["quantisation"]["zero_points"] == [0, 0]


@pytest.mark.parametrize(
    ("path", "scheme", "ends"),
    [
        (RESNET, "float32", ("float32", "float32")),
        (RESNET_INT8, "int8", ("int8", "int8")),
        (KWS_FLOAT, "dynamic_range", ("float32", "float32")),
        (MOBILENET, "uint8", ("uint8", "uint8")),
        ("edgetpu-pairs/v16/dense_256.tflite", "int8", ("uint8", "uint8")),
    ],
)
def test_tells_how_a_model_is_quantised(inspect, corpus, path, scheme, ends):
    found = inspect(corpus / path).facts["quantisation"]
    assert (found["scheme"], found["inputs"][0], found["outputs"][0]) == (scheme, *ends)
    assert found["float_tensors_count"] == 0


def test_weights_of_one_kind_or_another_make_the_scheme(inspect, make_tflite, tables):
    image, result = tables["tensor"]("image", [1, 4]), tables["tensor"]("result", [1, 2])

    def made(kind, scales, *more):
        weights = tables["tensor"]("weights", [2, 4], kind, 1, **({"scales": scales} if scales else {}))
        restored = tables["tensor"]("restored", [2, 4])
        tensors = [image, weights, result, restored]
        if more:
            operators = [tables["operator"](1, [1], [3]), tables["operator"](0, [0, 3], [2], {})]
        else:
            operators = [tables["operator"](0, [0, 1], [2], {})]
        codes = [tables["builtin"](9), tables["builtin"](6)]
        graph = tables["subgraph"](tensors, [0], [2], operators)
        return inspect(make_tflite(tables["model"](codes, [graph], [b"", b"12345678"]))).facts["quantisation"]["scheme"]

    assert made(0, None) == "float32"
    assert made(9, [0.5]) == "dynamic_range"
    assert made(9, [0.5], "restored") == "weight_only"
    assert made(1, None, "restored") == "float16"


def test_finds_the_floats_that_are_left_in_a_quantised_model(inspect, make_tflite, tables):
    def quantised(name):
        return tables["tensor"](name, [1, 4], 9, scales=[0.5])

    tensors = [quantised("a"), quantised("b"), tables["tensor"]("f", [1, 4]), tables["tensor"]("g", [1, 4])]
    tensors.append(quantised("c"))
    codes = [tables["builtin"](code) for code in (25, 6, 47, 114)]  # SOFTMAX, DEQUANTIZE, EXP, QUANTIZE
    calls = [(0, [0], [1]), (1, [1], [2]), (2, [2], [3]), (3, [3], [4])]
    graph = tables["subgraph"](tensors, [0], [4], [tables["operator"](*call) for call in calls])

    found = inspect(make_tflite(tables["model"](codes, [graph]))).facts["quantisation"]

    assert (found["scheme"], found["integer_operators"], found["float_operators"]) == ("int8", 1, 1)
    assert [(one["name"], one["from"], one["to"]) for one in found["float_tensors"]] == [
        ("f", "DEQUANTIZE", ["EXP"]),
        ("g", "EXP", ["QUANTIZE"]),
    ]


def test_tells_the_runtime_that_a_model_needs(inspect, corpus):
    found = inspect(corpus / KWS).facts["runtime_version"]
    assert found["needed"] == "1.14.0"
    assert {"op": "CONV_2D", "version": 3} in found["because"]
    # The converter of its day noted the version before it quantised.
    assert (found["recorded"], found["agrees"]) == ("1.5.0", False)
    assert inspect(corpus / "edgetpu-pairs/v16/dense_256.tflite").facts["runtime_version"]["agrees"]


def test_says_which_operators_are_newer_than_the_table(inspect, make_tflite, tables):
    tensors = [tables["tensor"]("a", [1]), tables["tensor"]("b", [1]), tables["tensor"]("c", [1])]
    codes = [tables["builtin"](3, 99), tables["builtin"](4000), tables["builtin"](0)]
    operators = [tables["operator"](index, [0], [1]) for index in range(3)]
    facts = inspect(make_tflite(tables["model"](codes, [tables["subgraph"](tensors, [0], [1], operators)]))).facts
    assert facts["runtime_version"]["needed"] == "1.5.0"
    assert facts["runtime_version"]["unknown"] == [
        {"op": "BUILTIN_4000", "version": 1},
        {"op": "CONV_2D", "version": 99},
    ]
    assert facts["operations"] == {"ADD": 1, "BUILTIN_4000": 1, "CONV_2D": 1}


def test_the_table_knows_every_built_in_operator():
    assert [_operators.builtin_name(code) for code in (0, 3, 32, 127, 209)] == [
        "ADD",
        "CONV_2D",
        "CUSTOM",
        "PLACEHOLDER_FOR_GREATER_OP_CODES",
        "STABLEHLO_CASE",
    ]
    assert set(_operators.FUSED_ACTIVATION) <= {_operators.builtin_name(code) for code in range(210)}
    assert _operators.first_runtime("BROADCAST_TO", 1) == ""  # a version that was taken back
    assert _operators.first_runtime("BROADCAST_TO", 2) == "2.5.0"
    assert _operators.first_runtime("BROADCAST_TO", 4) is None


def test_counts_multiply_adds(inspect, corpus):
    """By hand, of ResNet-8 (CIFAR-10): sums of output elements times elements of one filter."""
    convolutions = 32 * 32 * 16 * 27 + 2 * 32 * 32 * 16 * 144
    convolutions += 16 * 16 * 32 * 144 + 16 * 16 * 32 * 288 + 16 * 16 * 32 * 16
    convolutions += 8 * 8 * 64 * 288 + 8 * 8 * 64 * 576 + 8 * 8 * 64 * 32
    costs = inspect(corpus / RESNET).facts["costs"]
    assert costs["multiply_adds"] == convolutions + 64 * 10 == 12501632
    assert costs["input_shapes"] == {"input_1": [1, 32, 32, 3]}
    assert costs["nodes"][0]["multiply_adds"] == 32 * 32 * 16 * 144
    assert costs["uncounted"] == {}
    assert inspect(corpus / RESNET_INT8).facts["costs"]["multiply_adds"] == costs["multiply_adds"]


def test_counts_multiply_adds_of_the_rarer_operators(inspect, make_tflite, tables):
    shapes = {"x": [2, 3, 4], "y": [2, 4, 5], "xy": [2, 3, 5], "size": [4], "filter": [6, 3, 3, 2]}
    shapes.update({"small": [1, 4, 4, 2], "large": [1, 8, 8, 6]})
    numbers = {name: index for index, name in enumerate(shapes)}
    tensors = [tables["tensor"](name, shape) for name, shape in shapes.items()]
    codes = [tables["builtin"](126), tables["builtin"](67), tables["builtin"](24)]
    operators = [
        tables["operator"](0, [numbers["x"], numbers["y"]], [numbers["xy"]], {}),
        tables["operator"](1, [numbers["size"], numbers["filter"], numbers["small"]], [numbers["large"]], {}),
        tables["operator"](2, [numbers["x"]], [numbers["y"]], {}),
    ]
    graph = tables["subgraph"](tensors, [0], [2], operators)
    costs = inspect(make_tflite(tables["model"](codes, [graph]))).facts["costs"]
    counted = {node["op"]: node["multiply_adds"] for node in costs["nodes"]}
    assert counted["BATCH_MATMUL"] == 2 * 3 * 5 * 4
    assert counted["TRANSPOSE_CONV"] == 4 * 4 * 2 * 6 * 3 * 3
    assert costs["uncounted"] == {"RNN": 1}


def test_plans_an_arena_in_which_tensors_share_bytes():
    # The second needs bytes while the first does; the third comes when the first is gone, and takes its place.
    assert plan([Block(100, 0, 1), Block(100, 1, 2), Block(100, 2, 3)]) == 128 + 100
    assert plan([Block(64, 0, 3), Block(200, 1, 2), Block(10, 2, 3)]) == 64 + 256 + 10
    assert plan([]) == 0


def test_a_huge_graph_is_not_planned():
    blocks = [Block(1, index, index) for index in range(1, 5002)]
    assert plan(blocks) == 5001 * _arena.ALIGNMENT


def test_lists_custom_and_flex_operators(inspect, corpus, make_tflite, tables):
    assert inspect(corpus / POSENET).facts["custom_operators"] == {"PosenetDecoderOp": 1}
    tensors = [tables["tensor"]("a", [1]), tables["tensor"]("b", [1])]
    codes = [tables["custom"]("FlexErf"), tables["custom"]("Mine")]
    operators = [tables["operator"](0, [0], [1]), tables["operator"](1, [0], [1]), tables["operator"](0, [0], [1])]
    facts = inspect(make_tflite(tables["model"](codes, [tables["subgraph"](tensors, [0], [1], operators)]))).facts
    assert (facts["flex_operators"], facts["custom_operators"]) == ({"FlexErf": 2}, {"Mine": 1})
    assert facts["operators"][1]["custom"] is True


def test_tells_loops_and_the_subgraphs_that_they_run(inspect, make_tflite, tables):
    tensors = [tables["tensor"]("a", [1]), tables["tensor"]("b", [1])]
    codes = [tables["builtin"](119), tables["builtin"](0)]  # WHILE, ADD
    main = tables["subgraph"](tensors, [0], [1], [tables["operator"](0, [0], [1], {0: ("i", 1), 1: ("i", 2)})])
    part = tables["subgraph"](tensors, [0], [1], [tables["operator"](1, [0, 0], [1], {0: ("b", 3)})], "body")
    facts = inspect(make_tflite(tables["model"](codes, [main, part, part]))).facts
    assert facts["control_flow"] == {"v1": 0, "v2": 1, "loops": 1, "conditions": 0}
    assert facts["operators"][0]["subgraphs"] == [1, 2]
    assert facts["operators"][1]["activation"] == "RELU6"
    assert [graph["name"] for graph in facts["subgraphs"]] == ["main", "body", "body"]


def test_takes_names_from_the_signature(inspect, make_tflite, tables):
    tensors = [tables["tensor"]("serving_default_x:0", [1, 2], signature=[-1, 2]), tables["tensor"]("y:0", [1, 2])]
    signature = {0: [{0: "x", 1: ("I", 0)}], 1: [{0: "result", 1: ("I", 1)}], 2: "serving_default", 4: ("I", 0)}
    graph = tables["subgraph"](tensors, [0], [1], [tables["operator"](0, [0], [1])])
    facts = inspect(make_tflite(tables["model"]([tables["builtin"](21)], [graph], signatures=[signature]))).facts
    assert facts["inputs"] == [{"name": "x", "tensor": "serving_default_x:0", "dtype": "float32", "shape": [-1, 2]}]
    assert facts["outputs"][0]["name"] == "result"
    assert [one["key"] for one in facts["signatures"]] == ["serving_default"]


def test_tells_what_the_converter_noted(inspect, corpus):
    found = inspect(corpus / "edgetpu-pairs/v16/dense_256.tflite").facts["metadata"]
    assert found["conversion"] == {
        "tensorflow": "2.20.0",
        "source": "KERAS_MODEL",
        "optimisations": ["PTQ_FULL_INTEGER"],
        "custom_ops": False,
        "select_ops": False,
    }
    assert [entry["name"] for entry in found["entries"]] == ["min_runtime_version", "CONVERSION_METADATA"]


def test_tells_what_people_wrote_and_the_files_behind_a_model(inspect, make_tflite, tables, write_tables, tmp_path):
    written = write_tables({0: "a net", 1: "tells digits", 4: "us", 3: [{2: [{0: "image", 1: "28x28"}]}]}, b"M001")
    tensors = [tables["tensor"]("a", [1]), tables["tensor"]("b", [1])]
    graph = tables["subgraph"](tensors, [0], [1], [tables["operator"](0, [0], [1])])
    buffers = [b"", written, b"left over"]
    made = tables["model"]([tables["builtin"](21)], [graph], buffers, metadata=[("TFLITE_METADATA", 1)])
    path = make_tflite(made)
    with zipfile.ZipFile(str(tmp_path / "labels.zip"), "w") as archive:
        archive.writestr("labels.txt", "one\ntwo\n")
    with path.open("ab") as file:
        file.write((tmp_path / "labels.zip").read_bytes())

    facts = inspect(path).facts

    assert facts["metadata"]["model"] == {
        "name": "a net",
        "description": "tells digits",
        "author": "us",
        "inputs": [{"name": "image", "description": "28x28"}],
        "outputs": [],
    }
    assert (facts["metadata"]["files"], facts["metadata"]["files_count"]) == (["labels.txt"], 1)
    assert facts["unused_buffers"] == {"count": 1, "bytes": 9}


def test_counts_constants_by_type(inspect, corpus):
    """Filters: one of 10x4, four of 3x3 by channel, four of 64x64, and 64x12; biases, and the shape of a RESHAPE."""
    facts = inspect(corpus / KWS).facts
    assert facts["parameters_by_dtype"] == {"int32": 590, "int8": 22016}
    assert facts["parameters"] == 22016 + 590
    assert facts["parameter_bytes"] == 22016 + 4 * 590


def test_a_model_that_crashes_the_interpreter_is_described(inspect, corpus):
    for name in ("person_detect", "keyword_scrambled", "keyword_scrambled_8bit"):
        facts = inspect(corpus / "bad-inputs/native-crash" / (name + ".tflite")).facts
        assert facts["nodes"] > 10
        assert facts["arena_bytes"] > 0
    facts = inspect(corpus / "bad-inputs/model_invoking_error.tflite").facts
    assert [end["name"] for end in facts["inputs"] + facts["outputs"]] == ["tensor_0", "tensor_1"]


def test_gives_nodes_to_draw(corpus, make_tflite, tables):
    nodes = draw_tflite(corpus / RESNET, "resnet")
    assert len(nodes) == 1 + 16
    assert nodes[0] == {"name": "input_1", "op": "input", "inputs": [], "shape": [-1, 32, 32, 3], "dtype": "float32"}
    names = [node["name"] for node in nodes]
    assert len(set(names)) == len(names)
    assert all(name in names[:place] for place, node in enumerate(nodes) for name in node["inputs"])
    assert [len(node["inputs"]) for node in nodes if node["op"] == "ADD"] == [2, 2, 2]

    tensors = [tables["tensor"]("", [1]), tables["tensor"]("a", [1]), tables["tensor"]("a", [1])]
    codes = [tables["builtin"](119), tables["builtin"](0)]  # WHILE, ADD
    call = tables["operator"](0, [0, -1], [1], {0: ("i", 1), 1: ("i", 1)})
    main = tables["subgraph"](tensors, [0], [2], [call, tables["operator"](1, [1, 0], [2])])
    part = tables["subgraph"](tensors, [0], [1], [tables["operator"](1, [0, 0], [1])])
    nodes = draw_tflite(make_tflite(tables["model"](codes, [main, part])), "made")
    assert [(node["name"], node["inputs"], node.get("within"), node.get("calls")) for node in nodes] == [
        ("#0", [], None, None),
        ("a", ["#0"], None, ["subgraph 1", "subgraph 1"]),
        ("a #2", ["a", "#0"], None, None),
        ("#0", [], "subgraph 1", None),
        ("a", ["#0", "#0"], "subgraph 1", None),
    ]


def test_weights_are_not_copied(inspect, tmp_path, make_tflite, tables):
    tensors = [
        tables["tensor"]("a", [1, 64]),
        tables["tensor"]("w", [250000, 64], 0, 1),
        tables["tensor"]("b", [1, 64]),
    ]
    graph = tables["subgraph"](tensors, [0], [2], [tables["operator"](0, [0, 1], [2], {})])
    path = make_tflite(tables["model"]([tables["builtin"](9)], [graph], [b"", bytes(64000000)]))
    tracemalloc.start()
    facts = inspect(path).facts
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert facts["parameter_bytes"] == 64000000
    assert most < 1000000


def test_finds_the_model_whatever_the_name(inspect, corpus, tmp_path):
    shutil.copyfile(str(corpus / KWS), str(tmp_path / "graph.pb"))
    assert inspect(tmp_path / "graph.pb").kind == "tflite"
