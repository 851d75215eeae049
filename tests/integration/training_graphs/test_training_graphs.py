"""Training graphs of every common make, trained for real on handwritten digits, become inference graphs.

The frozen graph must answer as the checkpoint does in a graph that its author built for inference, and so
must the training graph's own session where the verifier runs it.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from pytest_elsewhere import ROOT, cache_folder, corpus_folder

pytestmark = pytest.mark.timeout(1800)

PROGRAMS = Path(__file__).parent / "programs"
CODE = ["protos", "workers", "plugins/freezer", "plugins/verifier"]
#: Digits as float32 sums in another order; probabilities are at most 1.
TOLERANCE = 2e-6

#: The input that is found in a graph, and words that its changes have.
QUEUE = ("shuffle_batch", ("Batch normalisation", "Dropout", "cut at shuffle_batch", "optimisers"))
FED_QUEUE = ("fifo_queue_DequeueMany", ("is_training is false", "Conditions", "cut at fifo_queue"))
ITERATOR = ("IteratorGetNext", ("Moving averages stand in", "Dropout", "cut at IteratorGetNext"))
PLACEHOLDERS = ("images", ("training is false", "Conditions", "Gradients"))
BY_HAND = ("shuffle_batch", ("Moving averages stand in", "cut at shuffle_batch"))
KEEP = ("images", ("keep_prob is 1.0", "Dropout"))
PHASE = ("images", ("keras_learning_phase is false", "Conditions"))
ESTIMATOR = ("random_shuffle_queue_DequeueMany:1", ("Summaries", "any batch", "cut at random_shuffle"))
GRAPHS = {
    "slim_queue": (QUEUE, ("tf-1.5", "tf-1.12")),
    "slim_placeholder": (FED_QUEUE, ("tf-1.12",)),
    "data_iterator": (ITERATOR, ("tf-2.15", "tf-1.15", "tf-1.12")),
    "layers_placeholder": (PLACEHOLDERS, ("tf-1.12", "tf-1.15", "tf-2.15")),
    "conditions_of_2": (PLACEHOLDERS, ("tf-1.15",)),
    "averaged_by_hand": (BY_HAND, ("tf-1.12",)),
    "dropout_fed": (KEEP, ("tf-1.12", "tf-1.15", "tf-2.15")),
    "learning_phase": (PHASE, ("tf-1.12", "tf-1.15")),
    "estimator": (ESTIMATOR, ("tf-1.15", "tf-1.12")),
}
#: Each graph once in the usual run.
CASES = [
    pytest.param(environment, graph, *expectation, marks=() if environment == environments[-1] else pytest.mark.slow)
    for graph, (expectation, environments) in GRAPHS.items()
    for environment in environments
]


@pytest.fixture(scope="module")
def environments():
    made = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    yield made
    made.close()


@pytest.fixture(scope="module")
def trained(environments, tmp_path_factory):
    """Train a graph in an environment, once, and freeze it: (environment, graph) -> folder, facts, answers."""
    made = {}

    def train(environment, graph):
        if (environment, graph) not in made:
            folder = tmp_path_factory.mktemp(environment) / graph
            run(environments, environment, "train.py", graph, folder)
            made[environment, graph] = folder
        return made[environment, graph]

    return train


def run(environments, name, program, *arguments):
    status = environments.status(name)
    if status.availability is Availability.UNAVAILABLE:
        pytest.skip(status.unavailable_reason)
    digits = corpus_folder() / "calibration" / "mnist2000.npz"
    if not digits.is_file():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    environment = environments.ensure(name, print)
    variables = {
        **environment.variables,
        "MNIST": str(digits),
        "PYTHONPATH": ":".join(str(ROOT / part) for part in CODE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/bin:/bin",
    }
    command = [str(environment.python), str(PROGRAMS / program), *map(str, arguments)]
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-3000:]


def freeze(environments, name, folder, output, **values):
    run(environments, name, "freeze_and_answer.py", folder, output, json.dumps(values))
    with np.load(output / "answers.npz") as answers:
        return json.loads((output / "facts.json").read_text()), dict(answers)


def expected(folder):
    with np.load(folder / "expected.npz") as data:
        return dict(data)


@pytest.mark.parametrize(("environment", "graph", "given", "words"), CASES)
def test_infers_as_the_checkpoint_does(environments, trained, tmp_path, environment, graph, given, words):
    folder = trained(environment, graph)
    facts, answers = freeze(environments, environment, folder, tmp_path / "out")
    wanted = expected(folder)
    assert facts["inputs"] == [given]
    told = " ".join(change["what"] for change in facts["changes"])
    assert [word for word in words if word not in told] == []
    for who in ("frozen", "source"):
        np.testing.assert_allclose(answers[who], wanted["probabilities"], rtol=0, atol=TOLERANCE, err_msg=who)
        assert (answers[who].argmax(1) == wanted["probabilities"].argmax(1)).all()


def test_the_accuracy_is_that_of_a_trained_net(environments, trained, tmp_path):
    """Equal answers of a net that has learnt nothing would show little."""
    folder = trained("tf-1.12", "slim_queue")
    _, answers = freeze(environments, "tf-1.12", folder, tmp_path / "out")
    wanted = expected(folder)
    accuracy = (answers["frozen"].argmax(1) == wanted["labels"]).mean()
    assert accuracy == (wanted["probabilities"].argmax(1) == wanted["labels"]).mean()
    assert accuracy > 0.9


def test_any_tensor_can_be_cut_at(environments, trained, tmp_path):
    folder = trained("tf-1.12", "slim_placeholder")
    facts, answers = freeze(environments, "tf-1.12", folder, tmp_path / "out", inputs=["Mul:0=-1,28,28,1:float32"])
    assert facts["inputs"] == ["Mul"]
    np.testing.assert_allclose(answers["frozen"], expected(folder)["probabilities"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(answers["source"], expected(folder)["probabilities"], rtol=0, atol=TOLERANCE)


def test_moving_averages_of_the_variables_answer_where_they_are_asked_for(environments, trained, tmp_path):
    folder = trained("tf-1.12", "slim_queue")
    facts, answers = freeze(environments, "tf-1.12", folder, tmp_path / "out", use_moving_averages=True)
    wanted = expected(folder)
    assert "conv1/weights" in facts["moving_averages"]
    assert not set(facts["moving_averages"]) & set(facts["without_moving_average"])
    assert not np.allclose(wanted["averaged"], wanted["probabilities"], rtol=0, atol=100 * TOLERANCE)
    for who in ("frozen", "source"):
        np.testing.assert_allclose(answers[who], wanted["averaged"], rtol=0, atol=TOLERANCE, err_msg=who)
    accuracy = (answers["frozen"].argmax(1) == wanted["labels"]).mean()
    assert accuracy == (wanted["averaged"].argmax(1) == wanted["labels"]).mean()
