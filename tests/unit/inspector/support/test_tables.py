"""The tables are whole, and say what is known of the converters."""

import pytest
from modelmill_inspector.support import tables
from modelmill_worker import op_versions

LETTERS = {tables.BUILTIN, tables.SELECT, tables.CUSTOM, tables.MISSING, tables.UNKNOWN}


@pytest.mark.parametrize("table", [tables.tflite(), tables.tfjs()], ids=["tflite", "tfjs"])
def test_have_a_letter_for_each_version(table):
    for operation, lines in table.lines.items():
        for line in lines:
            assert len(line.letters) == len(table.versions), operation
            assert set(line.letters) <= LETTERS, operation


def test_know_every_tensorflow():
    versions = [".".join(told["version"].split(".")[:2]) for told in tables.tflite().versions]
    assert tuple(versions) == op_versions.versions()


def test_know_no_operation_where_tensorflow_has_none():
    # TensorFlow 1 has more once a converter of its own has loaded tf.contrib.
    for operation, lines in tables.tflite().lines.items():
        if operation in op_versions.table().contrib:
            continue
        history = op_versions.table().history(operation)
        for line in lines:
            for definition, letter in zip(history, line.letters):
                assert definition is not None or letter == tables.UNKNOWN, operation


@pytest.mark.parametrize(
    ("operation", "first"),
    [("Conv2D", "1.5"), ("Neg", "1.9"), ("AddV2", "1.15"), ("FusedBatchNormV3", "1.14"), ("Cumsum", "2.4")],
)
def test_tell_since_when_an_operation_is_builtin(operation, first):
    letters = tables.tflite().lines[operation][0].letters
    assert op_versions.versions()[letters.index(tables.BUILTIN)] == first
    assert set(letters[letters.index(tables.BUILTIN) :]) == {tables.BUILTIN}


def test_no_version_before_1_12_has_tensorflow_operators():
    before = op_versions.versions().index("1.12")
    letters = {letter for lines in tables.tflite().lines.values() for line in lines for letter in line.letters[:before]}
    assert tables.SELECT not in letters


def test_the_edge_tpu_knows_operations_that_tensorflow_has():
    known = set(op_versions.table().operations())
    assert set(tables.edgetpu()) <= known
    assert {operation.runtime for operation in tables.edgetpu().values()} <= {0, 10, 11, 12, 13, 14}
