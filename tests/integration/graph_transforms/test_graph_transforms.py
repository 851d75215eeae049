"""The rewriter against TensorFlow 1.15's Graph Transform Tool: the same transforms in the same words, on the same nets.

Both results must compute the same to 1e-5 of the range, and the rewriter's must not have more nodes.
"""

import json
import subprocess
from dataclasses import dataclass

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from pytest_elsewhere import ROOT, cache_folder, corpus_folder

#: The first run installs the environment.
pytestmark = pytest.mark.timeout(1800)

PROGRAM = ROOT / "tests" / "integration" / "graph_transforms" / "programs" / "both_ways.py"
CODE = ["protos", "workers", "plugins/rewriter"]
TOLERANCE = 1e-5
BATCH = 2
#: The guide's recipe for deployment. Control dependencies go first: the tool drops those of what remove_nodes removes,
#: where the rewriter keeps the node.
DEPLOYMENT = (
    "remove_control_dependencies strip_unused_nodes remove_nodes(op=Identity, op=CheckNumerics) "
    "fold_constants(ignore_errors=true) "
    "fold_batch_norms fold_old_batch_norms"
)
EIGHT_BITS = "remove_nodes(op=Identity, op=CheckNumerics) fold_constants quantize_weights quantize_nodes"
#: Ranges that differ in the last place may round a value to the next of 255 steps, layer after layer.
EIGHT_BIT_STEPS = 4 / 255


@dataclass(frozen=True)
class Transform:
    """A transform and the layers of a net that it is there for.

    words: as both sides take them. before: what the tool does first, for both. ours: where the rewriter's words differ.
    is_exact: whether the model computes what it did.
    batch: images; TensorFlow's fused convolutions compute the first one rightly, and the rewriter fuses for one only.
    tool_fails: what TensorFlow says of what the tool made, where it refuses that.
    """

    words: str
    kinds: tuple[str, ...] = ("convolution",)
    before: str = ""
    ours: str = ""
    is_exact: bool = True
    tool_fails: str = ""
    tolerance: float = TOLERANCE
    batch: int = BATCH


