import errno

import pytest
from modelmill_worker import StepError
from modelmill_worker.failures import as_step_error


class ResourceExhaustedError(Exception):
    """Named like TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "DISK_FULL"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "DISK_FULL"),
        (ResourceExhaustedError("model.pb; No space left on device"), "DISK_FULL"),
        (ResourceExhaustedError("OOM when allocating tensor"), "STEP_OUT_OF_MEMORY"),
        (MemoryError(), "STEP_OUT_OF_MEMORY"),
        (OSError(errno.ENOENT, "No such file"), "PLUGIN_RAISED"),
        (SystemExit(2), "PLUGIN_RAISED"),
        (ValueError(), "PLUGIN_RAISED"),
    ],
)
def test_types_an_exception(error, reason):
    assert as_step_error(error).reason == reason


def test_keeps_a_step_error():
    error = StepError("MINE", "Do this.")
    assert as_step_error(error) is error


def test_cuts_a_long_message_to_its_first_line():
    failure = as_step_error(RuntimeError("first\nsecond" * 1000))
    assert "second" not in failure.message
    assert failure.details == {"exception": "RuntimeError", "text": "first"}
