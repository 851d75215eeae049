"""Writes the net in every form that this TensorFlow saves: `write_models.py FOLDER`, in an environment's Python.

FOLDER gets a folder for each form, with the model and `golden.npz`: images and what this very TensorFlow made of them
(`scores`, `offsets`) before the model was saved. `written.json` says, form by form, null or why it could not be
written. Each form is written in a process of its own, so that none finds what another left in TensorFlow; the processes
are forked from this one, which has imported TensorFlow and done nothing with it.
"""

import json
import os
import sys
import traceback

import tensorflow as tf

FORMS = ("checkpoint", "saved_model_v1", "saved_model", "keras_saved_model", "keras_h5", "keras_v3")


def write(form, folder):
    """Write one form here, in this process."""
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
    """Write every form, two at a time."""
    told, running = {}, []
    for form in FORMS:
        if len(running) == 2:
            ended(running.pop(0), folder, told)
        running.append((form, begun(form, os.path.join(folder, form))))
    for one in running:
        ended(one, folder, told)
    with open(os.path.join(folder, "written.json"), "w") as file:
        json.dump(told, file, indent=1)


def begun(form, folder):
    """The process that writes a form."""
    os.makedirs(folder)
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    log = os.open(os.path.join(folder, "log.txt"), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        write(form, folder)
    except BaseException:  # noqa: BLE001 - a forked process must not go on where its parent is
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def ended(running, folder, told):
    """Wait for a form's process, and keep null or why it could not be written: the last line that was said."""
    form, child = running
    status = os.waitpid(child, 0)[1]
    with open(os.path.join(folder, form, "log.txt"), "rb") as file:
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    told[form] = None if status == 0 else (lines or ["it ended with status {}".format(status)])[-1]


if __name__ == "__main__":
    main(sys.argv[1])
