"""The tables that are shipped: they parse, and say what is known of TensorFlow's converters."""

import pytest
from modelmill_inspector.support import tables

LETTERS = {tables.BUILTIN, tables.SELECT, tables.CUSTOM, tables.MISSING, tables.UNKNOWN}


@pytest.mark.parametrize("table", [tables.tflite(), tables.tfjs()], ids=["tflite", "tfjs"])
def test_every_line_has_a_letter_for_each_version(table):
    assert len(table.lines) > 200
    for operation, lines in table.lines.items():
        for line in lines:
            assert len(line.letters) == len(table.versions), operation
            assert set(line.letters) <= LETTERS, operation


def letter(version, operation, *conditions):
    table = tables.tflite()
    (index,) = [at for at, told in enumerate(table.versions) if told["version"].startswith(version + ".")]
    (line,) = [line for line in table.lines[operation] if line.conditions == conditions]
    return line.letters[index]


FLOAT = ("T", "float32")


@pytest.mark.parametrize(
    ("version", "operation", "conditions", "expected"),
    [
        ("1.5", "Conv2D", (FLOAT,), tables.BUILTIN),
        ("1.15", "Conv2D", (FLOAT, ("data_format", "NCHW")), tables.MISSING),
        ("2.21", "Conv2D", (FLOAT, ("data_format", "NCHW")), tables.BUILTIN),
        ("1.11", "LeakyRelu", (FLOAT,), tables.UNKNOWN),
        ("1.13", "LeakyRelu", (FLOAT,), tables.BUILTIN),
        ("1.13", "FusedBatchNormV3", (FLOAT,), tables.UNKNOWN),
        ("1.14", "FusedBatchNormV3", (FLOAT,), tables.BUILTIN),
        ("1.11", "Mfcc", (), tables.UNKNOWN),
        ("2.15", "Mfcc", (), tables.SELECT),
        ("2.15", "Erf", (FLOAT,), tables.SELECT),
    ],
)
def test_what_is_known(version, operation, conditions, expected):
    assert letter(version, operation, *conditions) == expected


def test_the_edge_tpu_has_what_is_documented():
    assert tables.edgetpu()["Conv2D"].runtime == 0
    assert tables.edgetpu()["Rsqrt"].runtime == 14
    assert "LeakyRelu" not in tables.edgetpu()
