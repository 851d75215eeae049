import pytest
from modelmill_freezer.inference.dropout import remove_dropout

NOISE = """
x = Placeholder() dtype=DT_FLOAT shape=[-1,3]
shape = Shape(x) T=DT_FLOAT
u/Random = RandomUniform(shape) T=DT_INT32 dtype=DT_FLOAT
u/min = Const() dtype=DT_FLOAT value=const:0.0
u/max = Const() dtype=DT_FLOAT value=const:1.0
u/sub = Sub(u/max, u/min) T=DT_FLOAT
u/mul = Mul(u/Random, u/sub) T=DT_FLOAT
u = Add(u/mul, u/min) T=DT_FLOAT
"""
CONSTANT = "keep = Const() dtype=DT_FLOAT value=const:0.5\n"
FED = "keep = Placeholder() dtype=DT_FLOAT\n"
FLOORED = """
sum = Add(keep, u) T=DT_FLOAT
floor = Floor(sum) T=DT_FLOAT
scaled = {divide}(x, keep) T=DT_FLOAT
y = Mul({operands}) T=DT_FLOAT
"""
COMPARED = """
one = Const() dtype=DT_FLOAT value=const:1.0
rest = Sub(one, keep) T=DT_FLOAT
scale = RealDiv(one, rest) T=DT_FLOAT
mask = GreaterEqual(u, keep) T=DT_FLOAT
scaled = Mul({operands}) T=DT_FLOAT
kept = Cast(mask) SrcT=DT_BOOL DstT=DT_FLOAT
"""


def removed(made):
    stand_ins = []
    changes = remove_dropout(made, stand_ins)
    return changes, [(item.tensor, item.source) for item in stand_ins]


@pytest.mark.parametrize("keep", [CONSTANT, FED])
@pytest.mark.parametrize("divide", ["RealDiv", "Div"])
@pytest.mark.parametrize("operands", ["scaled, floor", "floor, scaled"])
def test_passes_the_input_of_a_floored_dropout_on(graph, lines, keep, divide, operands):
    made = graph(NOISE + keep + FLOORED.format(divide=divide, operands=operands))
    changes, stand_ins = removed(made)
    assert lines(made)["y"] == "Identity(x)"
    assert changes[0].nodes == ("y",)
    assert stand_ins == [("y:0", "x:0")]


@pytest.mark.parametrize("keep", [CONSTANT, FED])
@pytest.mark.parametrize("operands", ["x, scale", "scale, x"])
@pytest.mark.parametrize(
    "end",
    [
        "y = Mul(scaled, kept) T=DT_FLOAT",
        "zeros = Const() dtype=DT_FLOAT value=const:0.0\ny = SelectV2(mask, scaled, zeros) T=DT_FLOAT",
    ],
)
def test_passes_the_input_of_a_compared_dropout_on(graph, lines, keep, operands, end):
    made = graph(NOISE + keep + COMPARED.format(operands=operands) + end)
    removed(made)
    assert lines(made)["y"] == "Identity(x)"
    assert sorted(made.node[-1].attr) == ["T"]


def test_stateless_noise_is_noise(graph, lines):
    text = (NOISE + CONSTANT + COMPARED).format(operands="x, scale") + "y = Mul(scaled, kept) T=DT_FLOAT"
    made = graph(text.replace("= RandomUniform(shape)", "= StatelessRandomUniformV2(shape, shape, shape)"))
    removed(made)
    assert lines(made)["y"] == "Identity(x)"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scaled = RealDiv(x, keep)", "scaled = RealDiv(x, shape)"),
        ("scaled = RealDiv(x, keep)", "scaled = Relu(x)"),
        ("floor = Floor(sum)", "floor = Floor(x)"),
        ("sum = Add(keep, u)", "sum = Add(keep, x)"),
        ("u/Random = RandomUniform(shape)", "u/Random = RandomStandardNormal(shape)"),
        ("u/mul = Mul(u/Random, u/sub)", "u/mul = Mul(u/Random, x)"),
    ],
)
def test_leaves_alone_what_is_no_dropout(graph, old, new):
    text = NOISE + CONSTANT + FLOORED.format(divide="RealDiv", operands="scaled, floor")
    assert old in text
    made = graph(text.replace(old, new))
    before = made.SerializeToString(deterministic=True)
    assert removed(made) == ([], [])
    assert made.SerializeToString(deterministic=True) == before


def test_a_mask_of_data_is_no_dropout(graph):
    made = graph(
        """
        x = Placeholder() dtype=DT_FLOAT shape=[-1,3]
        half = Const() dtype=DT_FLOAT value=const:0.5
        mask = GreaterEqual(x, half) T=DT_FLOAT
        kept = Cast(mask) SrcT=DT_BOOL DstT=DT_FLOAT
        scaled = Mul(x, half) T=DT_FLOAT
        y = Mul(scaled, kept) T=DT_FLOAT
        """
    )
    assert removed(made) == ([], [])


STAYS = {
    "a learnt scale": "gamma = VariableV2() dtype=DT_FLOAT shape=[3]\nread = Identity(gamma) T=DT_FLOAT\n"
    "scaled = Mul(x, read) T=DT_FLOAT\ny = Mul(scaled, kept) T=DT_FLOAT",
    "a scale for each channel": "whole = Const() dtype=DT_INT32 value=const:i[1,2,3]\n"
    "gamma = Cast(whole) SrcT=DT_INT32 DstT=DT_FLOAT\n"
    "scaled = Mul(x, gamma) T=DT_FLOAT\ny = Mul(scaled, kept) T=DT_FLOAT",
    "a scale of another kind": "eight = Const() dtype=DT_FLOAT value=const:8.0\n"
    "scaled = RealDiv(x, eight) T=DT_FLOAT\ny = Mul(scaled, kept) T=DT_FLOAT",
    "a choice": "scaled = Mul(x, scale) T=DT_FLOAT\nother = Relu(x) T=DT_FLOAT\n"
    "y = SelectV2(mask, scaled, other) T=DT_FLOAT",
    "a sample": "share = Sigmoid(x) T=DT_FLOAT\nless = Less(u, share) T=DT_FLOAT\n"
    "drawn = Cast(less) SrcT=DT_BOOL DstT=DT_FLOAT\nscaled = Mul(x, scale) T=DT_FLOAT\n"
    "y = Mul(scaled, drawn) T=DT_FLOAT",
    "a floor of data": "sum = Add(x, u) T=DT_FLOAT\nfloor = Floor(sum) T=DT_FLOAT\n"
    "scaled = Mul(x, scale) T=DT_FLOAT\ny = Mul(scaled, floor) T=DT_FLOAT",
}


@pytest.mark.parametrize("what", STAYS)
def test_what_is_no_dropout_stays(graph, lines, what):
    made = graph(NOISE + CONSTANT + COMPARED.replace("scaled = Mul({operands}) T=DT_FLOAT\n", "") + STAYS[what])
    before = lines(made)
    assert removed(made) == ([], [])
    assert lines(made) == before
