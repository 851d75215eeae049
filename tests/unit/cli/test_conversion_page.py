"""A conversion as a page: what was rewritten is drawn, and nothing that a model says is markup."""

import re

from modelmill.cli import change_picture
from modelmill.cli.conversion_page import page_of
from modelmill.cli.summary import summarise
from modelmill.client import conversion_pb2
from modelmill.wire import struct_of

Step = conversion_pb2.Step
EVIL = "<script>alert(1)</script>"
RULES = [
    {
        "rule": "prelu",
        "fired": [{"before": ["sum", "neg"], "after": ["sum"]}],
        "refused": [{"node": "other", "reason": EVIL}],
        "pictures": [
            {
                "fired": 0,
                "before": [["neg", "Neg", ["x"]], ["sum", "Add", ["neg", "x:1", "^waited"]]],
                "after": [["sum", "Relu", ["x"]]],
            }
        ],
    }
]
PROOF = {
    "outputs": [
        {"output": "a", "max_abs_difference": 0.5, "of_range": 0.25},
        {"output": "b", "max_abs_difference": 0.75, "of_range": 0.125},
    ],
    "rules": [
        {"rule": "prelu", "fired": 1, "outputs": [{"output": "a", "max_abs_difference": 0.5, "of_range": 0.25}]},
        {"rule": "odd", "fired": 2, "why_not": "it cannot run"},
        {"rule": "blind", "fired": 3, "outputs": [{"output": "a", "max_abs_difference": None, "of_range": None}]},
    ],
    "tensorflow": "2.15.1",
}


def conversion():
    message = conversion_pb2.Conversion(id="c1", state=conversion_pb2.Conversion.SUCCEEDED)
    message.spec.display_name = EVIL
    for name, output, facts in (
        ("rewrite.tflite", "tf.frozen_graph", {"rules": RULES, "notes": [EVIL]}),
        ("prove.rewrite.tflite", "report.proof", {"proof": PROOF}),
    ):
        message.plan.steps.add(id=name, plugin="rewriter", environment="base", output=output)
        message.steps.add(id=name, state=Step.SUCCEEDED).facts.CopyFrom(struct_of(facts))
    return message


def test_draws_every_node_of_a_change_and_what_it_reads():
    picture = change_picture.picture_of(RULES[0]["pictures"][0])
    before, after = picture.split("<figcaption>after")
    assert re.findall(r"<title>(.*?)</title>", before) == ["x", "waited", "Neg neg", "Add sum"]
    assert before.count("<path") == 4
    assert before.count("class=waits") == 1
    assert re.findall(r"<title>(.*?)</title>", after) == ["x", "Relu sum"]


def test_draws_a_loop_without_end():
    circle = {"before": [["a", "Merge", ["c"]], ["b", "Add", ["a"]], ["c", "NextIteration", ["b"]]], "after": []}
    assert change_picture.picture_of(circle).count("<rect") == 3


def test_a_node_stands_below_what_it_reads():
    picture = change_picture.picture_of(RULES[0]["pictures"][0])
    tops = dict(re.findall(r'<title>(?:\w+ )?(\w+)</title><rect x="\d+" y="(\d+)"', picture.split("after")[0]))
    assert int(tops["x"]) < int(tops["neg"]) < int(tops["sum"])


def test_shows_rules_proofs_and_what_was_left_alone():
    page = page_of(conversion())
    assert "What rewrite.tflite changed" in page
    assert "the first 1 of 1 changes" in page
    assert "<title>Relu sum</title>" in page
    assert '<td data-value="0.25">0.25</td>' in page
    assert "prelu: left alone" in page


def test_nothing_that_a_model_says_is_markup():
    page = page_of(conversion())
    assert EVIL not in page
    # In the title, the heading, the note, and as a cell's text and the value that it is sorted by.
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 5


def test_the_summary_tells_the_worst_output_of_each_rule():
    text = summarise(conversion())
    rows = [line.split() for line in text.splitlines()]
    assert ["prove.rewrite.tflite", "prelu", "1", "0.5", "0.25"] in rows
    assert ["prove.rewrite.tflite", "odd", "2", "could", "not", "be", "run", "-"] in rows
    assert ["prove.rewrite.tflite", "blind", "3", "not", "comparable", "-"] in rows
    assert ["prove.rewrite.tflite", "all", "together", "0.5", "0.25"] in rows
    assert "note: prove.rewrite.tflite: what odd made could not be run: it cannot run" in text


def test_the_summary_tells_of_a_proof_that_failed():
    message = conversion()
    message.steps[1].state = Step.FAILED
    message.steps[1].facts.Clear()
    message.steps[1].failure.message = "It cannot be run."
    assert "note: prove.rewrite.tflite failed: It cannot be run." in summarise(message)
