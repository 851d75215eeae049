"""What the inspector says of a .tflite is what TensorFlow's converter notes in it, and what its interpreter does."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from modelmill_inspector.tflite import describe_tflite
from pytest_elsewhere import cache_folder, corpus_folder

#: The first run installs the environments.
pytestmark = pytest.mark.timeout(1800)

#: Converts models of many operators in several ways, and tells how large the interpreter's arena is: the distance
#: between the first and the last byte of the tensors in it. Reference kernels ask for no memory of their own. The
#: arguments are a folder to write to, and models to look at besides.
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf

folder = Path(sys.argv[1])
rng = np.random.RandomState(1)

def weights(*shape):
    return tf.constant(rng.normal(size=shape), tf.float32)

@tf.function(input_signature=[tf.TensorSpec([1, 16, 16, 4], tf.float32)])
def image_net(x):
    x = tf.nn.relu6(tf.nn.conv2d(x, weights(3, 3, 4, 32), 1, "SAME") + weights(32))
    y = tf.nn.depthwise_conv2d(x, weights(3, 3, 32, 1), [1, 2, 2, 1], "SAME")
    y = tf.nn.conv2d_transpose(y, weights(3, 3, 32, 32), [1, 16, 16, 32], 2)
    x = tf.nn.max_pool2d(x + y, 2, 2, "VALID")
    x = tf.image.resize(x, [12, 12])
    x = tf.concat([x, tf.nn.sigmoid(x)], -1)
    x = tf.reshape(tf.reduce_mean(x, [1, 2]), [1, 64])
    return {"scores": tf.nn.softmax(tf.matmul(x, weights(64, 10)) + weights(10))}

@tf.function(input_signature=[tf.TensorSpec([2, 6, 8], tf.float32)])
def attention(x):
    scores = tf.nn.softmax(tf.matmul(x, x, transpose_b=True))
    x = tf.matmul(scores, x) * tf.math.rsqrt(tf.reduce_sum(x * x) + 1.0)
    x = tf.transpose(tf.gather(x, [1, 0, 3], axis=1), [0, 2, 1]) - tf.exp(-tf.reduce_max(x))
    return {"y": tf.matmul(tf.reshape(x, [16, 3]), weights(3, 400))}

def convert(function, name, change):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    shape = function.input_signature[0].shape
    change(converter, lambda: [[rng.normal(size=shape).astype(np.float32)] for _ in range(4)])
    (folder / (name + ".tflite")).write_bytes(converter.convert())

def as_float(converter, samples):
    pass

def with_small_weights(converter, samples):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]

def with_integers(converter, samples):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

def with_half(converter, samples):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]

def with_wide_integers(converter, samples):
    with_integers(converter, samples)
    wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    converter.target_spec.supported_ops = [wide]

for function, name in ((image_net, "image"), (attention, "attention")):
    convert(function, name + "-float32", as_float)
    convert(function, name + "-dynamic_range", with_small_weights)
    convert(function, name + "-int8", with_integers)
    convert(function, name + "-float16", with_half)
convert(image_net, "image-int16x8", with_wide_integers)

def arena_of(path):
    resolver = tf.lite.experimental.OpResolverType.BUILTIN_REF
    try:
        interpreter = tf.lite.Interpreter(model_path=str(path), experimental_op_resolver_type=resolver)
    except ValueError:  # there is no reference kernel of an operator's version
        return None
    interpreter.allocate_tensors()
    spans = {}
    for told in interpreter.get_tensor_details():
        try:
            tensor = interpreter.tensor(told["index"])()
        except ValueError:  # nothing was planned for it
            continue
        start = tensor.__array_interface__["data"][0]
        spans[told["index"]] = (start, start + tensor.nbytes)
    return spans

arenas = {}
for path in sorted(folder.glob("*.tflite")) + [Path(one) for one in sys.argv[2:]]:
    arenas[str(path)] = arena_of(path)
(folder / "arenas.json").write_text(json.dumps(arenas))
"""

