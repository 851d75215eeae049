"""Edits, rewrites that a user asks for, and proofs of both."""

import dataclasses

import farm
import pytest
from modelmill.errors import ModelmillError
from modelmill.planning import ConversionSpec, TargetRequest, VerificationRequest, plan_conversion
from modelmill.values import Artifact, File, Preference, Role, Target

SOURCE = Artifact("", (File("model.ckpt.index", "a" * 64, 10),))
EDITS = Artifact("graph.edits", (File("edits.txt", "b" * 64, 10),))
CHECKPOINT = {"kind": "tf.checkpoint", "producer": 134}
PROVE = VerificationRequest(prove=True)
OPTIONS = farm.options(target="", tensorflow="", rewrite=[])

REWRITER = farm.plugin(
    "rewriter",
    farm.edge("rewrite", Role.REWRITE, {"model": "tf.frozen_graph"}, "tf.frozen_graph", options_schema=OPTIONS),
    farm.edge("edit", Role.EDIT, {"model": "tf.frozen_graph", "edits": "graph.edits"}, "tf.frozen_graph"),
    farm.edge(
        "prove",
        Role.PROVE,
        {"model": "tf.frozen_graph", "inputs": "dataset"},
        "report.proof",
        options_schema=OPTIONS,
        requires=("tensorflow>=1.5",),
        preference=Preference.WRITER,
    ),
    farm.edge(
        "prove-edits",
        Role.PROVE,
        {"model": "tf.frozen_graph", "edits": "graph.edits", "inputs": "dataset"},
        "report.proof",
        requires=("tensorflow>=1.5",),
        preference=Preference.WRITER,
    ),
)
RUNS_GRAPHS = farm.edge(
    "run-frozen-graph",
    Role.RUN,
    {"model": "tf.frozen_graph", "inputs": "dataset"},
    "dataset",
    requires=("tensorflow>=1.5",),
    preference=Preference.WRITER,
)
FROZEN = Target("frozen-graph", "tf.frozen_graph", "", "freezer", farm.NO_OPTIONS)


def plugins():
    changed = {"rewriter": REWRITER}
    for plugin in farm.PLUGINS:
        if plugin.name == "freezer":
            changed["freezer"] = dataclasses.replace(plugin, targets=(FROZEN,))
        if plugin.name == "verifier":
            changed["verifier"] = dataclasses.replace(plugin, edges=(*plugin.edges, RUNS_GRAPHS))
    return tuple(changed.get(plugin.name, plugin) for plugin in farm.PLUGINS)


def plan(*targets: str, facts: dict = CHECKPOINT, **more: object):
    spec = ConversionSpec(source=SOURCE, targets=tuple(TargetRequest(target) for target in targets), **more)
    return plan_conversion(spec, facts, plugins(), farm.ENVIRONMENTS)


def steps(made) -> dict:
    return {step.id: dict(step.inputs) for step in made.steps}


def test_the_edited_model_is_what_is_rewritten_and_what_results_are_compared_with() -> None:
    made = steps(plan("tflite", "tfjs", edits=EDITS))
    assert made["edit"] == {"model": "freeze", "edits": "edits"}
    assert made["rewrite.tflite"] == made["rewrite.tfjs"] == {"model": "edit"}
    assert made["sample"] == {"model": "edit"}
    assert made["reference"] == {"model": "edit", "inputs": "sample"}


def test_nothing_is_edited_where_there_are_no_edits() -> None:
    made = steps(plan("tflite"))
    assert "edit" not in made
    assert made["reference"]["model"] == "source"


def test_a_frozen_graph_is_edited_and_given_out() -> None:
    made = plan("frozen-graph", edits=EDITS)
    assert [(item.label, item.step) for item in made.deliveries] == [("frozen-graph", "edit")]


def test_a_target_that_no_graph_leads_to_cannot_be_edited() -> None:
    odd = farm.plugin(
        "odd",
        farm.edge("go", Role.CONVERT, {"model": "tf.checkpoint"}, "odd"),
        targets=(Target("odd", "odd", "", "odd", farm.NO_OPTIONS),),
    )
    spec = ConversionSpec(source=SOURCE, targets=(TargetRequest("odd"),), edits=EDITS)
    with pytest.raises(ModelmillError, match="odd is not made by way of a graph that can be edited") as raised:
        plan_conversion(spec, CHECKPOINT, (*plugins(), odd), farm.ENVIRONMENTS)
    assert raised.value.reason == "EDITS_IMPOSSIBLE"


def test_a_frozen_graph_is_rewritten_where_rules_are_named_and_only_there() -> None:
    named = plan("frozen-graph", plugin_options={"rewriter": {"rewrite": ["prelu"]}})
    assert steps(named)["rewrite.frozen-graph"] == {"model": "freeze.frozen-graph"}
    (step,) = [step for step in named.steps if step.id == "rewrite.frozen-graph"]
    assert step.options == {"target": "frozen-graph", "tensorflow": "", "rewrite": ["prelu"]}
    assert [item.step for item in named.deliveries] == ["rewrite.frozen-graph"]
    assert "rewrite.frozen-graph" not in steps(plan("frozen-graph"))


def test_proves_every_rewrite_and_edit_on_inputs_for_what_they_make() -> None:
    made = plan("tflite", edits=EDITS, verification=PROVE)
    bound = steps(made)
    assert bound["prove.edit"] == {"model": "freeze", "edits": "edits", "inputs": "sample"}
    assert bound["prove.rewrite.tflite"] == {"model": "edit", "inputs": "sample.rewrite.tflite"}
    assert bound["sample.rewrite.tflite"] == {"model": "rewrite.tflite"}
    by_id = {step.id: step for step in made.steps}
    assert by_id["prove.rewrite.tflite"].options == by_id["rewrite.tflite"].options
    assert by_id["prove.rewrite.tflite"].environment == "tf-1.15"


