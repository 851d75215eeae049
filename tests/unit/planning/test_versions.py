"""Which version of TensorFlow runs what, and why: wishes, what a model can be read by, what an edge prefers."""

from dataclasses import replace

import farm
import pytest
from modelmill.errors import ModelmillError
from modelmill.planning import (
    ConversionSpec,
    Plan,
    PlannedStep,
    TargetRequest,
    VerificationRequest,
    check_specification,
    plan_conversion,
)
from modelmill.planning.versions import parse_wish
from modelmill.values import Artifact, Availability, File, Plugin, Preference, Role, Target

SOURCE = Artifact("", (File("model.ckpt.index", "a" * 64, 10),))
LEAKY = "the operation LeakyRelu, at prelu/x and 3 more, is known from 1.13 on"
#: A checkpoint of 1.15 that nothing before 1.12 reads, and 1.12 only without an attribute.
CHECKPOINT = {
    "kind": "tf.checkpoint",
    "producer": 134,
    "tensorflow": {
        "writer": "",
        "keras": "",
        "readable": ["1.13", "1.15", "2.4", "2.14", "2.15", "2.16", "2.19", "2.21"],
        "readable_stripped": {"1.12": ["Conv2D.explicit_paddings"]},
        "unreadable": {"1.5": LEAKY, "1.9": LEAKY},
    },
}


def plan(
    *targets: TargetRequest,
    facts: dict = CHECKPOINT,
    environments: tuple = farm.ALL_ENVIRONMENTS,
    plugins: tuple = farm.WIDE_PLUGINS,
    **more: object,
) -> Plan:
    spec = ConversionSpec(SOURCE, targets, **more)
    check_specification(spec, plugins)
    return plan_conversion(spec, facts, plugins, environments)


def tflite(tensorflow: str = "", **more: object) -> TargetRequest:
    return TargetRequest("tflite", tensorflow=tensorflow, **more)


def steps_of(made: Plan) -> dict[str, PlannedStep]:
    return {step.id: step for step in made.steps}


def converts_in(made: Plan, label: str = "tflite") -> str:
    """The TensorFlow of the step that makes a target."""
    (delivery,) = (delivery for delivery in made.deliveries if delivery.label == label)
    return made.step(delivery.step).tensorflow


def gone(version: str):
    return replace(
        farm.tensorflow(version), availability=Availability.UNAVAILABLE, unavailable_reason="there is no Python for it."
    )


# What an edge prefers


def test_takes_the_version_that_the_edge_prefers_and_says_among_which() -> None:
    made = plan(tflite())
    assert converts_in(made) == "2.15.1"
    assert made.step("convert.tflite").reason.endswith(
        "tf-2.15: TensorFlow 2.15.1 is the one that tflite-quantizer prefers of those that can read the model "
        "(1.12 to 2.21)"
    )


def test_takes_the_newest_where_no_preferred_version_can_be_had_and_says_both() -> None:
    others = tuple(item for item in farm.ALL_ENVIRONMENTS if item.name != "tf-2.15")
    made = plan(tflite(), environments=(*others, gone("2.15.1")))
    assert converts_in(made) == "2.21.0"
    assert "TensorFlow 2.21.0 is the newest of those" in made.step("convert.tflite").reason
    assert any("tf-2.15 would have been the choice for convert" in note for note in made.notes)


def test_an_environment_that_provides_more_than_is_needed_comes_last() -> None:
    made = plan(tflite(">=2.19,<2.20"))
    assert made.step("convert.tflite").environment == "tfjs-4"
    assert plan(tflite()).step("freeze").environment == "tf-1.15"


def test_runs_a_result_where_it_was_made_or_in_the_next_version_that_can() -> None:
    made = steps_of(plan(tflite("1.12")))
    assert made["run.tflite"].environment == "tf-1.12"
    assert "made the model" in made["run.tflite"].reason
    readable = {"kind": "tf.checkpoint", "producer": 24}
    oldest = steps_of(plan(tflite("1.5"), facts=readable))
    assert oldest["run.tflite"].environment == "tf-1.9"
    assert "oldest that is not older than 1.5.0, which made the model" in oldest["run.tflite"].reason


