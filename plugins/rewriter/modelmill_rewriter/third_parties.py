"""The rules that other distributions add through the hook `modelmill_rewrite_rules`."""

from typing import List, Tuple

from modelmill_worker import registry
from modelmill_worker.errors import TOOL, StepError

from modelmill_rewriter.rules import PASSES
from modelmill_rewriter.rules_api import Pass
from modelmill_rewriter.sequences import GROUPS


def third_party_passes() -> Tuple[Pass, ...]:
    """Every pass that an installed distribution yields, in the order of the distributions' names.

    Raises StepError RULE_INVALID, which names the distribution, for what is no pass or has a name that is taken.
    """
    taken = {item.name: "modelmill itself" for item in PASSES}
    taken.update(dict.fromkeys(GROUPS, "modelmill itself"))
    found: List[Pass] = []
    for distribution, item in registry.yielded_by("modelmill_rewrite_rules"):
        if not isinstance(item, Pass) or not getattr(item, "name", ""):
            raise _invalid(distribution, "{!r:.80} is no rule; yield instances of Rule or Pass".format(item))
        if item.name in taken:
            raise _invalid(distribution, "the name {} is taken by {}".format(item.name, taken[item.name]))
        taken[item.name] = distribution
        found.append(item)
    return tuple(found)


def _invalid(distribution: str, why: str) -> StepError:
    return StepError(
        "RULE_INVALID",
        "The rewrite rules of {} cannot be used: {}. Uninstall it, or install a release that fits.".format(
            distribution, why
        ),
        {"distribution": distribution},
        fault=TOOL,
    )
