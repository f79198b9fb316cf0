"""Files of weights as they come out of a download that went wrong, and worse."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4000000000\n"

Edit = Callable[[Path], None]


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header, and what follows it."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(header: Any, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def bytewise(change: Callable[[bytes], bytes]) -> Edit:
    """Of a file."""

    def edit(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return edit


def headerwise(change: Callable[[dict[str, Any]], Any]) -> Edit:
    """Of a safetensors file's header, in place; what ``change`` returns takes its place."""

    def rewritten(data: bytes) -> bytes:
        header, body = header_of(data)
        changed = change(header)
        return with_header(header if changed is None else changed, body)

    return bytewise(rewritten)


def _first(header: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = next(value for name, value in header.items() if name != "__metadata__")
    return entry


def _swap(path: Path) -> None:
    """Two tensors of one size in one place."""
    header, body = header_of(path.read_bytes())
    names = [name for name in header if name != "__metadata__"]
    one, other = names[:2]
    header[other]["data_offsets"] = header[one]["data_offsets"]
    path.write_bytes(with_header(header, body))


# What is done to a safetensors file, and what is said of it.
SAFETENSORS: dict[str, tuple[Edit, str]] = {
    "a Git LFS pointer": (
        lambda path: _put(path, POINTER),
        "is a Git LFS pointer, not the file itself: run `git lfs pull`",
    ),
    "a pointer with a mark before it": (lambda path: _put(path, b"\xef\xbb\xbf" + POINTER), "is a Git LFS pointer"),
    "nothing": (lambda path: _put(path, b""), "is empty; download it again"),
    "a web page": (lambda path: _put(path, b"\n<!DOCTYPE html><html>Sign in</html>"), "is a web page of 36 bytes"),
    "text": (lambda path: _put(path, b"Entry not found, and more of it"), "is no safetensors file"),
    "a few bytes": (bytewise(lambda data: data[:5]), "is no safetensors file"),
    "cut in its header": (bytewise(lambda data: data[:1000]), "is cut short: 1000 bytes, and its header alone has "),
    "cut behind its header": (
        bytewise(lambda data: data[:-1]),
        "is cut short: {short} of {whole} bytes; download it again",
    ),
    "half of it": (bytewise(lambda data: data[: len(data) // 2]), "is cut short: {half} of {whole} bytes"),
    "more than there should be": (
        bytewise(lambda data: data + b"\0"),
        "is damaged: {long} bytes, where its header tells of",
    ),
    "a header of 2**63 bytes": (bytewise(lambda data: struct.pack("<Q", 2**63) + data[8:]), "is no safetensors file"),
    "a header of no bytes": (bytewise(lambda data: bytes(8) + data[8:]), "is no safetensors file"),
    "a header that is a list": (headerwise(lambda header: [header]), "is no safetensors file"),
    "a header that is no JSON": (
        bytewise(lambda data: data[:9] + b"!" + data[10:]),
        "is damaged: its header can't be read",
    ),
    "a tensor that is a number": (
        headerwise(lambda header: header.update(x=3)),
        "is damaged: its header can't be read",
    ),
    "a shape below zero": (headerwise(lambda header: _first(header).update(shape=[-1])), "is damaged ("),
    "a shape of another size": (headerwise(lambda header: _first(header).update(shape=[3])), "is damaged ("),
    "a dtype that nobody knows": (headerwise(lambda header: _first(header).update(dtype="F9")), "is damaged ("),
    "tensors that overlap": (_swap, "is damaged ("),
    "zeros": (bytewise(lambda data: bytes(len(data))), "is no safetensors file"),
}


def _put(path: Path, data: bytes) -> None:
    # Not through a link, which a copied folder may have.
    path.unlink()
    path.write_bytes(data)


def spoil(path: Path, edit: Edit, told: str) -> str:
    """Do it, and say what is said of it."""
    whole = path.stat().st_size
    edit(path)
    return told.format(whole=whole, short=whole - 1, half=whole // 2, long=whole + 1)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def as_torch_file(safetensors: Path, *, legacy: bool = False, shards: int = 0, extra: Any = None) -> list[Path]:
    """In the place of a model.safetensors, a pytorch_model.bin; or an index and so many of them."""
    tensors: dict[str, Any] = load_file(safetensors)
    safetensors.unlink()
    tensors |= {} if extra is None else {"extra": extra}
    zipped = not legacy
    if not shards:
        torch.save(tensors, safetensors.with_name("pytorch_model.bin"), _use_new_zipfile_serialization=zipped)
        return [safetensors.with_name("pytorch_model.bin")]
    paths = [safetensors.with_name(f"pytorch_model-{n + 1:05}-of-{shards:05}.bin") for n in range(shards)]
    weight_map = {name: paths[i % shards].name for i, name in enumerate(sorted(tensors))}
    for path in paths:
        torch.save({name: t for name, t in tensors.items() if weight_map[name] == path.name}, path)
    safetensors.with_name("pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return paths


def in_shards(folder: Path, shard: Callable[[str], str]) -> dict[str, str]:
    """A folder's model.safetensors in files by name; tells which tensor is where."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {name: shard(name) for name in tensors}
    for file in set(weight_map.values()):
        save_file({name: t for name, t in tensors.items() if weight_map[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return weight_map