def test_runs_a_graph_that_was_made_on_the_way_in_the_version_that_made_it() -> None:
    """Its operations are those of that version, whatever the source says of its own writer."""
    loads = {"kind": "keras.h5", "tensorflow": {"writer": "", "keras": "2.15.0", "readable": ["2.14", "2.15"]}}
    edges = (
        farm.edge(
            "load",
            Role.CONVERT,
            {"model": "keras.h5"},
            "tf.frozen_graph",
            requires=("tensorflow>=1.11",),
            preference=Preference.WRITER,
        ),
    )
    target = Target("frozen-graph", "tf.frozen_graph", "", "loader", farm.NO_OPTIONS)
    loader = farm.plugin("loader", *edges, targets=(target,))
    made = steps_of(
        plan(TargetRequest("frozen-graph"), facts=loads, plugins=(loader, farm.INSPECTOR, farm.WIDE_VERIFIER))
    )
    maker, run = made["load.frozen-graph"], made["run.frozen-graph"]
    assert run.environment == maker.environment
    assert run.tensorflow == "2.15.1"
    assert "made the model" in run.reason


def without_python(*names: str) -> tuple:
    return tuple(replace(item, without_python=item.name in names) for item in farm.ALL_ENVIRONMENTS)


def test_freezes_with_a_version_whose_python_is_here_rather_than_one_whose_python_must_be_fetched() -> None:
    made = plan(tflite(), environments=without_python("tf-1.15", "tf-2.4"))
    assert made.step("freeze").environment == "tf-2.14"
    assert "oldest whose Python is on this machine that is not older" in made.step("freeze").reason


def test_fetches_a_python_for_the_converter_that_is_preferred_or_asked_for() -> None:
    environments = without_python("tf-2.4", "tf-2.15")
    assert converts_in(plan(tflite(), environments=environments)) == "2.15.1"
    assert converts_in(plan(tflite("2.4"), environments=environments)) == "2.4.4"


# What was asked for


@pytest.mark.parametrize(
    ("wish", "version"),
    [
        ("1.12", "1.12.3"),
        ("1.15.5", "1.15.5"),
        (">=2.4,<2.15", "2.14.1"),
        (">=2.4,<2.16", "2.15.1"),
        ("~=2.16.0", "2.16.2"),
        (" 2.21 ", "2.21.0"),
    ],
)
def test_makes_the_target_with_the_version_that_was_asked_for(wish: str, version: str) -> None:
    made = plan(tflite(wish))
    assert converts_in(made) == version
    assert f"asked for (--tensorflow {wish.strip()})" in made.step("convert.tflite").reason
    assert made.step("rewrite.tflite").options["tensorflow"] == version
    assert made.step("freeze").tensorflow == made.step("reference").tensorflow == "1.15.5"


def test_two_targets_may_ask_for_different_versions_and_share_what_the_wish_is_not_about() -> None:
    made = plan(tflite("1.12"), tflite("2.4"))
    assert [converts_in(made, label) for label in ("tflite", "tflite-2")] == ["1.12.3", "2.4.4"]
    assert sum(step.edge == "freeze" for step in made.steps) == 1
    assert sum(step.edge == "sample" for step in made.steps) == 1


@pytest.mark.parametrize("text", ["1", "1.9.x", "latest", "=2.15", "2.x", ">=", "tensorflow 2"])
def test_refuses_what_is_no_version_and_says_what_to_write(text: str) -> None:
    with pytest.raises(ModelmillError) as caught:
        check_specification(ConversionSpec(SOURCE, (tflite(text),)), farm.WIDE_PLUGINS)
    assert caught.value.reason == "INVALID_TENSORFLOW_VERSION"
    assert ">=2.4,<2.16" in str(caught.value)


def test_an_empty_wish_allows_everything() -> None:
    assert parse_wish("  ") is None


def impossible(*targets: TargetRequest, **more: object) -> ModelmillError:
    with pytest.raises(ModelmillError) as caught:
        plan(*targets, **more)
    return caught.value


def test_an_impossible_wish_says_what_of_the_model_that_version_does_not_know() -> None:
    error = impossible(tflite("1.9"))
    assert error.reason == "TENSORFLOW_VERSION_IMPOSSIBLE"
    assert LEAKY in str(error)
    assert "Ask for one of 9 others, from 1.12.3 to 2.21.0." in str(error)
    assert error.failure.details["unreadable"] == {"1.9.0": LEAKY}


