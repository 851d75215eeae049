import numpy as np
import pytest
from modelmill_freezer._vocabulary import read_vocabulary
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError

CONTENT = b"cat\t10\t.5\r\ndog\t-11\t.25\n\t12\t1e-3\n"


def initialiser(key, value, **attributes):
    node = graph_def.new_node("fill", "InitializeTableFromTextFileV2")
    node.attr["key_index"].i = key
    node.attr["value_index"].i = value
    for name, number in attributes.items():
        node.attr[name].i = number
    return node


def test_columns_in_the_tables_types():
    keys, values = read_vocabulary(CONTENT, initialiser(0, 1), "string", "int64")
    assert list(keys) == [b"cat", b"dog", b""]
    np.testing.assert_array_equal(values, np.array([10, -11, 12]))
    assert values.dtype == np.int64
    _, values = read_vocabulary(CONTENT, initialiser(0, 2), "string", "float32")
    np.testing.assert_array_equal(values, np.float32([0.5, 0.25, 1e-3]))


def test_whole_lines_and_their_numbers():
    keys, values = read_vocabulary(b"a b\nc", initialiser(-2, -1, offset=7), "string", "int64")
    assert (list(keys), list(values)) == ([b"a b", b"c"], [7, 8])


def test_only_as_many_lines_as_the_table_takes():
    keys, _ = read_vocabulary(CONTENT, initialiser(0, -1, vocab_size=2), "string", "int64")
    assert list(keys) == [b"cat", b"dog"]


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (initialiser(0, 3), "line 1 has no column 3"),
        (initialiser(0, 2), "is not of int64"),
        (initialiser(0, -1, vocab_size=4), "it has 3 lines, and the table takes 4"),
    ],
)
def test_says_what_is_wrong_with_a_file(node, why):
    with pytest.raises(StepError) as caught:
        read_vocabulary(CONTENT, node, "string", "int64")
    assert caught.value.reason == "VOCABULARY_UNREADABLE"
    assert why in caught.value.message
