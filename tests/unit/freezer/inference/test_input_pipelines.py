import pytest
from modelmill_freezer.inference.input_pipelines import cut_inputs
from modelmill_freezer.inference.input_requests import parse_request
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError

WEIGHTS = """
w = VariableV2() dtype=DT_FLOAT shape=[3,3,1,8]
w/read = Identity(w) T=DT_FLOAT
"""
QUEUE = (
    WEIGHTS
    + """
queue = FIFOQueueV2() component_types=types:DT_UINT8,DT_INT64 shapes=shapes:[28,28,1];[]
n = Const() dtype=DT_INT32 value=const:{batch}
batch = {dequeue}(queue, n) component_types=types:DT_UINT8,DT_INT64
Cast = Cast(batch) SrcT=DT_UINT8 DstT=DT_FLOAT
conv = Conv2D(Cast, w/read) T=DT_FLOAT
y = Relu(conv) T=DT_FLOAT
loss = Sub(y, batch:1) T=DT_FLOAT
"""
)


def cut(made, *requests, outputs=("y",)):
    return cut_inputs(made, list(outputs), [parse_request(text) for text in requests])


def placeholder(made, name):
    node = graph_def.nodes_by_name(made)[name]
    assert node.op == "Placeholder", node
    return tensors.data_type(node.attr["dtype"].type).name, graph_def.shape_of_placeholder(node, 27)


@pytest.mark.parametrize(
    ("dequeue", "batch", "shape"),
    [
        ("QueueDequeueManyV2", 32, (-1, 28, 28, 1)),
        ("QueueDequeueMany", 1, (1, 28, 28, 1)),
        ("QueueDequeueUpToV2", 32, (-1, 28, 28, 1)),
    ],
)
def test_a_queue_gives_way_to_a_placeholder(graph, lines, dequeue, batch, shape):
    made = graph(QUEUE.format(dequeue=dequeue, batch=batch))
    cuts = cut(made)
    assert placeholder(made, "batch") == ("uint8", shape)
    assert lines(made)["Cast"] == "Cast(batch)"
    assert cuts.names == {"batch": "batch"}
    assert cuts.batch == (32 if dequeue == "QueueDequeueManyV2" else 0)
    assert "uint8" in cuts.changes[-1].what


def test_single_examples_of_a_queue_have_no_batch(graph):
    made = graph(QUEUE.format(dequeue="QueueDequeueV2", batch=1))
    cut(made)
    assert placeholder(made, "batch") == ("uint8", (28, 28, 1))


def test_a_queue_of_batches_hands_over_batches(graph):
    text = QUEUE.format(dequeue="QueueDequeueV2", batch=1).replace("[28,28,1];[]", "[8,28,28,1];[8]")
    made = graph(text)
    assert cut(made).batch == 8
    assert placeholder(made, "batch") == ("uint8", (-1, 28, 28, 1))


def test_a_further_output_gets_a_placeholder_of_its_own(graph, lines):
    text = QUEUE.format(dequeue="QueueDequeueManyV2", batch=8).replace("Cast(batch)", "Cast(batch:1)")
    made = graph(text.replace("Conv2D(Cast, w/read)", "Neg(Cast)"))
    cuts = cut(made)
    assert placeholder(made, "batch_1") == ("int64", (-1,))
    assert lines(made)["Cast"] == "Cast(batch_1)"
    assert cuts.names == {"batch_1": "batch:1"}


def test_both_outputs_that_are_needed_are_fed(graph):
    made = graph(QUEUE.format(dequeue="QueueDequeueManyV2", batch=8))
    assert cut(made, outputs=("loss",)).names == {"batch": "batch", "batch_1": "batch:1"}
    assert placeholder(made, "batch") == ("uint8", (-1, 28, 28, 1))
    assert placeholder(made, "batch_1") == ("int64", (-1,))


def test_an_iterator_gives_way_to_a_placeholder(graph):
    made = graph(
        """
        it = IteratorV2()
        next = IteratorGetNext(it) output_types=types:DT_FLOAT output_shapes=shapes:[-1,5]
        y = Relu(next) T=DT_FLOAT
        """
    )
    cut(made)
    assert placeholder(made, "next") == ("float32", (-1, 5))


