"""The stubs in sdk/heroserve/v1, from protos/; ``scripts.generate`` writes them."""

from __future__ import annotations

import tempfile
from importlib.resources import files as package_files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parents[1] / "protos"


def files() -> dict[str, bytes]:
    """Proto path, package and import path are the same.

    Raises:
        RuntimeError: protoc refused a proto; it says why on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        _run(*(f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")))
        made = [path for path in Path(folder).rglob("*_pb2*") if path.is_file()]
        return {f"sdk/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in sorted(made)}


def descriptors() -> list[FileDescriptorProto]:
    """What the protos say, their comments included, each file behind those that it imports.

    Raises:
        RuntimeError: as ``files``.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "protos"
        _run("--include_source_info", f"--descriptor_set_out={made}")
        return list(FileDescriptorSet.FromString(made.read_bytes()).file)


def _run(*outputs: str) -> None:
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    wellknown = str(package_files("grpc_tools") / "_proto")
    if protoc.main(["protoc", f"-I{PROTOS}", f"-I{wellknown}", *outputs, *sources]) != 0:
        raise RuntimeError("protoc failed")