def test_an_impossible_wish_says_what_the_target_needs() -> None:
    narrow = tuple(
        farm.plugin(
            item.name,
            *(replace(edge, requires=("tensorflow>=2.4,<2.16",)) for edge in item.edges),
            targets=item.targets,
        )
        if item.name == "tflite-quantizer"
        else item
        for item in farm.WIDE_PLUGINS
    )
    with pytest.raises(ModelmillError) as caught:
        plan_conversion(ConversionSpec(SOURCE, (tflite("2.21"),)), CHECKPOINT, narrow, farm.ALL_ENVIRONMENTS)
    assert caught.value.reason == "TENSORFLOW_VERSION_IMPOSSIBLE"
    assert "needs tensorflow>=2.4,<2.16" in str(caught.value)
    assert caught.value.failure.details["possible"] == ["2.4.4", "2.14.1", "2.15.1"]
    assert "Ask for 2.4.4 or 2.14.1 or 2.15.1." in str(caught.value)


def test_an_impossible_wish_names_the_nearest_version_that_there_is() -> None:
    error = impossible(tflite("1.4"))
    assert error.reason == "TENSORFLOW_VERSION_IMPOSSIBLE"
    assert error.failure.details["nearest"] == "1.5.0"
    assert "the nearest is 1.5.0" in str(error)


def test_a_wish_that_this_machine_cannot_have_says_why() -> None:
    others = tuple(item for item in farm.ALL_ENVIRONMENTS if item.name != "tf-2.4")
    error = impossible(tflite("2.4"), environments=(*others, gone("2.4.4")))
    assert error.reason == "NO_ENVIRONMENT"
    assert "there is no Python for it" in str(error)


def test_a_target_that_is_made_without_tensorflow_takes_no_wish() -> None:
    error = impossible(TargetRequest("compiled", tensorflow="2.15"), facts={"kind": "tflite"})
    assert error.reason == "TENSORFLOW_NOT_NEEDED"
    assert "compile" in str(error)


# What a target takes from an earlier step


def test_what_a_compiler_takes_bounds_the_converter_before_it() -> None:
    made = plan(TargetRequest("compiled"))
    assert made.step("convert").tensorflow == "2.14.1"
    assert "compiler" in made.step("convert").reason
    assert made.made_with("compile.compiled") == "2.14.1"
    assert not made.step("compile.compiled").tensorflow


def test_a_wish_for_what_a_compiler_makes_is_about_the_converter_before_it() -> None:
    made = plan(TargetRequest("compiled", tensorflow="1.15"))
    assert made.step("convert").tensorflow == "1.15.5"


def test_a_wish_that_a_compiler_cannot_take_says_so() -> None:
    error = impossible(TargetRequest("compiled", tensorflow="2.15"))
    assert error.reason == "TENSORFLOW_VERSION_IMPOSSIBLE"
    assert "compiler's compile takes what >=1.12,<2.15 made" in str(error)
    assert error.failure.details["possible"] == ["1.12.3", "1.13.2", "1.15.5", "2.4.4", "2.14.1"]


def test_every_version_of_what_is_compiled_is_every_version_that_the_compiler_takes() -> None:
    made = plan(TargetRequest("compiled", every_version=True))
    assert [delivery.label for delivery in made.deliveries] == [
        f"compiled@{version}" for version in ("1.12.3", "1.13.2", "1.15.5", "2.4.4", "2.14.1")
    ]
    assert [made.made_with(delivery.step) for delivery in made.deliveries] == [
        "1.12.3", "1.13.2", "1.15.5", "2.4.4", "2.14.1"
    ]  # fmt: skip
    left_out = next(note for note in made.notes if "compiler's compile takes" in note)
    assert "1.5.0, 1.9.0, 2.15.1, 2.16.2, 2.19.1, 2.21.0 are left out" in left_out


def test_a_wish_may_be_met_by_an_environment_that_is_required_for_something_else() -> None:
    made = plan(TargetRequest("tfjs", tensorflow="2.19"))
    assert converts_in(made, "tfjs") == "2.19.1"


# What can read the model


def test_plans_around_versions_that_cannot_read_the_source() -> None:
    facts = {**CHECKPOINT, "producer": 24}
    made = steps_of(plan(tflite(), facts=facts))
    assert made["freeze"].tensorflow == "1.13.2", "1.12 reads it only without an attribute, which comes second"
    assert made["reference"].tensorflow == "1.13.2"


