"""Rules that other distributions add."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from modelmill_rewriter import third_parties
from modelmill_rewriter.rules_api import Pass, Report
from modelmill_worker.errors import StepError


@dataclass(frozen=True)
class Foreign(Pass):
    """For these tests."""

    name: ClassVar[str] = "foreign"
    summary: ClassVar[str] = "For these tests."

    def apply(self, graph, target):
        return Report(self.name)


class Taken(Foreign):
    name: ClassVar[str] = "prelu"


class Group(Foreign):
    name: ClassVar[str] = "remove_training_nodes"


@pytest.fixture
def yielding(monkeypatch):
    def install(*pairs):
        monkeypatch.setattr(third_parties.registry, "yielded_by", lambda hook: list(pairs))

    return install


def test_takes_what_distributions_yield(yielding):
    yielding(("theirs", Foreign()))
    assert third_parties.third_party_passes() == (Foreign(),)


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ([("theirs", "a text")], "'a text' is no rule; yield instances of Rule or Pass"),
        ([("theirs", Foreign)], "is no rule; yield instances of Rule or Pass"),
        ([("theirs", Taken())], "the name prelu is taken by modelmill itself"),
        ([("theirs", Group())], "the name remove_training_nodes is taken by modelmill itself"),
        ([("theirs", Foreign()), ("others", Foreign())], "the name foreign is taken by theirs"),
    ],
)
def test_names_the_distribution_whose_rules_cannot_be_used(yielding, pairs, why):
    yielding(*pairs)
    with pytest.raises(StepError) as raised:
        third_parties.third_party_passes()
    assert raised.value.reason == "RULE_INVALID"
    assert why in raised.value.message
    assert raised.value.details == {"distribution": pairs[-1][0]}
