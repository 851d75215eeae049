import pytest
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_outputs import find_inputs, find_outputs, ranked_inputs, ranked_outputs

NET = (
    ("x", "Placeholder"),
    ("w", "VariableV2"),
    ("w/read", "Identity", "w"),
    ("MatMul", "MatMul", "x", "w/read"),
    ("Softmax", "Softmax", "MatMul"),
)
SAVER = (
    ("save/filename", "PlaceholderWithDefault", "path"),
    ("path", "Const"),
    ("save/SaveV2", "SaveV2", "save/filename", "path", "path", "w"),
    ("save/control_dependency", "Identity", "save/filename", "^save/SaveV2"),
)
TRAINING = (
    ("y", "Placeholder"),
    ("xent/Reshape", "Reshape", "MatMul", "shape"),
    ("shape", "Const"),
    ("xent", "SoftmaxCrossEntropyWithLogits", "xent/Reshape", "y"),
    ("loss", "Mean", "xent", "shape"),
    ("gradients/loss_grad/Tile", "Tile", "loss", "shape"),
    ("gradients/xent_grad/mul", "Mul", "gradients/loss_grad/Tile", "xent:1"),
    ("gradients/MatMul_grad/MatMul_1", "MatMul", "x", "gradients/xent_grad/mul"),
    ("Adam/update_w", "ApplyGradientDescent", "w", "shape", "gradients/MatMul_grad/MatMul_1"),
    ("ArgMax", "ArgMax", "Softmax", "shape"),
    ("Equal", "Equal", "ArgMax", "y"),
    ("accuracy", "Mean", "Equal", "shape"),
    ("HistogramSummary", "HistogramSummary", "shape", "Softmax"),
    ("ScalarSummary", "ScalarSummary", "shape", "loss"),
)


def outputs_of(graph):
    return [tensor.tensor for tensor in find_outputs(graph)]


def inputs_of(graph):
    return [tensor.name for tensor in find_inputs(graph, [graph_def.node_name(name) for name in outputs_of(graph)])]


def make_scalar(graph, name, dtype):
    node = graph_def.nodes_by_name(graph)[name]
    node.attr["dtype"].type = dtype
    tensors.encode_shape((), node.attr["shape"].shape)


@pytest.mark.parametrize("version", ["tf1.9.0", "tf1.15.5"])
@pytest.mark.parametrize("file", ["graph.pb", "graph.pbtxt", "model.ckpt.meta", "frozen.pb"])
@pytest.mark.parametrize(
    ("net", "expected"),
    [("pnet", ["prob", "bbox"]), ("rnet", ["prob", "bbox"]), ("onet", ["prob", "bbox", "landmarks"])],
)
def test_finds_exactly_the_outputs_of_mtcnn(corpus, version, file, net, expected):
    graph = graph_def.read(corpus / "mtcnn" / version / net / file)
    assert [tensor.name for tensor in find_outputs(graph)] == expected
    assert inputs_of(graph) == [net + "/input"]


def test_finds_the_four_outputs_of_posenet(corpus):
    graph = graph_def.read(corpus / "posenet/frozen.pb")
    heads = ("heatmap", "offset", "displacement_fwd", "displacement_bwd")
    assert sorted(outputs_of(graph)) == sorted(f"MobilenetV1/{head}_2/BiasAdd:0" for head in heads)
    (image,) = find_inputs(graph, [graph_def.node_name(name) for name in outputs_of(graph)])
    assert (image.name, image.dtype, image.shape) == ("image", "float32", (1, 385, 385, 3))


@pytest.mark.parametrize("name", ["DS_CNN_S", "CRNN_S", "Basic_LSTM_S"])
def test_finds_the_head_behind_loops(corpus, name):
    graph = graph_def.read(corpus / "kws-tf1-frozen" / (name + ".pb"))
    assert outputs_of(graph) == ["labels_softmax:0"]
    assert inputs_of(graph) == ["wav_data"]


def test_finds_the_detections_among_loose_ends(corpus):
    graph = graph_def.read(corpus / "bad-inputs/checkpoint_without_data/model.ckpt.meta")
    found = outputs_of(graph)
    assert {"detection_boxes:0", "detection_scores:0", "detection_classes:0", "num_detections:0"} <= set(found)
    assert not [name for name in found if "while" in name or "NonMaxSuppression" in name]


