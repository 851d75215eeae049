"""The line of `modelmill inspect` that says which TensorFlow versions read a model."""

from modelmill.cli.inspect import _text_of


def line(**versions) -> str:
    known = {"writer": "", "keras": "", "readable": [], "readable_stripped": {}, "unreadable": {}}
    return _text_of({"kind": "tf.graph_def", "tensorflow": {**known, **versions}}).splitlines()[1]


def test_joins_versions_that_follow_one_another():
    assert line(readable=["1.9", "1.10", "1.12", "2.0"], unreadable={"1.11": "it is odd"}) == (
        "tensorflow  read by 1.9 to 1.10, 1.12 to 2.0; not by 1.11: it is odd"
    )


def test_names_the_writer_and_says_each_reason_once():
    assert line(
        writer="1.15.5",
        readable=["1.14", "1.15"],
        readable_stripped={"1.12": ["Conv2D.explicit_paddings"], "1.13": ["Conv2D.explicit_paddings"]},
        unreadable={"1.10": "too old", "1.11": "too old"},
    ) == (
        "tensorflow  written by TensorFlow 1.15.5; read by 1.14 to 1.15; by 1.12 to 1.13 without "
        "Conv2D.explicit_paddings; not by 1.10 to 1.11: too old"
    )


def test_names_the_keras_that_wrote_it():
    assert line(keras="3.8.0", readable=["2.16"]) == "tensorflow  written by Keras 3.8.0; read by 2.16"


def test_says_nothing_of_a_model_without_operations():
    assert _text_of({"kind": "tflite"}) == "kind  tflite"