CORPUS = (
    "edgetpu-pairs/2019/mobilenet_edgetpu_0.75_224_post_training_quant.tflite",
    "edgetpu-pairs/2019/mobilenet_v1_0.25_128_quant.tflite",
    "edgetpu-pairs/2019/mobilenet_v1_0.5_160_quant.tflite",
    "edgetpu-pairs/2021/deeplabv3_mnv2_dm05_pascal_quant.tflite",
    "edgetpu-pairs/2021/split_concat.tflite",
    "edgetpu-pairs/v16/dense_256.tflite",
    "kws-dscnn/kws_ref_model.tflite",
    "resnet8/pretrainedResnet.tflite",
    "resnet8/pretrainedResnet_quant.tflite",
)


OPERATORS_IN_PLACE = {"image-float32", "image-int8", "image-int16x8"}
#: Of the image net: convolution, depthwise and transposed convolution, and the layer at the end.
MULTIPLY_ADDS = 16 * 16 * 32 * 36 + 8 * 8 * 32 * 9 + 8 * 8 * 32 * 32 * 9 + 64 * 10


@pytest.fixture(scope="module")
def environments():
    made = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    yield made
    made.close()


@pytest.fixture(params=["tf-2.15", "tf-2.21"])
def told(request, environments, tmp_path):
    """Facts and the interpreter's own spans of tensors, by the path of each model."""
    status = environments.status(request.param)
    if status.availability is Availability.UNAVAILABLE:
        pytest.skip(status.unavailable_reason)
    environment = environments.ensure(request.param, print)
    models = [str(corpus_folder() / name) for name in CORPUS if (corpus_folder() / name).is_file()]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment.variables}
    subprocess.run([environment.python, "-c", PROGRAM, str(tmp_path), *models], env=environ, cwd=tmp_path, check=True)
    arenas = json.loads((tmp_path / "arenas.json").read_text())
    return {Path(path): (describe_tflite(Path(path), Path(path).name)[1], spans) for path, spans in arenas.items()}


def test_says_what_converter_and_interpreter_say(told):
    made = {path.stem: facts for path, (facts, _) in told.items() if "-" in path.stem}
    assert len(made) == 9
    for name, facts in made.items():
        assert facts["quantisation"]["scheme"] == name.split("-")[1], name
        assert facts["runtime_version"]["unknown"] == [], name
        # To 16 bits, the converter notes the version before it quantises.
        assert facts["runtime_version"]["agrees"] or name == "image-int16x8", (name, facts["runtime_version"])
        assert facts["metadata"]["conversion"]["source"] == "TF_CONCRETE_FUNCTIONS", name
        assert [end["dtype"] for end in facts["inputs"] + facts["outputs"]] == ["float32", "float32"], name
    assert made["image-float32"]["costs"]["multiply_adds"] == MULTIPLY_ADDS
    sizes = {path: (facts["arena_bytes"], arena_of(facts, spans)) for path, (facts, spans) in told.items() if spans}
    for path, (planned, real) in sizes.items():
        if path.stem in OPERATORS_IN_PLACE:
            assert 0.75 * planned <= real <= planned, path
        elif "-" not in path.stem:
            assert planned == real, path
    assert {path.stem for path in sizes} >= OPERATORS_IN_PLACE


def arena_of(facts, spans):
    """From the first to the last byte of what the interpreter planned."""
    planned = [span for index, span in spans.items() if is_planned(facts, int(index))]
    return max(end for _, end in planned) - min(start for start, _ in planned)


def is_planned(facts, index):
    """Whether a tensor lies in the arena: it is no constant, and an operator or the model has it."""
    if index >= facts["tensors_count"] or "constant_bytes" in facts["tensors"][index]:
        return False
    made = {one for operator in facts["operators"] for one in operator["outputs"]}
    return index in made or index in facts["subgraphs"][0]["inputs"]
