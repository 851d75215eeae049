"""Names of placeholders that choose between training and inference, and the values that inference wants.

Inspector and freezer must judge alike, so both look here.
"""

import re
from typing import Pattern, Tuple, Union

from modelmill_worker import tensors

#: What a name ends in, and the value for inference; the first that fits counts.
_TRUTHS: Tuple[Tuple[Pattern[str], bool], ...] = (
    (re.compile(r"(^|[^a-z])(is_?)?(inference|test|testing|eval|evaluation|deterministic)(_?mode|_?phase)?$"), True),
    (re.compile(r"(^|[^a-z])(is_?)?train(ing)?(_?mode|_?phase|_?flag|able)?$|phase_?train|learning_?phase$"), False),
    (re.compile(r"(^|[^a-z])(use_?|do_?|apply_?)drop_?out$"), False),
)
_NUMBERS: Tuple[Tuple[Pattern[str], float], ...] = (
    (re.compile(r"(^|[^a-z])keep(_?prob(ability)?|_?rate)?$"), 1.0),
    (re.compile(r"(^|[^a-z])drop(_?out)?(_?prob(ability)?|_?rate)$"), 0.0),
)
_COPY_SUFFIX = re.compile(r"_\d+$")


def inference_value(name: str, dtype: str) -> Union[bool, float, None]:
    """The value for inference of a scalar placeholder of this name and type; None where the name tells nothing.

    dtype: NumPy's name.
    """
    if dtype != "bool" and dtype not in tensors.FLOATING:
        return None
    leaf = _COPY_SUFFIX.sub("", name.rsplit("/", 1)[-1]).lower()
    for pattern, value in _TRUTHS if dtype == "bool" else _NUMBERS:
        if pattern.search(leaf):
            return value
    return None
