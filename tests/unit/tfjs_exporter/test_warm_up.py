"""The warm-up, in a process of its own: TensorFlow's threads are chosen once for each."""

import importlib.util
import os
import subprocess
import sys

import pytest

# Not `importorskip`: tensorflowjs imports only with the exporter's stand-ins, which are for the process below.
if importlib.util.find_spec("tensorflowjs") is None:
    pytest.skip("needs an environment with tensorflowjs", allow_module_level=True)

#: Warms up, computes in a session that leaves the number of threads to TensorFlow, and prints how many computed.
_CODE = """
from pathlib import Path
import modelmill_tfjs_exporter as module
(plugin,) = module.modelmill_plugins()
plugin.preload()
plugin.warm_up()
import tensorflow as tf
v1 = tf.compat.v1 if hasattr(tf.compat, "v1") else tf

def ticks():
    stats = {task.name: (task / "stat").read_text() for task in Path("/proc/self/task").iterdir()}
    return {name: int(stat.rsplit(")", 1)[1].split()[11]) for name, stat in stats.items()}

with tf.Graph().as_default():
    number = v1.placeholder(tf.float32, [])
    ones = tf.fill([1500, 1500], number)
    product = tf.reduce_sum(tf.matmul(ones, ones))
    with v1.Session() as session:
        before = ticks()
        while sum(ticks().values()) - sum(before.values()) < 100:
            session.run(product, {number: 1.0})
        after = ticks()
spent = {name: after[name] - before.get(name, 0) for name in after}
print("computing", len([name for name in spent if spent[name] > 0.2 * sum(spent.values())]))
"""


def test_leaves_one_thread_to_compute_with_and_no_file(tmp_path):
    variables = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), TMPDIR=str(tmp_path))
    told = subprocess.check_output([sys.executable, "-c", _CODE], env=variables, cwd=str(tmp_path))
    assert b"computing 1" in told.splitlines()
    assert list(tmp_path.iterdir()) == []
