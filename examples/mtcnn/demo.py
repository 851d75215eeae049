"""The demo: a TF1 checkpoint with trained weights becomes TFLite and TensorFlow.js, across three TensorFlow versions.

    python examples/mtcnn/demo.py [--folder demo]

Builds MTCNN's P-Net as a training-style checkpoint in the TensorFlow 1.15 environment, converts it with the
command as a user would, and converts it again to show the cache.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = Path(sys.executable).parent
MODELMILL = str(SCRIPTS / "modelmill")
#: Where the checkpoint is written, best first: TensorFlow 1.15 needs a Python 3.7, which not every machine has.
WRITERS = ("tf-1.15", "tf-2.15")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where the model and the results go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)

    heading("1. A TF1 checkpoint with trained weights")
    python = install_writer()
    build_checkpoint(python, folder)

    heading("2. The conversion")
    convert(folder)

    heading("3. The same command again")
    convert(folder)


def heading(text: str) -> None:
    print(f"\n==> {text}", flush=True)


def run(*command: str | Path, **variables: str) -> None:
    print("$", *(Path(part).name if part in (MODELMILL, sys.executable) else part for part in command), flush=True)
    environment = {**os.environ, **variables}
    code = subprocess.run([str(part) for part in command], env=environment, check=False).returncode
    if code:
        sys.exit(code)


def install_writer() -> Path:
    """Install the environment that writes the checkpoint; its interpreter."""
    environments = {item["name"]: item for item in listed_environments()}
    for name in WRITERS:
        environment = environments[name]
        if environment["state"] == "UNAVAILABLE":
            print(f"{name} cannot be had here: {environment['unavailable_reason']}")
            print("The plan will use the next environment that can do its steps.")
            continue
        run(MODELMILL, "environments", "install", name)
        path = next(item["path"] for item in listed_environments() if item["name"] == name)
        return Path(path) / "bin" / "python"
    sys.exit("No TensorFlow environment can be had on this machine; `modelmill environments list` says why.")


def listed_environments() -> list[dict]:
    output = subprocess.run([MODELMILL, "environments", "list", "--json"], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)["environments"]


def build_checkpoint(python: Path, folder: Path) -> None:
    if (folder / "model" / "graph.pbtxt").exists():
        print(f"{folder}/model is there already")
        return
    weights = folder / "weights"
    requirements = HERE / "requirements.txt"
    uv = [SCRIPTS / "uv", "pip", "install", "--quiet", "--python", sys.executable]
    run(*uv, "--no-deps", "--require-hashes", "--target", weights, "-r", requirements)
    beside = folder / "model.part"
    shutil.rmtree(beside, ignore_errors=True)
    run(python, HERE / "build_checkpoint.py", "--weights", weights, "--output", beside, TF_CPP_MIN_LOG_LEVEL="2")
    beside.rename(folder / "model")


def convert(folder: Path) -> None:
    model = folder / "model"
    command = [MODELMILL, "convert", model / "model.ckpt", "--graph", model / "graph.pbtxt"]
    start = time.monotonic()
    run(*command, "--to", "tflite", "--to", "tfjs", "--output", folder / "out")
    print(f"The command took {time.monotonic() - start:.2f} s.", flush=True)


if __name__ == "__main__":
    main()
