import subprocess
import sys


def modules_after(statement):
    code = statement + "; import sys; print(' '.join(sorted(sys.modules)))"
    return subprocess.check_output([sys.executable, "-c", code]).decode().split()


def test_the_zygote_imports_neither_grpc_nor_protobuf():
    loaded = modules_after("import modelmill_worker.zygote")
    assert not [name for name in loaded if name.split(".")[0] == "grpc" or name.startswith("google.protobuf")]


def test_the_host_imports_no_tensorflow():
    assert "tensorflow" not in modules_after("import modelmill_worker.host")
