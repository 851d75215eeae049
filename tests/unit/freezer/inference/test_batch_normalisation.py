import pytest
from modelmill_freezer.inference.batch_normalisation import use_moving_averages
from modelmill_freezer.inference.moving_averages import find_averagings
from modelmill_worker import graph_def

VARIABLES = """
mean = VariableV2() dtype=DT_FLOAT shape=[3]
mean/read = Identity(mean) T=DT_FLOAT
variance = VariableV2() dtype=DT_FLOAT shape=[3]
variance/read = Identity(variance) T=DT_FLOAT
decay = Const() dtype=DT_FLOAT value=const:0.1
"""
UPDATES = """
u1/sub = Sub(mean/read, {mean}) T=DT_FLOAT
u1/mul = Mul(u1/sub, decay) T=DT_FLOAT
u1 = AssignSub(mean, u1/mul) T=DT_FLOAT
u2/sub = Sub(variance/read, {variance}) T=DT_FLOAT
u2/mul = Mul(decay, u2/sub) T=DT_FLOAT
u2 = AssignSub(variance, u2/mul) T=DT_FLOAT
"""
FUSED = """
x = Placeholder() dtype=DT_FLOAT
g = Const() dtype=DT_FLOAT value=const:1.0
e = Const() dtype=DT_FLOAT value=const:0.0
bn = {operation}(x, g, g, e, e) T=DT_FLOAT epsilon=x {training}
y = Relu(bn) T=DT_FLOAT
"""


def used(made):
    stand_ins = []
    return use_moving_averages(made, stand_ins), stand_ins


