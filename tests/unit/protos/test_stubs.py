"""The committed stubs say what the .proto files say."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

PROTOS = Path(__file__).parents[3] / "protos"
FILES = sorted((PROTOS / "modelmill" / "v1").glob("*.proto"))


def compiled(tmp_path: Path) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """What today's compiler makes of the .proto files, by name."""
    output = tmp_path / "descriptors"
    include = Path(protoc.__file__).parent / "_proto"
    names = [str(file.relative_to(PROTOS)) for file in FILES]
    code = protoc.main(["protoc", f"-I{PROTOS}", f"-I{include}", f"--descriptor_set_out={output}", *names])
    assert code == 0
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    return {descriptor.name: descriptor for descriptor in descriptors.file}


def without_json_names(descriptor: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    """Compilers differ in whether they write the derived json_name of a field; nothing else is dropped."""
    copy = descriptor_pb2.FileDescriptorProto()
    copy.CopyFrom(descriptor)

    def clear(message: descriptor_pb2.DescriptorProto) -> None:
        for field in message.field:
            field.ClearField("json_name")
        for nested in message.nested_type:
            clear(nested)

    for message in copy.message_type:
        clear(message)
    return copy


def test_every_proto_file_has_stubs_that_say_the_same(tmp_path: Path) -> None:
    fresh = compiled(tmp_path)
    assert len(fresh) == len(FILES) == 5
    for name, descriptor in fresh.items():
        module = importlib.import_module(f"modelmill_protos.v1.{Path(name).stem}_pb2")
        committed = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(committed)
        assert without_json_names(committed) == without_json_names(descriptor), name


def test_every_rpc_has_a_stub() -> None:
    for file in FILES:
        text = file.read_text()
        module = importlib.import_module(f"modelmill_protos.v1.{file.stem}_pb2_grpc")
        for service in re.findall(r"^service (\w+)", text, re.MULTILINE):
            servicer = getattr(module, f"{service}Servicer")
            body = text.split(f"service {service} {{")[1].split("\n}")[0]
            for rpc in re.findall(r"rpc (\w+)", body):
                assert hasattr(servicer, rpc), f"{service}.{rpc}"


def test_stubs_use_nothing_that_protobuf_3_19_lacks() -> None:
    for stub in (PROTOS / "modelmill_protos" / "v1").glob("*_pb2.py"):
        text = stub.read_text()
        assert "google.protobuf.internal import builder" not in text, f"{stub.name} needs protobuf 3.20"
        assert "runtime_version" not in text, f"{stub.name} needs protobuf 5"


def test_generating_anew_changes_nothing(tmp_path: Path) -> None:
    python = find_python_3_10()
    if python is None:
        pytest.skip("grpcio-tools 1.48.2 needs Python 3.6 to 3.10, and this machine has no 3.10")
    shutil.copytree(PROTOS, tmp_path / "protos")
    script = tmp_path / "protos" / "generate"
    uv = Path(sys.executable).parent / "uv"
    environment = {**os.environ, "UV": str(uv), "PYTHON": python}
    run = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for stub in sorted((PROTOS / "modelmill_protos" / "v1").glob("*_pb2*")):
        assert (tmp_path / "protos" / "modelmill_protos" / "v1" / stub.name).read_text() == stub.read_text(), stub.name


def find_python_3_10() -> str | None:
    candidates = [shutil.which("python3.10"), *sorted(Path.home().glob(".pyenv/versions/3.10.*/bin/python"))]
    for candidate in filter(None, candidates):
        run = subprocess.run([str(candidate), "-V"], capture_output=True, text=True, check=False)
        if run.stdout.startswith("Python 3.10."):
            return str(candidate)
    return None