def test_takes_a_version_that_drops_attributes_where_no_other_can_be_had() -> None:
    environments = (farm.BASE, farm.tensorflow("1.9.0"), farm.tensorflow("1.12.3"))
    assert plan(tflite(), environments=environments).step("freeze").tensorflow == "1.12.3"


def test_a_model_that_nothing_here_reads_is_refused_with_what_they_do_not_know() -> None:
    error = impossible(tflite(), environments=(farm.BASE, farm.tensorflow("1.9.0")))
    assert error.reason == "NO_ENVIRONMENT"
    assert LEAKY in str(error)
    assert error.failure.details["unreadable"] == {"1.9.0": LEAKY}


def test_dropping_attributes_does_not_help_where_nobody_drops_them() -> None:
    facts = {**CHECKPOINT, "kind": "tf.saved_model"}
    assert impossible(tflite("1.12"), facts=facts).reason == "TENSORFLOW_VERSION_IMPOSSIBLE"
    assert converts_in(plan(tflite("1.13"), facts=facts)) == "1.13.2"


def test_the_version_that_wrote_a_saved_model_runs_it() -> None:
    facts = {**CHECKPOINT, "kind": "tf.saved_model", "tensorflow": {**CHECKPOINT["tensorflow"], "writer": "2.14.0"}}
    made = plan(tflite(), facts=facts)
    assert made.step("reference").tensorflow == "2.14.1"
    assert "wrote the model (2.14.0)" in made.step("reference").reason


@pytest.mark.parametrize(
    ("keras", "readable", "version"),
    [
        ("2.15.0", ["2.4", "2.14", "2.15"], "2.15.1"),
        ("3.5.0", ["2.16", "2.21"], "2.21.0"),
        ("2.2.4-tf", ["1.13", "1.15", "2.4"], "2.4.4"),
    ],
)
def test_a_keras_model_is_run_by_what_reads_it(keras: str, readable: list[str], version: str) -> None:
    minors = {".".join(item.split(".")[:2]) for item in farm.VERSIONS}
    unreadable = dict.fromkeys(minors.difference(readable), "Keras of another kind")
    told = {"writer": "", "keras": keras, "readable": readable, "readable_stripped": {}, "unreadable": unreadable}
    made = plan(tflite(), facts={"kind": "keras.h5", "producer": 0, "tensorflow": told})
    assert made.step("reference").tensorflow == version


# Sources with edges of their own


@pytest.mark.parametrize("kind", ["tf.saved_model", "keras.h5"])
def test_takes_the_direct_way_and_inputs_that_the_source_itself_wants(kind: str) -> None:
    made = steps_of(plan(tflite(), facts={"kind": kind, "producer": 0}))
    assert made["sample"].inputs == {"model": "source"}
    assert made["sample"].edge == f"sample-{kind}"
    assert made["reference"].edge == f"run-{kind}"
    assert not any(step.edge in ("freeze", "rewrite") for step in made.values())


def test_checks_the_signature_that_is_converted() -> None:
    made = plan(tflite(options={"signature_key": "other"}), facts={"kind": "tf.saved_model", "producer": 0})
    used = {step.edge: step.options.get("signature_key") for step in made.steps}
    checked = ("convert-saved-model", "sample-tf.saved_model", "run-tf.saved_model")
    assert [used[edge] for edge in checked] == ["other"] * 3


def test_does_not_compare_with_another_signature() -> None:
    facts = {"kind": "tf.saved_model", "producer": 0}
    plugins = tuple(without_options(plugin, "run-tf.saved_model") for plugin in farm.WIDE_PLUGINS)
    made = plan(tflite(options={"signature_key": "other"}), facts=facts, plugins=plugins)
    assert "does not know the option signature_key" in made.deliveries[0].unverified
    assert plan(tflite(), facts=facts, plugins=plugins).deliveries[0].unverified == ""


def without_options(plugin: Plugin, name: str) -> Plugin:
    edges = (replace(edge, options_schema=farm.NO_OPTIONS) if edge.name == name else edge for edge in plugin.edges)
    return replace(plugin, edges=tuple(edges))


def test_verifies_with_the_shapes_that_the_target_is_made_for() -> None:
    made = plan(tflite(options={"input_shapes": {"x": [1, 8, 8, 3], "y": [-1, 4]}}))
    assert made.step("sample").options["input_shapes"] == {"x": [1, 8, 8, 3]}


