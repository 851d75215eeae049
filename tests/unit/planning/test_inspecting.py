import farm
import pytest
from modelmill.errors import ModelmillError
from modelmill.planning import further_inspections, plan_further_inspection, plan_inspection
from modelmill.values import Role

# Its name sorts before the inspector's, which must not make it the one that recognises.
PREVIEW = farm.plugin(
    "early",
    farm.edge(
        "preview",
        Role.INSPECT,
        {"model": "tf.graph_def"},
        "report.preview",
        options_schema=farm.options(outputs=[]),
    ),
    farm.edge("look", Role.INSPECT, {"model": "tf.checkpoint"}, "report.look", requires=("tensorflow>=9",)),
)
PLUGINS = (*farm.PLUGINS, PREVIEW)


def test_what_takes_anything_recognises() -> None:
    step = plan_inspection(PLUGINS, farm.ENVIRONMENTS, {})
    assert (step.id, step.plugin, step.edge, step.environment) == ("inspect", "inspector", "inspect", "base")


def test_a_farm_without_one_that_takes_anything_says_so() -> None:
    with pytest.raises(ModelmillError) as caught:
        plan_inspection((PREVIEW,), farm.ENVIRONMENTS, {})
    assert caught.value.reason == "NO_INSPECTOR"


def test_edges_of_exactly_the_kind_say_more_with_the_options_that_they_know() -> None:
    assert further_inspections(PLUGINS, "tflite") == []
    (hop,) = further_inspections(PLUGINS, "tf.graph_def")
    step = plan_further_inspection(hop, farm.ENVIRONMENTS, {"outputs": ["y"], "signature_key": "other"})
    assert (step.id, step.plugin, step.inputs) == ("inspect.early.preview", "early", {"model": "source"})
    assert step.options == {"outputs": ["y"]}


def test_one_that_nothing_here_can_run_says_so() -> None:
    (hop,) = further_inspections(PLUGINS, "tf.checkpoint")
    with pytest.raises(ModelmillError) as caught:
        plan_further_inspection(hop, farm.ENVIRONMENTS, {})
    assert caught.value.reason == "NO_ENVIRONMENT"
