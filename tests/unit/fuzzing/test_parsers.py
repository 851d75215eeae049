"""A few hundred hostile inputs for everything that reads untrusted bytes; `make fuzz` passes many more."""

import os
import random

import pytest
from fuzzing.parsers import PARSERS
from fuzzing.runs import run

EXAMPLES = 150


@pytest.mark.parametrize("name", PARSERS)
def test_returns_or_says_why_not(name, tmp_path):
    seed = 0 if os.environ.get("CI") else random.randrange(2**32)
    outcome = run(name, tmp_path, examples=EXAMPLES, seed=seed)
    assert not outcome.problem, f"seed {seed}: {outcome.problem}\n{outcome.culprit[:2000]!r}"
    assert outcome.examples >= EXAMPLES
