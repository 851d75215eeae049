import os
import subprocess
import sys

from modelmill_worker import processes


def test_counts_a_process_and_what_it_started():
    code = "import subprocess; subprocess.Popen(['sleep', '60']); print('up', flush=True); input()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert parent.stdout.readline() == b"up\n"
        family = list(processes.tree(parent.pid))
        assert len(family) == 2
        assert processes.tree_memory(parent.pid) > processes.resident_memory(parent.pid)
        assert set(processes.children(parent.pid)) == set(processes._children_by_search(parent.pid))
        assert parent.pid in processes.children(os.getpid())
    finally:
        for pid in reversed(family):
            processes.kill(pid)
        parent.communicate()


def test_a_process_that_is_gone_has_nothing():
    process = subprocess.Popen(["true"])
    process.wait()
    assert processes.children(process.pid) == []
    assert processes.resident_memory(process.pid) == 0
    processes.kill(process.pid)