def test_what_the_user_says_of_a_shape_goes_before_the_targets() -> None:
    made = plan(
        tflite(options={"input_shapes": {"x": [1, 8, 8, 3], "z": [2]}}),
        verification=VerificationRequest(input_shapes={"x": (1, 16, 16, 3)}),
    )
    assert made.step("sample").options["input_shapes"] == {"x": [1, 16, 16, 3], "z": [2]}


def test_targets_made_for_different_shapes_are_checked_with_inputs_of_their_own() -> None:
    made = plan(
        tflite(options={"input_shapes": {"x": [1, 8, 8, 3]}}), tflite(options={"input_shapes": {"x": [1, 9, 9, 3]}})
    )
    assert sum(step.edge == "sample" for step in made.steps) == 2
    assert sum(step.edge == "run-checkpoint" for step in made.steps) == 2


# Every version


def test_makes_a_result_with_every_version_that_can() -> None:
    made = plan(tflite(every_version=True))
    labels = [delivery.label for delivery in made.deliveries]
    versions = ["1.12.3", "1.13.2", "1.15.5", "2.4.4", "2.14.1", "2.15.1", "2.16.2", "2.19.1", "2.21.0"]
    assert labels == [f"tflite@{version}" for version in versions]
    assert [converts_in(made, label) for label in labels] == versions
    assert all(delivery.every == "tflite" for delivery in made.deliveries)
    assert sum(step.edge == "freeze" for step in made.steps) == 1
    assert sum(step.edge == "sample" for step in made.steps) == 1
    assert sum(step.edge == "run-checkpoint" for step in made.steps) == 1


def test_each_version_has_a_rewrite_a_run_and_a_comparison_of_its_own() -> None:
    made = plan(tflite("<1.14", every_version=True))
    assert [delivery.label for delivery in made.deliveries] == ["tflite@1.12.3", "tflite@1.13.2"]
    for version in ("1.12.3", "1.13.2"):
        label = f"tflite@{version}"
        assert made.step(f"rewrite.{label}").options["tensorflow"] == version
        assert made.step(f"run.{label}").tensorflow == version
        assert made.step(f"compare.{label}").inputs["outputs"] == f"run.{label}"
        assert "one of every version that can" in made.step(f"convert.{label}").reason


def test_contrasts_the_outputs_of_every_version_under_their_labels() -> None:
    made = plan(tflite("<1.14", every_version=True))
    contrast = made.step("contrast.tflite")
    assert contrast.inputs == {f"tflite@{version}": f"run.tflite@{version}" for version in ("1.12.3", "1.13.2")}
    assert contrast.partial
    assert {delivery.contrast for delivery in made.deliveries} == {"contrast.tflite"}


def test_one_version_alone_is_not_contrasted() -> None:
    made = plan(tflite("1.13", every_version=True))
    assert [delivery.label for delivery in made.deliveries] == ["tflite@1.13.2"]
    assert not any(step.edge == "contrast" for step in made.steps)


def test_says_which_versions_are_left_out_and_why() -> None:
    others = tuple(item for item in farm.ALL_ENVIRONMENTS if item.name != "tf-2.4")
    made = plan(tflite(every_version=True), environments=(*others, gone("2.4.4")))
    assert f"tflite: TensorFlow 1.5.0, 1.9.0 are left out: it cannot read the model: {LEAKY}" in made.notes
    assert "tflite: TensorFlow 2.4.4 is left out: there is no Python for it." in made.notes
    assert "tflite@2.4.4" not in [delivery.label for delivery in made.deliveries]


def test_every_version_of_a_window_without_any_is_refused_like_one() -> None:
    assert impossible(tflite("1.9", every_version=True)).reason == "TENSORFLOW_VERSION_IMPOSSIBLE"


def test_every_version_of_one_target_goes_together_with_the_best_of_another() -> None:
    made = plan(tflite("<1.14", every_version=True), tflite(), TargetRequest("tfjs"))
    labels = [delivery.label for delivery in made.deliveries]
    assert labels == ["tflite@1.12.3", "tflite@1.13.2", "tflite-2", "tfjs"]


def test_a_plan_survives_the_journal() -> None:
    made = plan(tflite("<1.14", every_version=True), tflite())
    assert Plan.from_json(made.to_json()) == made