BATCH_NORMS = ("fused_batch_norm", "fused_batch_norm_in_space", "fused_batch_norm_of_two", "old_batch_norm")
#: The tool's fold_constants prunes as well.
FOLDED = "remove_control_dependencies remove_nodes(op=Identity, op=CheckNumerics) fold_constants strip_unused_nodes"
TRANSFORMS = {
    "add_default_attributes": Transform(
        "add_default_attributes", ("convolution", "relu6"), "remove_attribute(attribute_name=dilations)"
    ),
    "add_default_attributes, pooling": Transform("add_default_attributes", ("pooling",)),
    "backport_concatv2": Transform("backport_concatv2", ("concatenation",)),
    "flatten_atrous_conv": Transform("flatten_atrous_conv", ("atrous", "relu6")),
    "fold_batch_norms": Transform("fold_batch_norms", ("scaled_convolution", "scaled_depthwise", "scaled_product")),
    "fold_batch_norms, computed": Transform("fold_batch_norms", ("batch_norm_of_operations",), FOLDED),
    "fold_old_batch_norms": Transform("fold_old_batch_norms", BATCH_NORMS, tool_fails="is not unique"),
    "fold_old_batch_norms, oldest": Transform("fold_old_batch_norms", ("old_batch_norm", "relu6")),
    "fold_old_batch_norms, v2 and v3": Transform(
        "fold_old_batch_norms", ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
    ),
    "fold_constants": Transform(
        "fold_constants strip_unused_nodes", ("computed_constants", "batch_norm_of_operations", "convolution")
    ),
    "freeze_requantization_ranges": Transform(
        'freeze_requantization_ranges(min_max_log_file="{log}")',
        ("convolution", "pooling"),
        FOLDED + " quantize_nodes",
        is_exact=False,
    ),
    "fuse_pad_and_conv": Transform("fuse_pad_and_conv", ("padded_convolution", "relu6"), batch=1),
    "fuse_resize_and_conv": Transform("fuse_resize_and_conv", ("resized_convolution", "relu6"), batch=1),
    "fuse_resize_pad_and_conv": Transform("fuse_resize_pad_and_conv", ("resized_padded_convolution", "relu6"), batch=1),
    "fuse_convolutions": Transform(
        "fuse_resize_pad_and_conv fuse_resize_and_conv fuse_pad_and_conv",
        ("resized_padded_convolution", "resized_convolution", "padded_convolution"),
        ours="fuse_convolutions",
        batch=1,
    ),
    "insert_logging": Transform("insert_logging(op=Relu, message=seen)"),
    "merge_duplicate_nodes": Transform("merge_duplicate_nodes", ("duplicates", "convolution")),
    "obfuscate_names": Transform("obfuscate_names", ("convolution", "relu6")),
    "obfuscate_names, colocated": Transform("obfuscate_names", ("loop",), tool_fails="expects to be colocated"),
    "quantize_nodes": Transform(
        "quantize_nodes", ("convolution", "pooling"), FOLDED, is_exact=False, tolerance=EIGHT_BIT_STEPS
    ),
    "quantize_weights": Transform(
        "quantize_weights(minimum_size=64)", ("plain_convolution", "scaled_convolution"), is_exact=False
    ),
    "remove_attribute": Transform("remove_attribute(attribute_name=data_format)"),
    "remove_control_dependencies": Transform("remove_control_dependencies"),
    "remove_device": Transform("remove_device"),
    "remove_nodes": Transform(
        "remove_nodes(op=Identity, op=CheckNumerics, op=StopGradient)", before="remove_control_dependencies"
    ),
    "rename_attribute": Transform("rename_attribute(old_attribute_name=_nothing, new_attribute_name=_something)"),
    "rename_op": Transform("rename_op(old_op_name=Relu6, new_op_name=Relu)", ("relu6",), is_exact=False),
    "round_weights": Transform("round_weights(num_steps=64)", is_exact=False),
    "set_device": Transform('set_device(device="/device:CPU:0")'),
    "sort_by_execution_order": Transform("sort_by_execution_order", ("convolution", "concatenation")),
    "sparsify_gather": Transform("sparsify_gather", ("gather",)),
    "strip_unused_nodes": Transform("strip_unused_nodes", ("convolution", "computed_constants")),
    "deployment": Transform(
        DEPLOYMENT, ("convolution", "batch_norm_of_operations", *BATCH_NORMS), tool_fails="is not unique"
    ),
    "eight bits": Transform(EIGHT_BITS, ("convolution", "pooling"), is_exact=False, tolerance=EIGHT_BIT_STEPS),
}
#: Whatever the net: these do not change what is computed.
SEQUENCES = {
    "deployment": DEPLOYMENT,
    "folding": FOLDED + " fold_batch_norms",
    "merging": "merge_duplicate_nodes sort_by_execution_order",
    "renaming": "obfuscate_names remove_device",
    "removing": "remove_control_dependencies remove_nodes(op=Identity) strip_unused_nodes",
    "rounding": "round_weights(num_steps=64)",
    "weights": "quantize_weights(minimum_size=256)",
}
#: What becomes inexact, and how far apart the two may be: constants of one value stay as they are in the rewriter,
#: and are moved by half a step by the tool.
INEXACT = {"rounding": 2e-4, "weights": TOLERANCE}


def _net_inputs(batch):
    return {"x": {"shape": [batch, 8, 8, 4], "low": -1, "high": 1}}