def test_a_savers_path_is_neither_input_nor_output(graph_of):
    graph = graph_of(*NET, *SAVER)
    make_scalar(graph, "save/filename", 7)
    assert outputs_of(graph) == ["Softmax:0"]
    assert inputs_of(graph) == ["x"]


def test_puts_aside_losses_metrics_gradients_and_summaries(graph_of):
    graph = graph_of(*NET, *TRAINING)
    assert outputs_of(graph) == ["Softmax:0"]
    assert inputs_of(graph) == ["x"]


def test_keeps_an_output_that_only_the_loss_uses(graph_of):
    graph = graph_of(
        *NET[:4],
        ("y", "Placeholder"),
        ("box", "Identity", "MatMul"),
        ("sub", "Sub", "box", "y"),
        ("loss", "Square", "sub"),
        ("gradients/loss_grad/Mul", "Mul", "sub", "loss"),
        ("train", "ApplyGradientDescent", "w", "w", "gradients/loss_grad/Mul"),
    )
    assert outputs_of(graph) == ["box:0"]


def test_puts_aside_the_loss_of_an_autoencoder(graph_of):
    graph = graph_of(
        *NET[:4],
        ("decoded", "Identity", "MatMul"),
        ("sub", "Sub", "decoded", "x"),
        ("Square", "Square", "sub"),
        ("Mean", "Mean", "Square", "Square"),
        ("gradients/Mean_grad/Fill", "Fill", "Mean", "Mean"),
    )
    assert outputs_of(graph) == ["decoded:0"]


def test_a_dropout_rate_is_no_label(graph_of):
    graph = graph_of(
        ("x", "Placeholder"),
        ("rate", "Placeholder"),
        ("w", "VariableV2"),
        ("dropped", "Mul", "x", "rate"),
        ("MatMul", "MatMul", "dropped", "w"),
        ("Softmax", "Softmax", "MatMul"),
        ("y", "Placeholder"),
        ("loss", "Sub", "Softmax", "y"),
        ("gradients/loss_grad/Neg", "Neg", "loss"),
    )
    assert outputs_of(graph) == ["Softmax:0"]
    assert set(inputs_of(graph)) == {"x", "rate"}


def test_ranks_heads_and_telling_names_first(graph_of):
    graph = graph_of(("x", "Placeholder"), ("a", "Relu", "x"), ("scores", "Relu", "x"), ("b", "Softmax", "x"))
    assert outputs_of(graph) == ["b:0", "scores:0", "a:0"]


def test_whole_tensors_come_before_scalars(graph_of):
    graph = graph_of(("training", "Placeholder"), ("x", "Placeholder"), ("y", "Select", "training", "x", "x"))
    make_scalar(graph, "training", 10)
    assert inputs_of(graph) == ["x", "training"]


def test_a_branch_is_no_output_but_its_result_is(graph_of):
    graph = graph_of(
        ("x", "Placeholder"),
        ("c/Switch", "Switch", "x", "x"),
        ("c/switch_t", "Identity", "c/Switch:1"),
        ("c/Switch_1", "Switch", "x", "x"),
        ("c/Merge", "Merge", "c/Switch_1", "c/Switch_1:1"),
    )
    assert outputs_of(graph) == ["c/Merge:0"]


def test_all_parts_of_a_split_are_outputs(graph_of):
    graph = graph_of(("x", "Placeholder"), ("axis", "Const"), ("parts", "Split", "axis", "x"))
    graph.node[2].attr["num_split"].i = 3
    assert [tensor.name for tensor in find_outputs(graph)] == ["parts", "parts:1", "parts:2"]


def test_a_graph_without_inputs_has_no_outputs_to_find(graph_of):
    assert find_outputs(graph_of(("c", "Const"), ("y", "Relu", "c"))) == ()


def test_tells_types_from_the_operation(graph_of):
    graph = graph_of(("x", "Placeholder"), ("best", "ArgMax", "x", "x"), ("sure", "Greater", "x", "x"))
    graph.node[1].attr["T"].type = 1
    graph.node[1].attr["output_type"].type = 9
    assert {tensor.name: tensor.dtype for tensor in find_outputs(graph)} == {"best": "int64", "sure": "bool"}


