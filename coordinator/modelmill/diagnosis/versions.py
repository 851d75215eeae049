"""Whether a step that has failed may succeed in another version of TensorFlow, and in which."""

from __future__ import annotations

import functools
import re

from modelmill.diagnosis.version_signatures import SIGNATURES, Signature
from modelmill.errors import Failure, Fault
from modelmill.values import Direction

#: A conversion that may cost more than this by nature, relative to an output's range, quantises: that its numbers are
#: off is not a fault of the converter's version.
_MOST_WITHOUT_QUANTISING = 0.01


def other_version(failure: Failure) -> Direction | None:
    """In which versions a failed step may succeed; None where no other version helps.

    What the user has to put right helps nowhere, unless a row of the table names its very reason.
    """
    signature = signature_of(failure)
    if signature is None or _is_quantised(failure):
        return None
    return signature.direction


def signature_of(failure: Failure) -> Signature | None:
    """The row of the table that fits; None where none does."""
    if failure.fault not in (Fault.TOOL, Fault.INPUT):
        return None
    return next((signature for signature in SIGNATURES if _fits(signature, failure)), None)


def _fits(signature: Signature, failure: Failure) -> bool:
    if signature.reason not in ("", failure.reason):
        return False
    if failure.fault is Fault.INPUT and not signature.reason:
        return False
    told = f"{failure.message}\n{failure.log_tail}"
    return not signature.pattern or _compiled(signature.pattern).search(told) is not None


def _is_quantised(failure: Failure) -> bool:
    return failure.reason == "VERIFICATION_FAILED" and failure.details["tolerance"] > _MOST_WITHOUT_QUANTISING


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
