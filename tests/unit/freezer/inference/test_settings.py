import numpy as np
import pytest
from modelmill_freezer.inference.settings import Settings
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError


def settle(made, given=(), fed=()):
    settings = Settings(made)
    settings.settle(dict(given), fed)
    return settings


def value_of(made, name):
    node = graph_def.nodes_by_name(made)[name]
    return graph_def.constant_value(node)[()] if node.op == "Const" else None


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("is_training", "DT_BOOL", False),
        ("scope/is_training_1", "DT_BOOL", False),
        ("phase_train", "DT_BOOL", False),
        ("training", "DT_BOOL", False),
        ("bn1/keras_learning_phase", "DT_BOOL", False),
        ("train_mode", "DT_BOOL", False),
        ("is_test", "DT_BOOL", True),
        ("inference_mode", "DT_BOOL", True),
        ("keep_prob", "DT_FLOAT", 1.0),
        ("dropout_keep_prob", "DT_FLOAT", 1.0),
        ("dropout_rate", "DT_FLOAT", 0.0),
        ("drop_prob", "DT_DOUBLE", 0.0),
        ("mask", "DT_BOOL", None),
        ("latest", "DT_BOOL", None),
        ("constrain", "DT_BOOL", None),
        ("temperature", "DT_FLOAT", None),
        ("training", "DT_FLOAT", None),
        ("upkeep", "DT_FLOAT", None),
        ("raindrop_rate", "DT_FLOAT", None),
    ],
)
def test_names_tell_what_chooses_training(graph, name, kind, value):
    made = graph(f"{name} = Placeholder() dtype={kind} shape=[]")
    settings = settle(made)
    assert value_of(made, name) == value
    assert len(settings.changes) == (value is not None)


def test_what_is_no_scalar_is_no_setting(graph):
    made = graph("is_training = Placeholder() dtype=DT_BOOL shape=[4]")
    assert settle(made).changes == []


def test_a_training_default_gives_way(graph):
    made = graph(
        """
        d = Const() dtype=DT_BOOL value=const:true
        is_training = PlaceholderWithDefault(d) dtype=DT_BOOL shape=[]
        """
    )
    settings = settle(made)
    assert value_of(made, "is_training") == np.False_
    assert [(item.tensor, item.value) for item in settings.stand_ins] == [("is_training:0", False)]


USED = """
x = Placeholder() dtype=DT_FLOAT
flag = Placeholder() dtype=DT_BOOL shape=[]
c/pred = Identity(flag) T=DT_BOOL
c/x = Switch(x, c/pred) T=DT_FLOAT
c/noise = RandomUniform(c/x{training}) dtype=DT_FLOAT
c/no = Identity(c/x{other}) T=DT_FLOAT
c/Merge = Merge(c/no, c/noise) T=DT_FLOAT
"""


@pytest.mark.parametrize(("training", "other", "value"), [(":1", "", False), ("", ":1", True)])
def test_use_tells_what_chooses_training(graph, training, other, value):
    made = graph(USED.format(training=training, other=other))
    settle(made)
    assert value_of(made, "flag") == value


def test_a_choice_of_two_ways_to_infer_stays_an_input(graph):
    made = graph(USED.format(training=":1", other="").replace("RandomUniform", "Relu"))
    assert settle(made).changes == []


def test_what_is_fed_stays_a_placeholder(graph):
    made = graph("is_training = Placeholder() dtype=DT_BOOL shape=[]")
    assert settle(made, fed=("is_training",)).changes == []
    assert made.node[0].op == "Placeholder"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("DT_BOOL", "True", True),
        ("DT_BOOL", "0", False),
        ("DT_FLOAT", "0.5", 0.5),
        ("DT_INT32", "3", 3),
        ("DT_STRING", "abc", b"abc"),
    ],
)
def test_sets_what_the_user_says(graph, kind, text, value):
    made = graph(f"option = Placeholder() dtype={kind}")
    settings = settle(made, {"option:0": text})
    assert value_of(made, "option") == value
    assert "as told" in settings.changes[0].what


def test_sets_a_list(graph):
    made = graph("sizes = Placeholder() dtype=DT_INT32")
    settle(made, {"sizes": "[1, 2]"})
    np.testing.assert_array_equal(graph_def.constant_value(made.node[0]), [1, 2])


@pytest.mark.parametrize(
    ("kind", "text"), [("DT_BOOL", "maybe"), ("DT_BOOL", "2"), ("DT_INT32", "0.5"), ("DT_FLOAT", '"a"')]
)
def test_refuses_a_value_of_another_type(graph, kind, text):
    with pytest.raises(StepError) as caught:
        settle(graph(f"option = Placeholder() dtype={kind}"), {"option": text})
    assert (caught.value.reason, caught.value.details["value"]) == ("SETTING_MISMATCH", text)


def test_a_wrong_name_brings_the_nearest(graph):
    with pytest.raises(StepError) as caught:
        settle(graph("is_training = Placeholder() dtype=DT_BOOL\ny = Relu(is_training)"), {"istraining": "false"})
    assert (caught.value.reason, caught.value.details["nearest"]) == ("SETTING_NOT_FOUND", ["is_training"])


def test_refuses_a_value_of_another_shape(graph):
    with pytest.raises(StepError) as caught:
        settle(graph("keep = Placeholder() dtype=DT_FLOAT shape=[]"), {"keep": "[0.5, 0.5]"})
    assert (caught.value.reason, caught.value.details["declared"]) == ("SETTING_MISMATCH", [])