def test_says_why_a_tensor_is_taken_for_an_output(graph_of):
    graph = graph_of(("x", "Placeholder"), ("net/Softmax", "Softmax", "x"), ("net/other", "Relu", "x"))
    assert [(tensor.name, reason) for tensor, reason in ranked_outputs(graph)] == [
        ("net/Softmax", 'a Softmax ends the data flow, its name says "softmax"'),
        ("net/other", "the data flow ends here"),
    ]


def test_says_why_a_tensor_is_taken_for_an_input(graph_of):
    graph = graph_of(("x", "Placeholder"), ("y", "Relu", "x"))
    assert [(tensor.name, reason) for tensor, reason in ranked_inputs(graph, ["y"])] == [("x", "a placeholder to feed")]


PIPELINE = (
    ("queue", "FIFOQueueV2"),
    ("count", "Const"),
    ("batch", "QueueDequeueUpToV2", "queue", "count"),
    ("w", "VariableV2"),
    ("MatMul", "MatMul", "batch", "w"),
    ("Softmax", "Softmax", "MatMul"),
    ("Equal", "Equal", "Softmax", "batch:1"),
    ("Cast", "Cast", "Equal"),
)


def with_components(graph):
    nodes = graph_def.nodes_by_name(graph)
    for name in ("queue", "batch"):
        nodes[name].attr["component_types"].list.type.extend([1, 9])
    for shape in ((3,), ()):
        tensors.encode_shape(shape, nodes["queue"].attr["shapes"].list.shape.add())
    return graph


def test_what_a_queue_hands_over_for_measuring_is_no_way_to_an_output(graph_of):
    assert outputs_of(with_components(graph_of(*PIPELINE))) == ["Softmax:0"]


def test_what_a_queue_hands_over_is_an_input(graph_of):
    ((tensor, reason),) = ranked_inputs(with_components(graph_of(*PIPELINE)), ["Softmax"])
    assert (tensor.name, tensor.dtype, tensor.shape) == ("batch", "float32", (-1, 3))
    assert reason == "what the input pipeline hands over (QueueDequeueUpToV2), to be fed instead"


def test_each_part_that_a_queue_hands_over_is_an_input_of_its_own(graph_of):
    inputs = find_inputs(with_components(graph_of(*PIPELINE)), ["Cast"])
    assert [(tensor.name, tensor.tensor, tensor.dtype) for tensor in inputs] == [
        ("batch", "batch:0", "float32"),
        ("batch:1", "batch:1", "int64"),
    ]


def test_an_auxiliary_head_is_left_out_where_there_is_another(graph_of):
    graph = graph_of(("x", "Placeholder"), ("AuxLogits/out", "Relu", "x"), ("Logits/out", "Relu", "x"))
    assert outputs_of(graph) == ["Logits/out:0"]
    assert outputs_of(graph_of(("x", "Placeholder"), ("AuxLogits/out", "Relu", "x"))) == ["AuxLogits/out:0"]


CONDITION = (
    ("x", "Placeholder"),
    ("cond", "If", "x", "x"),
    ("cond/Identity", "Identity", "cond"),
    ("cond/Identity_1", "Identity", "cond:1"),
)


def test_results_of_a_condition_that_nobody_named_are_left_out_where_there_is_better(graph_of):
    assert outputs_of(graph_of(*CONDITION, ("mean", "Identity", "cond:2"))) == ["mean:0"]
    assert outputs_of(graph_of(*CONDITION)) == ["cond/Identity:0", "cond/Identity_1:0"]


def test_says_that_a_setting_need_not_be_fed(graph_of):
    graph = graph_of(("is_training", "Placeholder"), ("x", "Placeholder"), ("y", "Select", "is_training", "x", "x"))
    make_scalar(graph, "is_training", 10)
    assert [(tensor.name, reason) for tensor, reason in ranked_inputs(graph, ["y"])] == [
        ("x", "a placeholder to feed"),
        ("is_training", "a setting, false in inference unless it is named as an input"),
    ]