class BothWays:
    """The program in the environment of TensorFlow 1.15, which answers one case after another."""

    def __init__(self, environment, log):
        variables = {
            **environment.variables,
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": ":".join(str(ROOT / part) for part in CODE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": "/usr/bin:/bin",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        self._process = subprocess.Popen([environment.python, PROGRAM], env=variables, text=True, **pipes)

    def ask(self, **case):
        self._process.stdin.write(json.dumps({"before": "", "seeds": [0, 1], **case}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the program has died of {case}"
        found = json.loads(answer)
        assert "error" not in found, found["error"]
        return found

    def end(self):
        self._process.stdin.close()
        self._process.wait(60)


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    environments = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    status = environments.status("tf-1.15")
    if status.availability is Availability.UNAVAILABLE:
        pytest.skip(status.unavailable_reason)
    with (tmp_path_factory.mktemp("both") / "errors.txt").open("w") as log:
        program = BothWays(environments.ensure("tf-1.15", print), log)
        yield program
        program.end()
    environments.close()


def require_the_same(answer, *, is_exact, tool_fails="", tolerance=TOLERANCE):
    """The rewriter's numbers are the tool's, or nearer to the source's; and it has no more nodes.

    tool_fails: why TensorFlow refuses what the tool made; the source alone is the measure then.
    """
    errors = answer["errors"]
    assert tool_fails in answer["tool_fails"], answer["tool_fails"]
    assert bool(tool_fails) == bool(answer["tool_fails"]), answer["tool_fails"]
    if is_exact:
        assert errors["source rewriter"] <= TOLERANCE
    if not tool_fails:
        assert errors["tool rewriter"] <= tolerance or errors["source rewriter"] <= errors["source tool"], errors
        assert answer["nodes"]["rewriter"] <= answer["nodes"]["tool"], answer["operations"]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_a_net_as_the_tool_does(both_ways, name, seed):
    transform = TRANSFORMS[name]
    answer = both_ways.ask(
        net={"seed": seed, "kinds": transform.kinds, "layers": 5, "batch": transform.batch},
        inputs=_net_inputs(transform.batch),
        outputs=["y"],
        before=transform.before,
        tool=transform.words,
        rewriter=transform.ours or transform.words,
    )
    require_the_same(
        answer, is_exact=transform.is_exact, tool_fails=transform.tool_fails, tolerance=transform.tolerance
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_transforms_random_nets_as_the_tool_does(both_ways, sequence, seed):
    kinds = ["convolution", "batch_norm_of_operations", "scaled_depthwise", "FusedBatchNorm", "computed_constants"]
    kinds += ["duplicates", "scaled_product", "pooling", "atrous", "concatenation"]
    answer = both_ways.ask(
        net={"seed": 10 + seed, "kinds": kinds[seed:] + kinds[:seed], "layers": 12, "batch": BATCH},
        inputs=_net_inputs(BATCH),
        outputs=["y"],
        tool=SEQUENCES[sequence],
        rewriter=SEQUENCES[sequence],
    )
    require_the_same(answer, is_exact=sequence not in INEXACT, tolerance=INEXACT.get(sequence, TOLERANCE))


def test_gives_the_operations_back_that_old_versions_know(both_ways):
    """What becomes of a TensorArray is run by no TensorFlow that is left: the tool's own result is the measure."""
    answer = both_ways.ask(
        net={"seed": 1, "kinds": ["loop"], "layers": 2, "batch": BATCH},
        inputs=_net_inputs(BATCH),
        outputs=["y"],
        tool="backport_tensor_array_v3",
        rewriter="backport_tensor_array_v3",
        seeds=[],
    )
    assert answer["operations"]["rewriter"] == answer["operations"]["tool"] != answer["operations"]["source"]


def _image(size):
    return {"shape": [1, size, size, 3], "low": -1, "high": 1}


CORPUS = {
    "pnet": ("mtcnn/tf1.15.5/pnet/frozen.pb", {"pnet/input": _image(32)}, ["prob", "bbox"]),
    "rnet": ("mtcnn/tf1.15.5/rnet/frozen.pb", {"rnet/input": _image(24)}, ["prob", "bbox"]),
    "onet": ("mtcnn/tf1.15.5/onet/frozen.pb", {"onet/input": _image(48)}, ["prob", "bbox", "landmarks"]),
    "posenet": (
        "posenet/frozen.pb",
        {"image": _image(385)},
        [f"MobilenetV1/{head}_2/BiasAdd" for head in ("heatmap", "offset", "displacement_fwd", "displacement_bwd")],
    ),
    **{
        name: (f"kws-tf1-frozen/{name}.pb", {"wav_data": {"file": "yes_1000ms.wav"}}, ["labels_softmax"])
        for name in ("DS_CNN_S", "CRNN_S", "Basic_LSTM_S")
    },
}


#: The tool renames nodes and not those that lie beside them, and takes the control dependencies that say in which loop
#: a constant is.
_LOST = dict.fromkeys(["pnet", "rnet", "onet", "DS_CNN_S", "CRNN_S", "Basic_LSTM_S"], "expects to be colocated")
_LEFT_THE_LOOP = dict.fromkeys(["CRNN_S", "Basic_LSTM_S"], "has inputs from different frames")
TOOL_FAILS_AT = {"renaming": _LOST, **dict.fromkeys(["deployment", "folding", "removing"], _LEFT_THE_LOOP)}


@pytest.mark.parametrize("model", CORPUS)
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_transforms_the_corpus_as_the_tool_does(both_ways, sequence, model):
    folder = corpus_folder()
    if not folder.is_dir():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    path, inputs, outputs = CORPUS[model]
    found = {
        name: {"file": str(folder / "calibration" / "speech" / given["file"])} if "file" in given else given
        for name, given in inputs.items()
    }
    words = SEQUENCES[sequence]
    answer = both_ways.ask(
        path=str(folder / path), inputs=found, outputs=outputs, tool=words, rewriter=words, seeds=[0]
    )
    require_the_same(
        answer,
        is_exact=sequence not in INEXACT,
        tool_fails=TOOL_FAILS_AT.get(sequence, {}).get(model, ""),
        tolerance=INEXACT.get(sequence, TOLERANCE),
    )
