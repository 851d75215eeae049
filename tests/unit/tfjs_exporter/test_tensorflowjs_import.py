import importlib
import sys

import pytest
from modelmill_tfjs_exporter.tensorflowjs_import import stand_ins

NAMES = ("modelmill_absent", "modelmill_absent.inner", "modelmill_absent.inner.most")


def test_absent_packages_can_be_imported_inside_the_block_only():
    with stand_ins(NAMES):
        from modelmill_absent.inner import most

        assert most is sys.modules["modelmill_absent.inner.most"]
    assert not any(name in sys.modules for name in NAMES)
    with pytest.raises(ImportError):
        importlib.import_module("modelmill_absent")


def test_stand_ins_are_gone_after_an_error():
    with pytest.raises(ZeroDivisionError), stand_ins(NAMES):
        1 / 0  # noqa: B018
    assert not any(name in sys.modules for name in NAMES)


def test_what_is_imported_already_is_left_alone():
    import json

    with stand_ins(("json", *NAMES)):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json
