from dataclasses import replace

import farm
import pytest
from modelmill.errors import ModelmillError
from modelmill.planning import ConversionSpec, TargetRequest, VerificationRequest, check_specification, plan_conversion
from modelmill.values import Artifact, Availability, File

SOURCE = Artifact("", (File("model.ckpt.index", "a" * 64, 10),))
CHECKPOINT = {"kind": "tf.checkpoint", "producer": 134}


def spec(*targets: str, **more: object) -> ConversionSpec:
    return ConversionSpec(source=SOURCE, targets=tuple(TargetRequest(target) for target in targets), **more)


def plan(wanted: ConversionSpec, facts: dict = CHECKPOINT, environments: tuple = farm.ENVIRONMENTS):
    return plan_conversion(wanted, facts, farm.PLUGINS, environments)


def table(made) -> dict:
    return {step.id: step.environment for step in made.steps}


def test_plans_the_demo_with_shared_steps_once() -> None:
    made = plan(spec("tflite", "tfjs"))
    assert table(made) == {
        "freeze": "tf-1.15",
        "rewrite.tflite": "base",
        "convert.tflite": "tf-2.15",
        "rewrite.tfjs": "base",
        "export.tfjs": "tfjs-4",
        "sample": "base",
        "reference": "tf-1.15",
        "run.tflite": "tf-2.15",
        "compare.tflite": "base",
        "run.tfjs": "tfjs-node",
        "compare.tfjs": "base",
    }
    assert [(item.label, item.step, item.comparison) for item in made.deliveries] == [
        ("tflite", "convert.tflite", "compare.tflite"),
        ("tfjs", "export.tfjs", "compare.tfjs"),
    ]


def test_every_step_comes_after_those_it_needs() -> None:
    seen = {"source", "dataset"}
    for step in plan(spec("tflite", "tfjs")).steps:
        assert set(step.inputs.values()) <= seen
        seen.add(step.id)


def test_every_step_says_why_and_where() -> None:
    for step in plan(spec("tflite", "tfjs")).steps:
        assert step.environment in step.reason


def test_rewrites_for_the_target_and_the_tensorflow_that_converts() -> None:
    steps = {step.id: step for step in plan(spec("tflite", "tfjs")).steps}
    assert steps["rewrite.tflite"].options == {"target": "tflite", "tensorflow": "2.15.1"}
    assert steps["rewrite.tfjs"].options == {"target": "tfjs", "tensorflow": "2.19.1"}


def test_takes_the_next_environment_and_says_so_where_the_best_cannot_be_had() -> None:
    gone = replace(farm.TF_1_15, availability=Availability.UNAVAILABLE, unavailable_reason="there is no Python 3.7.")
    made = plan(spec("tflite"), environments=(farm.BASE, gone, farm.TF_2_15, farm.NODE))
    assert table(made)["freeze"] == "tf-2.15"
    assert any("tf-1.15" in note and "no Python 3.7" in note for note in made.notes)


def test_an_older_models_writer_preference_takes_the_oldest_that_is_not_older() -> None:
    assert table(plan(spec("tflite"), {"kind": "tf.checkpoint", "producer": 26}))["freeze"] == "tf-1.15"
    assert table(plan(spec("tflite"), {"kind": "tf.checkpoint", "producer": 561}))["freeze"] == "tf-2.15"


def test_a_model_newer_than_every_environment_takes_the_nearest_and_says_so() -> None:
    steps = {step.id: step for step in plan(spec("tflite"), {"kind": "tf.checkpoint", "producer": 9999}).steps}
    assert steps["freeze"].environment == "tf-2.15"
    assert "nearest" in steps["freeze"].reason


def test_leaves_a_result_unverified_with_the_reason_where_nothing_can_run_it() -> None:
    gone = replace(farm.NODE, availability=Availability.UNAVAILABLE, unavailable_reason="there is no Node.")
    made = plan(spec("tfjs"), environments=(farm.BASE, farm.TF_1_15, farm.TFJS_4, gone))
    (delivery,) = made.deliveries
    assert delivery.comparison == ""
    assert "there is no Node" in delivery.unverified
    assert any("tfjs" in note and "no Node" in note for note in made.notes)


