"""The coordinator runs on a machine that has neither TensorFlow nor a worker."""

import json
import pkgutil
import subprocess
import sys

import modelmill

FORBIDDEN = (
    "tensorflow",
    "tflite_runtime",
    "tensorflowjs",
    "keras",
    "numpy",
    "modelmill_worker",
    "modelmill_freezer",
    "modelmill_inspector",
    "modelmill_rewriter",
    "modelmill_tflite_quantizer",
    "modelmill_tfjs_exporter",
    "modelmill_verifier",
)

IMPORT_ALL = """
import importlib, json, sys
names, forbidden = json.loads(sys.argv[1])
for name in forbidden:
    sys.modules[name] = None  # an import of it raises ModuleNotFoundError
for name in names:
    importlib.import_module(name)
"""


def all_modules() -> list[str]:
    found = pkgutil.walk_packages(modelmill.__path__, "modelmill.")
    return ["modelmill", *(module.name for module in found if not module.name.endswith("__main__"))]


def test_imports_every_module_without_tensorflow_worker_and_plugins():
    names = all_modules()
    assert len(names) > 50

    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, json.dumps([names, FORBIDDEN])], stderr=subprocess.PIPE, check=False
    )

    assert run.returncode == 0, run.stderr.decode()
