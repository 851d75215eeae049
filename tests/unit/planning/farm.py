"""A small farm to plan on: the plug-ins and environments of the demo, as values."""

from dataclasses import replace

from modelmill.values import Availability, Edge, Environment, Plugin, Preference, Role, Target

NO_OPTIONS = {"type": "object", "properties": {}, "additionalProperties": False}


def options(**defaults: object) -> dict:
    types = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    properties = {
        name: {"type": types[type(value)], "default": value, "description": ""} for name, value in defaults.items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def edge(name: str, role: Role, inputs: dict, output: str, **more: object) -> Edge:
    given = {"options_schema": NO_OPTIONS, "requires": (), "preference": Preference.NEWEST, "cost": 1.0, **more}
    return Edge(name=name, role=role, inputs=inputs, output=output, **given)


def plugin(name: str, *edges: Edge, targets: tuple = ()) -> Plugin:
    return Plugin(name, "1.0", 1, "", f"modelmill-{name}", f"code of {name}", edges, targets)


def environment(name: str, availability: Availability = Availability.INSTALLED, **provides: str) -> Environment:
    producers = {"1.15.5": 134, "2.15.1": 1645, "2.19.1": 2129}
    return Environment(
        name=name,
        summary="",
        digest=f"lock of {name}",
        python="3.11",
        provides=provides,
        graph_def_producer=producers.get(provides.get("tensorflow", "")),
        availability=availability,
        unavailable_reason=f"there is no Python for {name}." if availability is Availability.UNAVAILABLE else "",
    )


FREEZER = plugin(
    "freezer",
    edge(
        "freeze",
        Role.CONVERT,
        {"model": "tf.checkpoint"},
        "tf.frozen_graph",
        options_schema=options(outputs=[]),
        requires=("tensorflow>=1.5",),
        preference=Preference.WRITER,
    ),
    edge("normalise", Role.CONVERT, {"model": "tf.graph_def"}, "tf.frozen_graph", options_schema=options(outputs=[])),
)
REWRITER = plugin(
    "rewriter",
    edge(
        "rewrite",
        Role.REWRITE,
        {"model": "tf.frozen_graph"},
        "tf.frozen_graph",
        options_schema=options(target="", tensorflow=""),
    ),
)
QUANTIZER_OPTIONS = options(quantization="float")
QUANTIZER = plugin(
    "tflite-quantizer",
    edge(
        "convert",
        Role.CONVERT,
        {"model": "tf.frozen_graph"},
        "tflite",
        options_schema=QUANTIZER_OPTIONS,
        requires=("tensorflow>=1.15,<2.22",),
    ),
    targets=(Target("tflite", "tflite", "", "tflite-quantizer", QUANTIZER_OPTIONS),),
)
EXPORTER = plugin(
    "tfjs-exporter",
    edge("export", Role.CONVERT, {"model": "tf.frozen_graph"}, "tfjs.graph_model", requires=("tensorflowjs>=4.22,<5",)),
    targets=(Target("tfjs", "tfjs.graph_model", "", "tfjs-exporter", NO_OPTIONS),),
)
INSPECTOR = plugin("inspector", edge("inspect", Role.INSPECT, {"source": "*"}, "report.inspection"))
VERIFIER = plugin(
    "verifier",
    edge(
        "sample",
        Role.SAMPLE,
        {"model": "tf.frozen_graph"},
        "dataset",
        options_schema=options(seed=0, input_shapes={}),
    ),
    edge("adopt", Role.SAMPLE, {"model": "tf.frozen_graph", "dataset": "dataset"}, "dataset"),
    edge(
        "run-checkpoint",
        Role.RUN,
        {"model": "tf.checkpoint", "inputs": "dataset"},
        "dataset",
        requires=("tensorflow>=1.5",),
        preference=Preference.WRITER,
    ),
    edge("run-tflite", Role.RUN, {"model": "tflite", "inputs": "dataset"}, "dataset", requires=("tensorflow>=1.15",)),
    edge("run-tfjs", Role.RUN, {"model": "tfjs.graph_model", "inputs": "dataset"}, "dataset", requires=("tfjs-node",)),
    edge(
        "compare",
        Role.COMPARE,
        {"outputs": "dataset", "reference": "dataset"},
        "report.verification",
        options_schema={
            "type": "object",
            "properties": {"tolerance": {"type": ["number", "null"], "default": None}},
            "additionalProperties": False,
        },
    ),
)
PLUGINS = (FREEZER, REWRITER, QUANTIZER, EXPORTER, INSPECTOR, VERIFIER)

BASE = environment("base", numpy="2.0")
TF_1_15 = environment("tf-1.15", tensorflow="1.15.5")
TF_2_15 = environment("tf-2.15", tensorflow="2.15.1")
TFJS_4 = environment("tfjs-4", tensorflow="2.19.1", tensorflowjs="4.22.0")
NODE = environment("tfjs-node", **{"tfjs-node": "4.22.0"})
ENVIRONMENTS = (BASE, TF_1_15, TF_2_15, TFJS_4, NODE)


# Every version: environments of many versions, and plug-ins that use them all

VERSIONS = {
    "1.5.0": 24,
    "1.9.0": 26,
    "1.12.3": 27,
    "1.13.2": 27,
    "1.15.5": 134,
    "2.4.4": 561,
    "2.14.1": 1575,
    "2.15.1": 1645,
    "2.16.2": 1766,
    "2.21.0": 2474,
}


def tensorflow(version: str) -> Environment:
    major, minor, _ = version.split(".")
    made = environment(f"tf-{major}.{minor}", tensorflow=version)
    return replace(made, graph_def_producer=VERSIONS[version])


ALL_TENSORFLOWS = tuple(tensorflow(version) for version in VERSIONS)
ALL_ENVIRONMENTS = (BASE, *ALL_TENSORFLOWS, TFJS_4, NODE)

_ANY_TENSORFLOW = ("tensorflow>=1.5,<2.22",)
WIDE_QUANTIZER = plugin(
    "tflite-quantizer",
    edge(
        "convert",
        Role.CONVERT,
        {"model": "tf.frozen_graph"},
        "tflite",
        options_schema=options(quantization="float", input_shapes={}),
        requires=_ANY_TENSORFLOW,
        prefers="~=2.15.0",
    ),
    edge(
        "convert-saved-model",
        Role.CONVERT,
        {"model": "tf.saved_model"},
        "tflite",
        options_schema=options(quantization="float", input_shapes={}, signature_key=""),
        requires=_ANY_TENSORFLOW,
        prefers="~=2.15.0",
    ),
    edge(
        "convert-keras",
        Role.CONVERT,
        {"model": "keras.h5"},
        "tflite",
        options_schema=options(quantization="float", input_shapes={}),
        requires=("tensorflow>=1.9,<2.22",),
        prefers="~=2.15.0",
    ),
    targets=(
        Target(
            "tflite",
            "tflite",
            "",
            "tflite-quantizer",
            options(quantization="float", input_shapes={}, signature_key=""),
        ),
    ),
)
_SAMPLE_OPTIONS = options(seed=0, input_shapes={})
WIDE_VERIFIER = plugin(
    "verifier",
    *(item for item in VERIFIER.edges if item.name != "run-tflite"),
    edge(
        "run-tflite",
        Role.RUN,
        {"model": "tflite", "inputs": "dataset"},
        "dataset",
        requires=("tensorflow>=1.9",),
        preference=Preference.MAKER,
    ),
    *(
        edge(
            f"run-{kind}",
            Role.RUN,
            {"model": kind, "inputs": "dataset"},
            "dataset",
            options_schema=options(signature_key="") if kind == "tf.saved_model" else NO_OPTIONS,
            requires=("tensorflow>=1.5",),
            preference=Preference.WRITER,
        )
        for kind in ("tf.frozen_graph", "tf.saved_model", "keras.h5")
    ),
    *(
        edge(
            f"sample-{kind}",
            Role.SAMPLE,
            {"model": kind},
            "dataset",
            options_schema=options(seed=0, input_shapes={}, signature_key="")
            if kind == "tf.saved_model"
            else _SAMPLE_OPTIONS,
            requires=("tensorflow>=1.5",) if kind.startswith("keras") else (),
            preference=Preference.WRITER,
        )
        for kind in ("tf.saved_model", "keras.h5")
    ),
    edge("contrast", Role.CONTRAST, {"*": "dataset"}, "report.contrast"),
)
COMPILER = plugin(
    "compiler",
    edge("compile", Role.CONVERT, {"model": "tflite"}, "tflite.compiled", input_made_by=">=1.12,<2.15"),
    targets=(Target("compiled", "tflite.compiled", "", "compiler", NO_OPTIONS),),
)
WIDE_PLUGINS = (FREEZER, REWRITER, WIDE_QUANTIZER, EXPORTER, INSPECTOR, WIDE_VERIFIER, COMPILER)
