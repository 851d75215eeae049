import contextlib

import pytest
from modelmill_freezer.inference.inference_graph import make_inference_graph
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError

TRAINING = """
w = VariableV2() dtype=DT_FLOAT shape=[3,2]
w/read = Identity(w) T=DT_FLOAT
queue = FIFOQueueV2() component_types=types:DT_FLOAT,DT_INT64 shapes=shapes:[3];[]
n = Const() dtype=DT_INT32 value=const:16
batch = QueueDequeueManyV2(queue, n) component_types=types:DT_FLOAT,DT_INT64
is_training = Placeholder() dtype=DT_BOOL shape=[]
c/pred = Identity(is_training) T=DT_BOOL
c/x = Switch(batch, c/pred) T=DT_FLOAT
c/noise = RandomUniform(c/x:1) dtype=DT_FLOAT
c/no = Identity(c/x) T=DT_FLOAT
c/Merge = Merge(c/no, c/noise) T=DT_FLOAT
checked = CheckNumerics(c/Merge) T=DT_FLOAT
logits = MatMul(checked, w/read) T=DT_FLOAT
prob = Softmax(logits) T=DT_FLOAT
xent = SparseSoftmaxCrossEntropyWithLogits(logits, batch:1) T=DT_FLOAT
loss = Mean(xent, n) T=DT_FLOAT
watched = ScalarSummary(loss, loss) T=DT_FLOAT
gradients/loss_grad/Tile = Tile(loss, n) T=DT_FLOAT
train = ApplyGradientDescent(w, n, gradients/loss_grad/Tile) T=DT_FLOAT
"""


def test_a_training_graph_becomes_one_that_infers(graph, lines):
    made = graph(TRAINING)
    inferring = make_inference_graph(made)
    assert [tensor.name for tensor in inferring.endpoints.inputs] == ["batch"]
    assert [tensor.name for tensor in inferring.endpoints.outputs] == ["prob"]
    found = lines(made)
    assert (found["batch"], found["c/Merge"], found["checked"]) == (
        "Placeholder()",
        "Identity(c/no)",
        "Identity(c/Merge)",
    )
    told = " ".join(change.what for change in inferring.changes)
    for part in (
        "is_training is false",
        "Conditions",
        "Checks",
        "Gradients",
        "Summaries",
        "optimisers",
        "cut at batch",
    ):
        assert part in told, told


def test_tells_how_the_source_is_run_to_compare_with(graph):
    reference = make_inference_graph(graph(TRAINING)).endpoints.reference
    assert [(item.tensor, item.value) for item in reference.stand_ins] == [("is_training:0", False)]
    assert (reference.batch, reference.unlike) == (16, "")


def test_what_is_named_as_an_input_stays_one(graph, lines):
    made = graph(TRAINING)
    inferring = make_inference_graph(made, inputs=["batch=4,3", "is_training"])
    assert [(tensor.name, tensor.shape) for tensor in inferring.endpoints.inputs] == [
        ("batch", (4, 3)),
        ("is_training", ()),
    ]
    assert lines(made)["c/Merge"] == "Merge(c/no, c/noise)"


def test_nothing_stands_in_for_what_lies_before_a_cut(graph):
    inferring = make_inference_graph(graph(TRAINING), inputs=["checked=16,3:float32"])
    assert [tensor.name for tensor in inferring.endpoints.inputs] == ["checked"]
    assert inferring.endpoints.reference.stand_ins == ()


def test_random_numbers_that_are_left_are_told(graph):
    inferring = make_inference_graph(graph(TRAINING), inputs=["batch"], settings={"is_training": "true"})
    assert "c/noise" in inferring.notes[0]
    assert "c/noise" in inferring.endpoints.reference.unlike


def test_an_output_of_the_branch_not_taken_is_refused(graph):
    with pytest.raises(StepError, match="taken in training only") as caught:
        make_inference_graph(graph(TRAINING), outputs=["c/noise"])
    assert (caught.value.reason, caught.value.details["name"]) == ("OUTPUT_NOT_FOUND", "c/noise")


def test_stand_ins_come_in_the_order_of_the_data(graph):
    late = """
    second = Identity(first) T=DT_FLOAT
    u2 = RandomUniform(n) dtype=DT_FLOAT
    a2 = Add(keep, u2) T=DT_FLOAT
    f2 = Floor(a2) T=DT_FLOAT
    s2 = RealDiv(first, keep) T=DT_FLOAT
    """
    made = graph(
        """
        y = Mul(s2, f2) T=DT_FLOAT
        """
        + late
        + """
        first = Mul(s1, f1) T=DT_FLOAT
        x = Placeholder() dtype=DT_FLOAT shape=[-1,3]
        n = Const() dtype=DT_INT32 value=const:i[3]
        keep = Const() dtype=DT_FLOAT value=const:0.5
        u1 = RandomUniform(n) dtype=DT_FLOAT
        a1 = Add(keep, u1) T=DT_FLOAT
        f1 = Floor(a1) T=DT_FLOAT
        s1 = RealDiv(x, keep) T=DT_FLOAT
        """
    )
    stand_ins = make_inference_graph(made, outputs=["y"]).endpoints.reference.stand_ins
    assert [item.tensor for item in stand_ins] == ["first:0", "y:0"]


@pytest.mark.parametrize(
    "name",
    [
        "posenet/frozen.pb",
        "kws-tf1-frozen/DS_CNN_S.pb",
        "kws-tf1-frozen/CRNN_S.pb",
        "kws-tf1-frozen/Basic_LSTM_S.pb",
        "mtcnn/tf1.9.0/onet/frozen.pb",
        "mtcnn/tf1.15.5/pnet/graph.pb",
        "mtcnn/tf1.15.5/rnet/graph.pbtxt",
    ],
)
def test_a_graph_that_infers_stays_as_it_is(corpus, name):
    made = graph_def.read(corpus / name)
    before = made.SerializeToString(deterministic=True)
    inferring = make_inference_graph(made)
    assert made.SerializeToString(deterministic=True) == before
    assert (inferring.changes, inferring.notes) == ((), ())
    assert inferring.endpoints.reference.is_plain()


CIRCLE = """
x = Placeholder() dtype=DT_FLOAT shape=[3]
a = Mul(b, x) T=DT_FLOAT
b = Add(a, a) T=DT_FLOAT
c = Identity(d) T=DT_FLOAT
d = Identity(c) T=DT_FLOAT
t = AssignSub(c, b) T=DT_FLOAT
p = Switch(x, d) T=DT_FLOAT
conv = Conv2D(b, c) T=DT_FLOAT
f = Floor(b) T=DT_FLOAT
y = Mul(a, f) T=DT_FLOAT
bn = FusedBatchNorm(a, a, a, c, d) T=DT_FLOAT
"""


@pytest.mark.timeout(20)
@pytest.mark.parametrize("output", ["y", "bn", "conv", "p"])
def test_a_damaged_graph_that_goes_in_circles_ends(graph, output):
    with contextlib.suppress(StepError):
        make_inference_graph(graph(CIRCLE), outputs=[output])