FILES = (
    WEIGHTS
    + """
name = Const() dtype=DT_FLOAT value=const:1.0
file = ReadFile(name)
image = DecodeJpeg(file)
axis = Const() dtype=DT_INT32 value=const:0
float = Cast(image) SrcT=DT_UINT8 DstT=DT_FLOAT
batched = ExpandDims(float, axis) T=DT_FLOAT
conv = Conv2D(batched, w/read) T=DT_FLOAT
y = Relu(conv) T=DT_FLOAT
"""
)


def test_a_decoded_file_is_cut_where_it_is_a_batch(graph):
    made = graph(FILES)
    cuts = cut(made)
    assert cuts.names == {"batched": "batched"}
    assert placeholder(made, "batched") == ("float32", (-1, -1, -1, 1))


def test_a_decoded_file_is_an_image_where_asked(graph):
    made = graph(FILES)
    cut(made, "image")
    assert placeholder(made, "image") == ("uint8", (-1, -1, 3))


def test_is_cut_behind_random_changes(graph):
    text = QUEUE.format(dequeue="QueueDequeueManyV2", batch=8).replace("Conv2D(Cast,", "Conv2D(noisy,")
    made = graph(text + "noise = RandomUniform(n) dtype=DT_FLOAT\nnoisy = Add(Cast, noise) T=DT_FLOAT\n")
    assert cut(made).names == {"noisy": "noisy"}
    assert placeholder(made, "noisy") == ("float32", (-1, -1, -1, 1))


def test_what_placeholders_feed_is_left_alone(graph):
    made = graph(
        """
        example = Placeholder() dtype=DT_STRING
        image = DecodeJpeg(example)
        y = Cast(image) SrcT=DT_UINT8 DstT=DT_FLOAT
        """
    )
    before = made.SerializeToString(deterministic=True)
    cuts = cut(made)
    assert (cuts.names, cuts.changes) == ({}, [])
    assert made.SerializeToString(deterministic=True) == before


def test_cuts_at_any_tensor_with_the_shape_and_type_asked_for(graph, lines):
    made = graph(QUEUE.format(dequeue="QueueDequeueManyV2", batch=8))
    cut(made, "Cast:0=1,28,28,1:float32")
    assert placeholder(made, "Cast") == ("float32", (1, 28, 28, 1))
    assert lines(made)["conv"] == "Conv2D(Cast, w/read)"


def test_weights_tell_the_channels_of_a_tensor(graph):
    made = graph(QUEUE.format(dequeue="QueueDequeueManyV2", batch=8))
    cut(made, "Cast")
    assert placeholder(made, "Cast") == ("float32", (-1, -1, -1, 1))


def test_a_placeholder_takes_the_shape_asked_for(graph):
    made = graph("x = Placeholder() dtype=DT_FLOAT shape=[-1,3]\ny = Relu(x) T=DT_FLOAT")
    cuts = cut(made, "x=4,3")
    assert placeholder(made, "x") == ("float32", (4, 3))
    assert (cuts.names, cuts.changes) == ({}, [])


@pytest.mark.parametrize(
    ("request_text", "reason"),
    [
        ("x=4,4", "INPUT_SHAPE_MISMATCH"),
        ("x=4,3:int32", "INPUT_TYPE_MISMATCH"),
        ("z", "INPUT_NOT_FOUND"),
        ("aside", "INPUT_NOT_FOUND"),
    ],
)
def test_refuses_what_does_not_fit(graph, request_text, reason):
    made = graph("x = Placeholder() dtype=DT_FLOAT shape=[-1,3]\naside = Neg(x) T=DT_FLOAT\ny = Relu(x) T=DT_FLOAT")
    with pytest.raises(StepError) as caught:
        cut(made, request_text)
    assert caught.value.reason == reason


def test_a_tensor_of_unknown_type_must_be_told(graph):
    made = graph("m = Mystery()\ny = Relu(m) T=DT_FLOAT")
    with pytest.raises(StepError, match="--input m=1,224,224,3:float32") as caught:
        cut(made, "m")
    assert caught.value.reason == "INPUT_TYPE_UNKNOWN"
    cut(made, "m=:float32")
    assert placeholder(made, "m") == ("float32", ())


