"""Files of weights that are not whole: refused before a byte of a weight is read, in a line that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.common.shown import shown_name
from services.common.weights.load import META, load_module
from services.common.weights.stored import stored_tensors
from tests.support.damage import POINTER, SAFETENSORS, Evil, as_torch_file, in_shards, spoil

INDEX = "model.safetensors.index.json"


@pytest.fixture
def source(tmp_path: Path) -> Checkpoint:
    """More tensors than a header of 1000 bytes tells of."""
    tensors = {f"layers.{index}.weight": torch.full((32, 32), float(index)) for index in range(40)}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    return Checkpoint(str(tmp_path), "HEROSERVE_X")


def refused(source: Checkpoint) -> str:
    with pytest.raises(SettingError) as caught:
        stored_tensors(source, lambda name: name)
    line = str(caught.value)
    assert line.startswith(f"HEROSERVE_X={source.name!r}: ")
    assert "\n" not in line
    return line.removeprefix(f"HEROSERVE_X={source.name!r}: ")


@pytest.mark.parametrize("damage", SAFETENSORS)
def test_a_damaged_file(source: Checkpoint, tmp_path: Path, damage: str) -> None:
    told = spoil(tmp_path / "model.safetensors", *SAFETENSORS[damage])
    assert refused(source).startswith(f"model.safetensors {told}")


@pytest.mark.parametrize("damage", SAFETENSORS)
def test_a_damaged_shard(source: Checkpoint, tmp_path: Path, damage: str) -> None:
    in_shards(tmp_path, lambda name: f"{'a' if '1' in name else 'b'}.safetensors")
    told = spoil(tmp_path / "b.safetensors", *SAFETENSORS[damage])
    assert refused(source).startswith(f"b.safetensors {told}")


def test_a_shard_that_is_missing(source: Checkpoint, tmp_path: Path) -> None:
    in_shards(tmp_path, lambda name: f"{'a' if '1' in name else 'b'}.safetensors")
    (tmp_path / "b.safetensors").unlink()
    assert refused(source) == f"b.safetensors is missing; {INDEX} says that it holds layers.0.weight"


def test_a_shard_without_what_the_index_says(source: Checkpoint, tmp_path: Path) -> None:
    in_shards(tmp_path, lambda name: "a.safetensors")
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["layers.40.weight"] = "a.safetensors"
    (tmp_path / INDEX).write_text(json.dumps(index))
    assert refused(source).startswith(f"{INDEX} says that a.safetensors holds layers.40.weight, and it does not")


def test_what_an_index_forgets_is_found_in_the_shard(source: Checkpoint, tmp_path: Path) -> None:
    """As transformers does, which reads shards whole."""
    in_shards(tmp_path, lambda name: "a.safetensors")
    index = json.loads((tmp_path / INDEX).read_text())
    del index["weight_map"]["layers.7.weight"]
    (tmp_path / INDEX).write_text(json.dumps(index))
    assert len(stored_tensors(source, lambda name: name)) == 40


@pytest.mark.parametrize("content", [[], {}, {"weight_map": {}}, {"weight_map": ["a"]}, 3, None], ids=str)
def test_an_index_that_is_none(source: Checkpoint, tmp_path: Path, content: Any) -> None:
    in_shards(tmp_path, lambda name: "a.safetensors")
    (tmp_path / INDEX).write_text(json.dumps(content))
    assert refused(source) in (
        f"{INDEX} has no weight_map",
        f"{INDEX} is not a JSON object but {type(content).__name__}",
    )


@pytest.mark.parametrize("shard", ["/etc/hostname", "../a.safetensors", 3, None], ids=str)
def test_an_index_that_leads_out_of_the_checkpoint(source: Checkpoint, tmp_path: Path, shard: Any) -> None:
    in_shards(tmp_path, lambda name: "a.safetensors")
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"layers.1.weight": shard}}))
    assert refused(source).startswith(f"{INDEX} says that {shard!r} holds layers.1.weight, which is no name")


@pytest.mark.parametrize("name", ["model.safetensors", INDEX, "config.json"])
def test_a_pointer_in_the_place_of_any_file(source: Checkpoint, tmp_path: Path, name: str) -> None:
    if name == INDEX:
        in_shards(tmp_path, lambda name: "a.safetensors")
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(SettingError, match=rf"^HEROSERVE_X=.*: {name} is a Git LFS pointer.*`git lfs pull`$"):
        _ = source.config if name == "config.json" else stored_tensors(source, lambda name: name)


@pytest.mark.parametrize("form", [{}, {"legacy": True}, {"shards": 3}], ids=str)
def test_files_of_torch(source: Checkpoint, tmp_path: Path, form: dict[str, Any]) -> None:
    as_torch_file(tmp_path / "model.safetensors", **form)
    stored = stored_tensors(source, lambda name: name)
    assert {(tensor.kind, tensor.shape) for tensor in stored.values()} == {("F32", (32, 32))}
    assert stored["layers.13.weight"].read().unique().item() == 13
    assert len(stored) == 40


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_torch_that_holds_code_is_not_read(source: Checkpoint, tmp_path: Path, legacy: bool) -> None:
    as_torch_file(tmp_path / "model.safetensors", legacy=legacy, extra=Evil(tmp_path / "executed"))
    assert refused(source).startswith("pytorch_model.bin holds more than tensors (posix.mkdir), which could be code")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "legacy", "told"),
    [
        (lambda data: data[:-1000], False, "is cut short"),
        (lambda data: data[: len(data) // 2], False, "is cut short"),
        (lambda data: data[:-100], True, "is damaged or incomplete"),
        (lambda data: b"", False, "is empty"),
        (lambda data: POINTER, False, "is a Git LFS pointer"),
        (lambda data: b"<html>Sign in</html>", False, "is a web page"),
        (lambda data: b"Entry not found", False, "is no file of torch's"),
        (lambda data: bytes(1000), False, "is "),
        # A header's length in a file of safetensors, which happens to be a pickle of True.
        (lambda data: b"\x88." + bytes(6) + b'{"a": {}}', False, "is no file of torch's"),
    ],
)
def test_a_damaged_file_of_torch(source: Checkpoint, tmp_path: Path, content: Any, legacy: bool, told: str) -> None:
    (path,) = as_torch_file(tmp_path / "model.safetensors", legacy=legacy)
    path.write_bytes(content(path.read_bytes()))
    assert refused(source).startswith(f"pytorch_model.bin {told}")


@pytest.mark.parametrize(
    "content", [[torch.zeros(3)], {}, {"state_dict": {"a": torch.zeros(3)}}, torch.zeros(3)], ids=str
)
def test_a_file_of_torch_without_named_tensors(source: Checkpoint, tmp_path: Path, content: Any) -> None:
    (tmp_path / "model.safetensors").unlink()
    torch.save(content, tmp_path / "pytorch_model.bin")
    assert refused(source) == "pytorch_model.bin holds no tensors by name"


def test_a_file_that_may_not_be_read(source: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("services.common.weights.safetensors_file.safe_open", denied)
    assert refused(source) == "model.safetensors can't be read (Permission denied)"


@pytest.mark.parametrize("name", ["x" * 5000, "a\nb", "\x1b[31mred", "", " ", "nul\0", "\u202eflipped"])
def test_names_from_a_file_are_told_in_one_short_line(source: Checkpoint, tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").unlink()
    torch.save({name: torch.ones(2), "fine": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(SettingError) as caught:
        load_module(
            lambda: torch.nn.LayerNorm(2), stored_tensors(source, lambda name: name), source, META, torch.float32
        )
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 600
    # Of two problems of a kind that of the first name.
    assert shown_name(min(name, "fine")) in line or "weight" in line


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.eye(2).to_sparse(), "is in F32 in the layout sparse_coo, served are"),
        (torch.empty(2, 2, device="meta"), "is in F32 on meta, without values, served are"),
    ],
)
def test_a_file_of_torch_with_what_is_no_plain_tensor(
    source: Checkpoint, tmp_path: Path, tensor: torch.Tensor, told: str
) -> None:
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weight": tensor}, tmp_path / "pytorch_model.bin")
    weights = stored_tensors(source, lambda name: name)
    with pytest.raises(SettingError, match=r"^HEROSERVE_X=.*weight of pytorch_model.bin ") as caught:
        load_module(lambda: torch.nn.Linear(2, 2, bias=False), weights, source, META, torch.float32)
    assert told in str(caught.value)