def test_proves_without_verifying() -> None:
    made = plan("tflite", verification=VerificationRequest(skip=True, prove=True))
    assert "prove.rewrite.tflite" in steps(made)
    assert "compare.tflite" not in steps(made)


def test_says_that_there_is_nothing_to_prove_where_nothing_is_rewritten() -> None:
    made = plan("frozen-graph", verification=PROVE)
    assert "frozen-graph is made without a rewrite, so there is nothing to prove" in made.notes
    assert not any(step.startswith("prove.") for step in steps(made))


def test_says_what_cannot_be_proved_and_plans_the_rest() -> None:
    without = tuple(plugin if plugin.name != "rewriter" else farm.REWRITER for plugin in plugins())
    spec = ConversionSpec(source=SOURCE, targets=(TargetRequest("tflite"),), verification=PROVE)
    made = plan_conversion(spec, CHECKPOINT, without, farm.ENVIRONMENTS)
    why = "rewrite.tflite is not proved: no environment here can run what proves the rewrites of rewriter"
    assert why in made.notes
    assert "compare.tflite" in steps(made)


SAVED_MODEL = {"kind": "tf.saved_model", "producer": 0}
SAVED_MODELS = farm.plugin(
    "saved-models",
    farm.edge("freeze-saved-model", Role.CONVERT, {"model": "tf.saved_model"}, "tf.frozen_graph"),
    farm.edge("convert-saved-model", Role.CONVERT, {"model": "tf.saved_model"}, "tflite"),
    targets=(Target("tflite", "tflite", "", "saved-models", farm.NO_OPTIONS),),
)


def plan_saved_model(target: str, facts: dict = SAVED_MODEL, **more: object):
    others = tuple(plugin for plugin in plugins() if plugin.name != "tflite-quantizer" or target != "tflite")
    convert = farm.edge("convert", Role.CONVERT, {"model": "tf.frozen_graph"}, "tflite")
    own = dataclasses.replace(SAVED_MODELS, edges=(*SAVED_MODELS.edges, convert))
    spec = ConversionSpec(source=SOURCE, targets=(TargetRequest(target),), **more)
    return plan_conversion(spec, facts, (*others, own), farm.ENVIRONMENTS)


def test_a_saved_model_takes_the_way_on_which_it_can_be_changed_as_asked() -> None:
    assert "convert-saved-model.tflite" in steps(plan_saved_model("tflite"))
    edited = steps(plan_saved_model("tflite", edits=EDITS))
    assert edited["edit"] == {"model": "freeze-saved-model", "edits": "edits"}
    rewritten = steps(plan_saved_model("tflite", plugin_options={"rewriter": {"rewrite": ["prelu"]}}))
    assert rewritten["convert.tflite"] == {"model": "rewrite.tflite"}


def test_what_keeps_a_version_from_loading_a_saved_model_does_not_keep_it_from_the_graph_inside() -> None:
    slots = {"2.19": "it holds the state of a Keras 2 optimizer"}
    told = {"readable": ["1.15", "2.15"], "readable_stripped": {}, "unreadable": slots}
    inside = {"readable": ["1.15", "2.15", "2.19"], "readable_stripped": {}, "unreadable": {}}
    facts = {**SAVED_MODEL, "tensorflow": {**told, "frozen": inside}}
    made = {step.id: step.environment for step in plan_saved_model("tfjs", facts).steps}
    assert made["export.tfjs"] == "tfjs-4"


def test_edits_and_proofs_survive_the_journal() -> None:
    spec = ConversionSpec(source=SOURCE, targets=(TargetRequest("tflite"),), edits=EDITS, verification=PROVE)
    assert ConversionSpec.from_json(spec.to_json()) == spec


MEASURING = farm.plugin(
    "measuring",
    farm.edge("measure", Role.CONVERT, {"model": "tf.frozen_graph", "inputs": "dataset"}, "graph.ranges"),
    targets=(Target("ranges", "graph.ranges", "", "measuring", farm.NO_OPTIONS),),
)


def plan_measuring(**more: object):
    spec = ConversionSpec(source=SOURCE, targets=(TargetRequest("ranges"),), **more)
    return plan_conversion(spec, CHECKPOINT, (*plugins(), MEASURING), farm.ENVIRONMENTS)


def test_a_conversion_that_takes_a_dataset_gets_the_users() -> None:
    dataset = Artifact("dataset", (File("arrays.npz", "c" * 64, 10),))
    made = steps(plan_measuring(verification=VerificationRequest(dataset=dataset)))
    assert made["measure.ranges"] == {"model": "rewrite.ranges", "inputs": "dataset"}


def test_a_conversion_that_takes_a_dataset_says_that_there_is_none() -> None:
    with pytest.raises(ModelmillError, match="ranges is made with a dataset") as raised:
        plan_measuring()
    assert raised.value.reason == "DATASET_NEEDED"


def test_a_plugins_own_conversions_take_the_model_as_it_is() -> None:
    dataset = Artifact("dataset", (File("arrays.npz", "c" * 64, 10),))
    target = dataclasses.replace(MEASURING.targets[0], plugin="rewriter")
    own = dataclasses.replace(REWRITER, edges=(*REWRITER.edges, *MEASURING.edges), targets=(target,))
    others = tuple(plugin for plugin in plugins() if plugin.name != "rewriter")
    spec = ConversionSpec(
        source=SOURCE, targets=(TargetRequest("ranges"),), verification=VerificationRequest(dataset=dataset)
    )
    made = steps(plan_conversion(spec, CHECKPOINT, (*others, own), farm.ENVIRONMENTS))
    assert made["measure.ranges"] == {"model": "freeze", "inputs": "dataset"}
