"""What a spare does: a process that is forked ahead, in the folder that its step will have, and waits for the step.

It is confined like any step process before it warms up: Landlock binds a thread and those that it starts later, and
libraries start theirs when they are first used.
"""

import json
import os
import shutil
import signal
import socket
import traceback
from typing import Callable, Dict, Mapping

from modelmill_worker import step_process
from modelmill_worker.step_folder import StepFolder

#: After so many seconds of warm-up the kernel ends a spare, stuck in native code or not.
WARM_UP_SECONDS = 60
#: Characters of a traceback that are passed on.
_TRACEBACK = 4000


def wait_for_step(folder: StepFolder, warm_ups: Mapping[str, Callable[[], None]], line: socket.socket) -> None:
    """Warm up, tell the zygote so as ``{"raised": {plugin: traceback}}``, and return when the step has come.

    Ends the process where the zygote hangs up instead.
    """
    raised = _warm_up(warm_ups)
    _forget_warm_up(folder)
    line.send(json.dumps({"raised": raised}).encode("utf-8"))
    if not line.recv(1):
        os._exit(0)
    line.close()


def _warm_up(warm_ups: Mapping[str, Callable[[], None]]) -> Dict[str, str]:
    signal.alarm(WARM_UP_SECONDS)
    raised = {}
    for name, hook in sorted(warm_ups.items()):
        try:
            hook()
        except (Exception, SystemExit):  # noqa: BLE001 - it runs a third party's code, and the step may need none of it
            raised[name] = traceback.format_exc()[-_TRACEBACK:]
    signal.alarm(0)
    return raised


def _forget_warm_up(folder: StepFolder) -> None:
    """Leave the folder as a step must find it: nothing in it and nothing in its log, which is our standard output."""
    for path in folder.scratch.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(str(path))
        else:
            path.unlink()
    step_process.flush()
    os.ftruncate(1, 0)
