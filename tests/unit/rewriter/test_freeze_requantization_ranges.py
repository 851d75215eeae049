"""freeze_requantization_ranges: which values of a log become constants, and which options are refused."""

import numpy as np
import pytest
from modelmill_rewriter.rules.quantization.freeze_requantization_ranges import FreezeRequantizationRanges
from modelmill_rewriter.sequences import passes_for
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError

RANGE = "y/eightbit/requant_range"
LOG = """\
2016-11-04 10:08:39.123: I tensorflow/core/kernels/logging_ops.cc:79] nothing of a range
;y/eightbit/requant_range__print__;__requant_min_max:[{}][{}]
"""


@pytest.fixture
def quantized(new_graph, run_rules):
    """A graph with a RequantizationRange."""
    graph = new_graph()
    graph.placeholder("x", (2, 3))
    graph.constant("w", np.linspace(-0.5, 0.75, 6).reshape(3, 2))
    graph.outputs.append(graph.node("y", "MatMul", "x", "w"))
    return new_graph(run_rules(graph, "quantize_nodes").message, ["x"], ["y"])


def frozen(rewritten):
    return tuple(float(graph_def.constant_value(rewritten.find(f"{RANGE}/frozen_{end}"))) for end in ("min", "max"))


def rule(log="", **options):
    given = ", ".join(f"{key}={value}" for key, value in options.items())
    return f"freeze_requantization_ranges(min_max_log='{log}', {given})"


def test_makes_a_logged_range_constant(quantized, run_rules, compute):
    rewritten = run_rules(quantized, rule(LOG.format(-4.5, "7.25e0")))
    assert rewritten.fired == 1
    assert frozen(rewritten) == (-4.5, 7.25)
    assert "RequantizationRange" not in rewritten.operations
    x = np.float32([[1, -1, 2], [0, 1, 1]])
    before, after = (compute(message, {"x": x}, ["y"])[0] for message in (quantized.message, rewritten.message))
    assert np.abs(after - before).max() <= 11.75 / 255  # One step of the new range.


def test_leaves_single_extreme_values_out(quantized, run_rules):
    log = "".join(LOG.format(-number, number) for number in range(1, 101))
    # As TransformGraph counts: the sixth smallest, the 96th largest of a hundred.
    assert frozen(run_rules(quantized, rule(log))) == (-95, 96)
    assert frozen(run_rules(quantized, rule(log, min_percentile=0, max_percentile=0))) == (-100, 100)


def test_reads_a_log_beside_the_edits(quantized, run_rules, tmp_path):
    (tmp_path / "log.txt").write_text(LOG.format(-4, 5))
    (chosen,) = passes_for("", ["freeze_requantization_ranges(min_max_log_file=log.txt)"], (), folder=tmp_path)
    assert frozen(run_rules(quantized, chosen)) == (-4, 5)


def test_takes_a_range_by_hand(quantized, run_rules):
    assert frozen(run_rules(quantized, rule(LOG.format(-1, 1), range=RANGE + ":-2:3"))) == (-2, 3)


def test_does_the_same_again(quantized, new_graph, run_rules):
    first = run_rules(quantized, rule(LOG.format(-1, 1)))
    assert run_rules(new_graph(first.message, ["x"], ["y"]), rule(LOG.format(-1, 1))).fired == 0


def test_leaves_alone_when_no_range_is_known(quantized, run_rules):
    quantized.node("other", "RequantizationRange", "y/eightbit", "y/eightbit:1", "y/eightbit:2", T=None)
    quantized.outputs.append(quantized.node("low", "Identity", "other"))
    refused = run_rules(quantized, rule(LOG.format(-1, 1))).refused
    assert refused == {"other": "neither the log nor an option range names it"}


def test_leaves_alone_when_it_is_an_output(quantized, run_rules):
    quantized.outputs.append(RANGE)
    assert run_rules(quantized, rule(LOG.format(-1, 1))).refused == {RANGE: "it is an output of the model"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "no line of the log tells a range"),
        ("min_max_log='nothing'", "no line of the log tells a range"),
        ("min_max_log_file=/tmp/log.txt", "files can be named in edits only"),
        ("range=y/eightbit/requant_range:3:2", "is empty, 3.0 to 2.0"),
        ("range=y/eightbit/requant_range", "cannot be read; write node:low:high"),
        ("range=nowhere:0:1", "they name nowhere, which is not in the graph"),
        ("range=y:0:1", "they name y, which is no RequantizationRange"),
        ("range=y:0:1, min_percentile=101", "101.0 is no percentile"),
    ],
)
def test_refuses_ranges_that_cannot_be_used(options, said, quantized, run_rules):
    with pytest.raises(StepError, match=said) as raised:
        run_rules(quantized, f"freeze_requantization_ranges({options})")
    assert raised.value.reason == "INVALID_OPTION"


def test_takes_the_log_that_insert_logging_makes(new_graph, run_rules, compute, capfd):
    """Through all three steps: quantise and log, run on examples, freeze."""
    graph = new_graph()
    graph.placeholder("x", (2, 3))
    graph.constant("w", np.linspace(-0.5, 0.75, 6).reshape(3, 2))
    graph.outputs.append(graph.node("y", "MatMul", "x", "w"))
    quantized = run_rules(graph, "quantize_nodes").message
    logging = 'insert_logging(op=RequantizationRange, show_name=true, message="__requant_min_max:")'
    logged = run_rules(new_graph(quantized, ["x"], ["y"]), logging).message
    capfd.readouterr()
    for factor in (1, 2, 3):
        compute(logged, {"x": np.float32([[1, -1, 2], [0, 1, 1]]) * factor}, ["y"])
    log = capfd.readouterr().err

    rule = FreezeRequantizationRanges(min_max_log=log, min_percentile=0, max_percentile=0)
    low, high = frozen(run_rules(new_graph(quantized, ["x"], ["y"]), rule))

    results = 3 * np.float32([[1, -1, 2], [0, 1, 1]]) @ np.linspace(-0.5, 0.75, 6).reshape(3, 2)
    # What is measured are 32-bit results of 8-bit factors, with 0 among them; the log has six digits.
    np.testing.assert_allclose([low, high], [min(results.min(), 0), results.max()], atol=0.05)