@pytest.mark.parametrize("operation", ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"])
@pytest.mark.parametrize("training", ["is_training=true", ""])
def test_a_fused_normalisation_takes_its_averages(graph, lines, operation, training):
    made = graph(
        VARIABLES + FUSED.format(operation=operation, training=training) + UPDATES.format(mean="bn:1", variance="bn:2")
    )
    (change,), (stand_in,) = used(made)
    assert lines(made)["bn"] == f"{operation}(x, g, g, mean/read, variance/read)"
    assert not graph_def.nodes_by_name(made)["bn"].attr["is_training"].b
    assert change.nodes == ("bn",)
    assert (stand_in.tensor, stand_in.source) == ("bn:0", "x:0")
    assert (stand_in.mean, stand_in.variance) == ("mean/read:0", "variance/read:0")


def test_statistics_may_be_corrected_before_they_are_averaged(graph, lines):
    text = VARIABLES + FUSED.format(operation="FusedBatchNorm", training="")
    text += "bessel = Mul(bn:2, decay) T=DT_FLOAT\nflat = Squeeze(bn:1) T=DT_FLOAT\n"
    made = graph(text + UPDATES.format(mean="flat", variance="bessel"))
    used(made)
    assert lines(made)["bn"] == "FusedBatchNorm(x, g, g, mean/read, variance/read)"


def test_resource_variables_are_variables(graph, lines):
    text = VARIABLES + FUSED.format(operation="FusedBatchNormV3", training="is_training=true")
    text += UPDATES.format(mean="bn:1", variance="bn:2")
    text = text.replace("VariableV2", "VarHandleOp").replace("= AssignSub(", "= AssignSubVariableOp(")
    made = graph(text.replace("= Identity(", "= ReadVariableOp("))
    used(made)
    assert lines(made)["bn"] == "FusedBatchNormV3(x, g, g, mean/read, variance/read)"


def test_a_normalisation_that_averages_itself_has_its_averages(graph, lines):
    text = VARIABLES + FUSED.format(operation="FusedBatchNormV3", training="is_training=true")
    made = graph(text.replace("(x, g, g, e, e)", "(x, g, g, mean/read, variance/read)"))
    used(made)
    assert lines(made)["bn"] == "FusedBatchNormV3(x, g, g, mean/read, variance/read)"
    assert not graph_def.nodes_by_name(made)["bn"].attr["is_training"].b


def test_without_averages_a_normalisation_stays_as_it_is(graph):
    made = graph(VARIABLES + FUSED.format(operation="FusedBatchNorm", training="is_training=true"))
    assert used(made) == ([], [])
    assert graph_def.nodes_by_name(made)["bn"].attr["is_training"].b


def test_a_normalisation_for_inference_stays_as_it_is(graph):
    text = VARIABLES + FUSED.format(operation="FusedBatchNorm", training="is_training=false")
    made = graph(text + UPDATES.format(mean="bn:1", variance="bn:2"))
    before = made.SerializeToString(deterministic=True)
    assert used(made) == ([], [])
    assert made.SerializeToString(deterministic=True) == before


MOMENTS = """
x = Placeholder() dtype=DT_FLOAT
axes = Const() dtype=DT_INT32 value=const:i[0]
m/mean = Mean(x, axes) T=DT_FLOAT
m/stop = StopGradient(m/mean) T=DT_FLOAT
m/difference = SquaredDifference(x, m/stop) T=DT_FLOAT
m/variance = Mean(m/difference, axes) T=DT_FLOAT
m/Squeeze = Squeeze(m/mean) T=DT_FLOAT
m/Squeeze_1 = Squeeze(m/variance) T=DT_FLOAT
less = Sub(x, m/Squeeze) T=DT_FLOAT
y = RealDiv(less, m/Squeeze_1) T=DT_FLOAT
"""


def test_averages_stand_in_for_moments(graph, lines):
    made = graph(VARIABLES + MOMENTS + UPDATES.format(mean="m/Squeeze", variance="m/Squeeze_1"))
    (change,), stand_ins = used(made)
    found = lines(made)
    assert (found["less"], found["y"]) == ("Sub(x, mean/read)", "RealDiv(less, variance/read)")
    assert change.nodes == ("m/Squeeze", "m/Squeeze_1")
    assert [(item.tensor, item.source) for item in stand_ins] == [
        ("m/Squeeze:0", "mean/read:0"),
        ("m/Squeeze_1:0", "variance/read:0"),
    ]


def test_the_average_of_a_loss_stands_in_for_nothing(graph, lines):
    text = VARIABLES.replace("shape=[3]", "shape=[]") + MOMENTS
    made = graph(text + UPDATES.format(mean="m/Squeeze", variance="m/Squeeze_1"))
    assert used(made) == ([], [])
    assert lines(made)["less"] == "Sub(x, m/Squeeze)"


def test_the_average_of_weights_stands_in_for_nothing(graph, lines):
    text = VARIABLES + "w = VariableV2() dtype=DT_FLOAT shape=[3]\nw/read = Identity(w) T=DT_FLOAT\n"
    made = graph(text + "y = Neg(w/read) T=DT_FLOAT\n" + UPDATES.format(mean="w/read", variance="w/read"))
    assert used(made) == ([], [])
    assert lines(made)["y"] == "Neg(w/read)"


def test_an_average_that_is_corrected_for_its_start_is_read_where_it_is_corrected(graph):
    made = graph(
        VARIABLES
        + """
        biased = VariableV2() dtype=DT_FLOAT shape=[3]
        biased/read = Identity(biased) T=DT_FLOAT
        x = Placeholder() dtype=DT_FLOAT
        b/sub = Sub(biased/read, x) T=DT_FLOAT
        b/mul = Mul(b/sub, decay) T=DT_FLOAT
        b = AssignSub(biased, b/mul) T=DT_FLOAT
        b/value = Identity(biased) T=DT_FLOAT
        b/truediv = RealDiv(b/value, decay) T=DT_FLOAT
        a/sub = Sub(mean/read, b/truediv) T=DT_FLOAT
        a = AssignSub(mean, a/sub) T=DT_FLOAT
        """
    )
    (averaging,) = find_averagings(made)
    assert (averaging.tensor, averaging.variable, averaging.read) == ("x", "mean", "mean/read")
