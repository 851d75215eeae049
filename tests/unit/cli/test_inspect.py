"""What `modelmill inspect` says of a model, on a screen, as JSON, and with its exit code."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspections import mobile_net, picture, support, tensor
from modelmill.cli.inspect_page import page_of
from modelmill.cli.inspect_text import HEIGHT, WIDTH, finding_text, summary_of
from modelmill.cli.inspect_versions import describe_support, describe_versions
from modelmill.client import collect

#: Names of facts, and of what is in them.
WORDS = sorted({*mobile_net(), *(key for value in mobile_net().values() if isinstance(value, dict) for key in value)})
WORDS += ["signatures", "tags", "edgetpu", "layers", "name", "shape", "severity", "count"]


@pytest.fixture
def source(tmp_path):
    (tmp_path / "frozen.pb").write_bytes(bytes(2048))
    return collect(tmp_path / "frozen.pb")


def part(summary, label):
    """The lines beside a label, as one."""
    lines = summary.splitlines()
    (first,) = (number for number, line in enumerate(lines) if line.startswith(label))
    last = next((number for number in range(first + 1, len(lines)) if lines[number][0] != " "), len(lines))
    return " ".join(line.strip() for line in [lines[first].removeprefix(label), *lines[first + 1 : last]])


# Versions


def versions(**told):
    known = {"writer": "", "keras": "", "readable": [], "readable_stripped": {}, "unreadable": {}}
    return describe_versions({**known, **told})


def test_joins_versions_that_follow_one_another():
    assert versions(readable=["1.9", "1.10", "1.12", "2.0"], unreadable={"1.11": "it is odd"}) == (
        "read by 1.9 to 1.10, 1.12 to 2.0; not by 1.11: it is odd"
    )


def test_names_the_writer_and_says_each_reason_once():
    assert versions(
        writer="1.15.5",
        readable=["1.14", "1.15"],
        readable_stripped={"1.12": ["Conv2D.explicit_paddings"], "1.13": ["Conv2D.explicit_paddings"]},
        unreadable={"1.10": "too old", "1.11": "too old"},
    ) == (
        "written by TensorFlow 1.15.5; read by 1.14 to 1.15; by 1.12 to 1.13 without "
        "Conv2D.explicit_paddings; not by 1.10 to 1.11: too old"
    )


def test_names_the_keras_that_wrote_it():
    assert versions(keras="3.8.0", readable=["2.16"]) == "written by Keras 3.8.0; read by 2.16"


def test_support_is_a_sentence_for_each_target():
    targets = [
        support("tflite", "1.9", convertible=False, missing={"B": 1, "A": 2}),
        support("tflite", "1.10", convertible=False, missing={"B": 1, "A": 2}),
        support("tflite", "2.4", needs="custom", custom={"A": 1}),
        support("tflite", "2.15", needs="builtin"),
        {**support("tfjs", "3.0 to 4.22", needs="builtin"), "versions": ["3.0", "4.22"]},
        support("edgetpu", "", convertible=False),
    ]
    assert list(describe_support(targets)) == [
        "tflite: not convertible in 1.9 to 1.10: no A, B; needs custom ops in 2.4: A; builtin in 2.15",
        "tfjs: builtin in 3.0 to 4.22",
        "edgetpu: not convertible: it is not said why",
    ]


# The summary


def test_a_mobile_net_fits_a_screen_with_all_that_summarize_graph_says(source):
    summary = summary_of(mobile_net(), source)
    assert len(summary.splitlines()) <= HEIGHT
    assert max(map(len, summary.splitlines())) <= WIDTH
    assert part(summary, "model") == "frozen.pb: tf.graph_def, 2.0 KiB, 152 nodes"
    assert part(summary, "inputs") == "image  float32  1x?x?x3  Placeholder"
    assert "heatmap  float32  1x?x?x17  BiasAdd" in part(summary, "outputs")
    assert "also possible: forward, backward" in part(summary, "outputs")
    assert part(summary, "parameters") == "1,258,195 (float32 1,258,187, int32 8), 4.8 MiB"
    assert part(summary, "operations") == "Const 62, BiasAdd 31, Relu6 27, Conv2D 18, Placeholder 1 (5 kinds)"
    assert part(summary, "structure") == "0 control edges; no control flow; 0 functions"


def test_says_what_it_costs_what_can_become_of_it_and_what_is_dangerous(source):
    summary = summary_of(mobile_net(), source)
    compute = part(summary, "compute")
    assert compute.startswith("1.23 G multiply-adds; activations 10.0 MiB, at most 3.0 MiB at once; for image=1x224")
    assert "MobilenetV1/Conv2d_0_pointwise/Conv2D (7%)" in compute
    assert compute.endswith("not counted: Mystery 2")
    assert part(summary, "unknown") == "76 tensors of unknown size: image has no size of its own"
    assert part(summary, "rewrites") == "tflite, tfjs: remove_identities at 4 nodes; prelu nearly at 1"
    assert part(summary, "security") == (
        "HIGH: 2 findings in 2 graphs, 152 nodes high FILE_ACCESS at read (3 times): it reads a file "
        "low UNKNOWN_OPERATION at odd: not known"
    )
    assert part(summary, "notes") == "It was a long way."


def test_says_nothing_of_what_it_does_not_know(source):
    assert summary_of({"kind": "tflite"}, source) == "model         frozen.pb: tflite, 2.0 KiB"


def test_a_model_with_more_than_a_screen_of_everything_is_cut_to_one(source):
    facts = mobile_net()
    long = "a/very/long/name/of/a/node/that/is/found/in/graphs/of/people/who/nest/scopes/" * 2
    facts["outputs"] = [tensor(f"{long}{number}", "float32", [1]) for number in range(80)]
    facts["signatures"] = [{"key": long, "inputs": facts["inputs"], "outputs": facts["outputs"]}] * 9
    facts["operations"] = {f"AnOperation{number}": 1 for number in range(500)}
    facts["notes"] = [long] * 50
    facts["security"]["findings"] *= 40
    summary = summary_of(facts, source)
    assert len(summary.splitlines()) <= HEIGHT
    assert max(map(len, summary.splitlines())) <= WIDTH
    assert "more lines" in summary


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(WORDS), JSON))
def test_whatever_a_plug_in_says_is_shown_or_left_out_but_fits(facts):
    with TemporaryDirectory() as folder:
        (Path(folder) / "model").write_bytes(b"")
        summary = summary_of({"kind": "x", **facts}, collect(Path(folder) / "model"))
    assert len(summary.splitlines()) <= HEIGHT
    assert page_of("a model", {"kind": "x", **facts}).endswith("</html>\n")


def test_nothing_that_a_model_says_steers_the_terminal(source):
    facts = mobile_net()
    facts["outputs"] = [tensor("a\x1b[2Jb\u202ec", "float32", [1])]
    facts["security"]["findings"][0]["node"] = "x\x1b]0;y\x07"
    summary = summary_of(facts, source)
    assert "a\\x1b[2Jb\\u202ec" in summary
    assert all(character.isprintable() for character in summary.replace("\n", ""))
    assert finding_text(facts["security"]["findings"][0]).isprintable()


# The command


async def test_json_is_the_answer_of_the_farm_with_whole_numbers(modelmill, farm, model):
    farm.conversions.facts = mobile_net()
    run = await modelmill("inspect", model, "--json")
    assert run.code == 0
    assert json.loads(run.out) == {"model": mobile_net()}
    assert re.search(r'"multiply_adds": 1234567890[,\n]', run.out)  # the order of a Struct's keys is not told


async def test_every_option_reaches_the_farm(modelmill, farm, model, tmp_path):
    farm.conversions.facts = {**mobile_net(), "picture": picture(("image", "Placeholder"))}
    options = ["--signature", "serve", "--tag", "a", "--tag", "b", "--input-shape", "image=1,224,224,3"]
    run = await modelmill("inspect", model, *options, "--output-node", "heatmap", "--html", "page.html")
    assert run.code == 0, run.err
    assert farm.conversions.inspected == [
        {
            "outputs": ["heatmap"],
            "input_shapes": {"image": [1, 224, 224, 3]},
            "signature_key": "serve",
            "tags": ["a", "b"],
            "picture": True,
        }
    ]
    assert run.out.splitlines()[-1] == "page: page.html"
    assert "inspecting graph.pb ..." in run.err
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir() if "page" in file.name] == ["page.html"]


@pytest.mark.parametrize(
    ("highest", "threshold", "code"),
    [
        ("high", None, 0),
        ("high", "critical", 0),
        ("high", "high", 3),
        ("high", "low", 3),
        ("low", "medium", 0),
        ("info", "low", 0),
        ("none", "low", 0),
        ("unheard-of", "critical", 3),
    ],
)
async def test_fail_on_ends_with_3_where_a_finding_is_severe_enough(modelmill, farm, model, highest, threshold, code):
    finding = {"severity": highest, "reason": "SOME_REASON", "node": "x", "op": "Y", "text": "it is so"}
    findings = [] if highest == "none" else [finding]
    farm.conversions.facts = {**mobile_net(), "security": {"highest": highest, "findings": findings, "scanned": {}}}
    run = await modelmill("inspect", model, "--json", *([] if threshold is None else ["--fail-on", threshold]))
    assert run.code == code
    assert json.loads(run.out)["model"]["security"]["highest"] == highest
    assert ("SOME_REASON at x: it is so" in run.err) == (code == 3)


async def test_fail_on_does_not_let_pass_what_was_not_scanned(modelmill, farm, model):
    farm.conversions.facts = {"kind": "dataset"}
    run = await modelmill("inspect", model, "--fail-on", "critical")
    assert run.code == 3
    assert "not scanned" in run.err