def test_leaves_everything_unverified_where_the_source_cannot_be_run() -> None:
    made = plan(spec("tflite"), {"kind": "tf.graph_def", "producer": 0})
    (delivery,) = made.deliveries
    assert "no plug-in here can run a tf.graph_def" in delivery.unverified


def test_plans_no_verification_where_it_is_switched_off() -> None:
    made = plan(spec("tflite", verification=VerificationRequest(skip=True)))
    assert list(table(made)) == ["freeze", "rewrite.tflite", "convert.tflite"]


def test_uses_the_dataset_that_was_given() -> None:
    dataset = Artifact("dataset", (File("x.npz", "b" * 64, 10),))
    steps = {step.id: step for step in plan(spec("tflite", verification=VerificationRequest(dataset=dataset))).steps}
    assert steps["sample"].edge == "adopt"
    assert steps["sample"].inputs == {"model": "freeze", "dataset": "dataset"}


def test_two_requests_for_one_target_get_labels_of_their_own_and_share_the_rewrite() -> None:
    wanted = ConversionSpec(
        SOURCE, (TargetRequest("tflite"), TargetRequest("tflite", {"quantization": "dynamic_range"}))
    )
    made = plan(wanted)
    assert [item.label for item in made.deliveries] == ["tflite", "tflite-2"]
    assert len({step.id for step in made.steps}) == len(made.steps)
    assert [step.id for step in made.steps if step.edge == "rewrite"] == ["rewrite.tflite"]
    quantizations = [step.options["quantization"] for step in made.steps if step.edge == "convert"]
    assert quantizations == ["float", "dynamic_range"]


def test_saying_a_default_and_not_saying_it_give_the_same_plan() -> None:
    said = ConversionSpec(SOURCE, (TargetRequest("tflite", {"quantization": "float"}),))
    assert plan(said) == plan(spec("tflite"))


def test_refuses_a_source_without_a_route_and_names_those_that_have_one() -> None:
    with pytest.raises(ModelmillError) as caught:
        plan(spec("tflite"), {"kind": "keras.h5", "producer": 0})
    assert caught.value.reason == "NO_ROUTE"
    assert "tf.checkpoint" in str(caught.value)


def test_refuses_with_the_environments_reason_where_the_last_edge_cannot_be_had() -> None:
    gone = replace(farm.TFJS_4, availability=Availability.UNAVAILABLE, unavailable_reason="there is no Python 3.11.")
    with pytest.raises(ModelmillError) as caught:
        plan(spec("tfjs"), environments=(farm.BASE, farm.TF_1_15, farm.TF_2_15, gone))
    assert caught.value.reason == "NO_ENVIRONMENT"
    assert "there is no Python 3.11" in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "reason", "word"),
    [
        (spec(), "NO_TARGET", "tflite"),
        (spec("tflight"), "UNKNOWN_TARGET", "tflite, "[:6]),
        (spec("tflite", plugin_options={"frezer": {}}), "UNKNOWN_PLUGIN", "freezer"),
        (spec("tflite", plugin_options={"freezer": {"output": ["a"]}}), "UNKNOWN_OPTION", "outputs"),
        (spec("tflite", plugin_options={"freezer": {"outputs": "a"}}), "INVALID_OPTION", "array"),
        (ConversionSpec(SOURCE, (TargetRequest("tflite", {"quantization": 3}),)), "INVALID_OPTION", "string"),
    ],
)
def test_refuses_what_cannot_be_asked_for(wanted: ConversionSpec, reason: str, word: str) -> None:
    with pytest.raises(ModelmillError) as caught:
        check_specification(wanted, farm.PLUGINS)
    assert caught.value.reason == reason
    assert word in str(caught.value)


def test_lets_pass_what_can_be_asked_for() -> None:
    check_specification(spec("tflite", "tfjs", plugin_options={"freezer": {"outputs": ["a"]}}), farm.PLUGINS)


def test_a_specification_survives_the_journal() -> None:
    dataset = Artifact("dataset", (File("x.npz", "b" * 64, 10),))
    verification = VerificationRequest(seed=3, dataset=dataset, tolerance=0.1, input_shapes={"x": (1, 2)})
    whole = spec("tflite", verification=verification, salt="s", ignore_cache=True, conversion_deadline=9.0)
    assert ConversionSpec.from_json(whole.to_json()) == whole
