import click
import pytest
from modelmill.cli.parameters import (
    InputShape,
    InputType,
    PluginOption,
    PluginOptionType,
    Setting,
    SettingType,
    ShapeType,
    SizeType,
    TargetChoice,
    TargetType,
)


def convert(kind, text):
    return kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("tflite", TargetChoice("tflite")),
        ("tflite:quantization=dynamic", TargetChoice("tflite", {"quantization": "dynamic"})),
        ("a:x=1,y=0.5,z=true,n=null", TargetChoice("a", {"x": 1, "y": 0.5, "z": True, "n": None})),
        ('a:l=[1,2],o={"k": "a,b"},s="x,y"', TargetChoice("a", {"l": [1, 2], "o": {"k": "a,b"}, "s": "x,y"})),
        ("a:x=1,x=2", TargetChoice("a", {"x": [1, 2]})),
        ("a:path=b:c=d", TargetChoice("a", {"path": "b:c=d"})),
        ("a:x=", TargetChoice("a", {"x": ""})),
        ("a:x=NaN,y=Infinity", TargetChoice("a", {"x": "NaN", "y": "Infinity"})),
        (r'a:s="q\",r",t=1', TargetChoice("a", {"s": 'q",r', "t": 1})),
    ],
)
def test_a_target_may_carry_options(text, choice):
    assert convert(TargetType(), text) == choice


@pytest.mark.parametrize("text", ["a:x", "a:=1", "a:x=1,y"])
def test_an_option_of_a_target_without_a_value_is_refused(text):
    with pytest.raises(click.BadParameter):
        convert(TargetType(), text)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("freezer.outputs=prob", PluginOption("freezer", "outputs", "prob")),
        ("tflite-quantizer.levels=[1]", PluginOption("tflite-quantizer", "levels", [1])),
        ("p.k=a=b", PluginOption("p", "k", "a=b")),
    ],
)
def test_an_option_of_a_plugin_names_both(text, option):
    assert convert(PluginOptionType(), text) == option


@pytest.mark.parametrize("text", ["outputs=prob", "freezer.outputs", ".x=1", "p.=1", ""])
def test_an_option_without_plugin_key_or_value_is_refused(text):
    with pytest.raises(click.BadParameter):
        convert(PluginOptionType(), text)


def test_a_shape_has_a_name_and_dimensions():
    assert convert(ShapeType(), "x:0=1,224,224,3") == InputShape("x:0", (1, 224, 224, 3))


@pytest.mark.parametrize("text", ["1,2", "x=", "x=1,,2", "x=-1,2", "x=0", "x=a", "=1"])
def test_a_shape_that_is_none_is_refused(text):
    with pytest.raises(click.BadParameter):
        convert(ShapeType(), text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("4GiB", 4 << 30), ("4g", 4 << 30), ("1.5 MiB", 3 << 19), ("500MB", 500_000_000), ("1024", 1024), ("7B", 7)],
)
def test_a_size_is_bytes(text, count):
    assert convert(SizeType(), text) == count


@pytest.mark.parametrize("text", ["", "GiB", "-1", "0", "4XB", "1e9"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(click.BadParameter):
        convert(SizeType(), text)


@pytest.mark.parametrize(
    "text",
    [
        "images",
        "images:0",
        "batch:1",
        "scope/batch=1,224,224,3",
        "batch:1=-1,28,28,1",
        "batch=?,28,28,1:uint8",
        "batch:0:float32",
        "rate=:float32",
    ],
)
def test_an_input_is_a_tensor_with_a_shape_and_a_type_or_without(text):
    assert InputType().convert(text, None, None) == text


def test_blanks_in_an_input_do_not_count():
    assert InputType().convert(" batch = 1, 2 : int32", None, None) == "batch=1,2:int32"


@pytest.mark.parametrize("text", ["", "=1,2", "batch=1,0", "batch=1,-2", "batch=a", "batch=1,,2", "a=b=c", ":float32"])
def test_refuses_what_is_no_input(text):
    with pytest.raises(click.BadParameter, match="NAME=1,224,224,3:float32"):
        InputType().convert(text, None, None)


def test_a_setting_is_a_name_and_a_value():
    assert SettingType().convert("is_training=false", None, None) == Setting("is_training", "false")
    assert SettingType().convert("table=[1, 2]", None, None) == Setting("table", "[1, 2]")


@pytest.mark.parametrize("text", ["is_training", "=1", "keep_prob="])
def test_refuses_what_is_no_setting(text):
    with pytest.raises(click.BadParameter, match="is_training=false"):
        SettingType().convert(text, None, None)
