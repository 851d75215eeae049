"""A signature's initialisers: carried from step to step, refused where a format has no place for them."""

import json

import pytest
from modelmill_worker import lookup_tables
from modelmill_worker import signature as signatures
from modelmill_worker.errors import StepError
from modelmill_worker.signature import Signature, Tensor

WORDS = Tensor("words", "words:0", "string", (-1,))
PLAIN = Signature((WORDS,), (WORDS,))
TABLES = Signature((WORDS,), (WORDS,), initializers=("table/fill", "other/fill"))


def test_initialisers_are_written_only_where_there_are_any(tmp_path):
    signatures.write(tmp_path, TABLES)
    assert signatures.read(tmp_path) == TABLES
    signatures.write(tmp_path, PLAIN)
    assert "initializers" not in json.loads((tmp_path / signatures.FILE_NAME).read_text())
    assert signatures.read(tmp_path) == PLAIN


def test_refuses_tables_and_names_what_fills_them():
    lookup_tables.refuse(PLAIN, "TFLite", "Give something else.")
    with pytest.raises(StepError) as caught:
        lookup_tables.refuse(TABLES, "TFLite", "Give something else.")
    assert caught.value.reason == "LOOKUP_TABLES_UNSUPPORTED"
    assert caught.value.details == {"initializers": ["table/fill", "other/fill"]}
    assert caught.value.message.endswith("Give something else.")