def test_a_pipeline_that_no_named_input_cuts_off_is_missing(graph):
    made = graph(
        "x = Placeholder() dtype=DT_FLOAT\n"
        + QUEUE.format(dequeue="QueueDequeueManyV2", batch=8)
        + "both = Add(x, y) T=DT_FLOAT"
    )
    with pytest.raises(StepError) as caught:
        cut(made, "x", outputs=("both",))
    assert (caught.value.reason, caught.value.details["missing"]) == ("INPUTS_MISSING", ["batch"])


RESHAPED = (
    QUEUE.format(dequeue="QueueDequeueManyV2", batch=32)
    + """
size = Const() dtype=DT_INT32 value=const:i[32,6272]
flat = Reshape(y, size) T=DT_FLOAT Tshape=DT_INT32
"""
)


def test_reshapes_to_the_batch_find_it_out(graph):
    made = graph(RESHAPED)
    cuts = cut(made, outputs=("flat",))
    nodes = graph_def.nodes_by_name(made)
    assert graph_def.constant_value(nodes[nodes["flat"].input[1]]).tolist() == [-1, 6272]
    assert graph_def.constant_value(nodes["size"]).tolist() == [32, 6272]
    assert (cuts.batch, cuts.changes[0].nodes) == (32, ("flat",))


def test_a_constant_of_the_batch_keeps_it_fixed(graph):
    made = graph(RESHAPED + "state = Fill(size, n)\nz = Concat(flat, state)\n")
    cuts = cut(made, outputs=("z",))
    assert placeholder(made, "batch") == ("uint8", (32, 28, 28, 1))
    assert (cuts.batch, cuts.changes[0].nodes) == (0, ("size",))


@pytest.mark.parametrize(
    "made_of",
    [
        "rows = Const() dtype=DT_INT32 value=const:i[32]\nunits = Const() dtype=DT_INT32 value=const:i[4]\n"
        "axis = Const() dtype=DT_INT32 value=const:0\nboth = ConcatV2(rows, units, axis) T=DT_INT32\n"
        "state = Fill(both, n)\n",
        "zero = Const() dtype=DT_INT32 value=const:0\none = Const() dtype=DT_INT32 value=const:1\n"
        "count = Const() dtype=DT_INT32 value=const:32\nstate = Range(zero, count, one)\n",
        "steps = Const() dtype=DT_INT32 value=const:i[160,8]\nstate = Reshape(flat, steps) T=DT_FLOAT\n",
    ],
    ids=["first state", "numbers of rows", "rows of steps"],
)
def test_what_is_made_as_large_as_the_batch_keeps_it_fixed(graph, made_of):
    made = graph(RESHAPED + made_of + "z = Concat(flat, state)\n")
    cuts = cut(made, outputs=("z",))
    assert placeholder(made, "batch") == ("uint8", (32, 28, 28, 1))
    assert (cuts.batch, cuts.changes[0].nodes) == (0, ("state",))


def test_another_batch_than_the_fixed_one_is_refused(graph):
    made = graph(RESHAPED + "state = Fill(size, n)\nz = Concat(flat, state)\n")
    with pytest.raises(StepError, match="batch of 32") as caught:
        cut(made, "batch=1,28,28,1", outputs=("z",))
    assert caught.value.reason == "INPUT_SHAPE_MISMATCH"


FLATTENED = (
    QUEUE.format(dequeue="QueueDequeueManyV2", batch=32)
    + """
f/Shape = Const() dtype=DT_INT32 value=const:i[32,26,26,8]
f/begin = Const() dtype=DT_INT32 value=const:i[0]
f/end = Const() dtype=DT_INT32 value=const:i[1]
f/first = StridedSlice(f/Shape, f/begin, f/end, f/end) T=DT_INT32
f/rest = Const() dtype=DT_INT32 value=const:-1
f/to = Pack(f/first, f/rest) T=DT_INT32
flat = Reshape(y, f/to) T=DT_FLOAT Tshape=DT_INT32
"""
)


@pytest.mark.parametrize("asked", [(), ("Cast",), ("Cast=1,28,28,1:float32",)])
def test_a_batch_that_flattening_fixed_is_opened_wherever_the_cut_is(graph, asked):
    made = graph(FLATTENED)
    cuts = cut(made, *asked, outputs=("flat",))
    nodes = graph_def.nodes_by_name(made)
    assert graph_def.constant_value(nodes[nodes["flat"].input[1]]).tolist() == [-1, 26 * 26 * 8]
    assert cuts.batch == 32
    assert "Placeholder" not in cuts.changes[-1].what
