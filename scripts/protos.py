"""The stubs in sdk/heroserve/v1, from protos/; ``scripts.generate`` writes them."""

from __future__ import annotations

import tempfile
from importlib.resources import files as package_files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parents[1] / "protos"


def files() -> dict[str, bytes]:
    """Proto path, package and import path are the same.

    Raises:
        RuntimeError: protoc refused a proto; it says why on standard error.
    """
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    wellknown = str(package_files("grpc_tools") / "_proto")
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main(["protoc", f"-I{PROTOS}", f"-I{wellknown}", *outputs, *sources]) != 0:
            raise RuntimeError("protoc failed")
        made = [path for path in Path(folder).rglob("*_pb2*") if path.is_file()]
        return {f"sdk/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in sorted(made)}
