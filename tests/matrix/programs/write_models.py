"""Writes the net in every form that this TensorFlow saves: `write_models.py FOLDER`, in an environment's Python.

FOLDER gets a folder for each form, with the model and `golden.npz`: images and what this very TensorFlow made of them
(`scores`, `offsets`) before the model was saved. `written.json` says, form by form, null or why it could not be
written. Each form is written in a process of its own, so that none finds what another left in TensorFlow.
"""

import json
import os
import subprocess
import sys
from multiprocessing.pool import ThreadPool

FORMS = ("checkpoint", "saved_model_v1", "saved_model", "keras_saved_model", "keras_h5", "keras_v3")


def write(form, folder):
    """Write one form here, in this process."""
    import tensorflow as tf

    modern = not tf.__version__.startswith("1.")
    if modern:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    if form in ("checkpoint", "saved_model_v1"):
        import graph_models

        writers = {"checkpoint": graph_models.write_checkpoint, "saved_model_v1": graph_models.write_saved_model}
    elif form == "saved_model":
        if not modern:
            raise NotImplementedError("TensorFlow 1 has no tf.saved_model.save of its own; its form is saved_model_v1")
        import module_models

        writers = {"saved_model": module_models.write_saved_model}
    else:
        import keras_models

        writers = {
            "keras_h5": keras_models.write_h5,
            "keras_v3": keras_models.write_keras,
            "keras_saved_model": keras_models.write_saved_model,
        }
    writers[form](folder)


def main(folder):
    """Write every form, each in a process of its own, two at a time."""
    with ThreadPool(2) as pool:
        told = dict(zip(FORMS, pool.map(lambda form: write_apart(form, os.path.join(folder, form)), FORMS)))
    with open(os.path.join(folder, "written.json"), "w") as file:
        json.dump(told, file, indent=1)


def write_apart(form, folder):
    """None, or why the form could not be written: the last line that was said."""
    os.makedirs(folder)
    command = [sys.executable, os.path.abspath(__file__), folder, form]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = run.stdout.decode("utf-8", "replace").strip().splitlines()
    return None if run.returncode == 0 else (lines or ["it ended with {}".format(run.returncode)])[-1]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        write(sys.argv[2], sys.argv[1])
    else:
        main(sys.argv[1])
