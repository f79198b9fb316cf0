"""A checkpoint's identity: equal for copies, different for everything that is another model."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.common.checkpoint import Checkpoint
from services.common.identity import identify, same
from services.common.settings import SettingError
from services.common.weights.stored import stored_tensors
from tests.support.hub import commit
from tests.support.shards import shard

# Larger than what is read whole of a tensor.
BIG = "language_model.lm_head.weight"
Tensors = dict[str, torch.Tensor]


def of(folder: Path, variable: str = "HEROSERVE_MODEL") -> str:
    return identify(Checkpoint(str(folder), variable))


def edit(folder: Path, change: Callable[[Tensors], object]) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.fixture
def big(folder: Path) -> Path:
    """With a tensor that is read in samples."""
    edit(folder, lambda tensors: tensors.update({BIG: torch.arange(300_000, dtype=torch.float32).reshape(3000, 100)}))
    return folder


def test_copies_are_one(big: Path, tmp_path: Path) -> None:
    before = of(big)
    copy = shutil.copytree(big, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    for file in copy.iterdir():
        file.touch()
    (copy / "README.md").write_text("mine")
    assert of(copy) == before
    assert before.startswith("digest:")
    # However the tensors are spread over files, and whatever order config.json is in.
    shard(copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(dict(reversed(config.items()))))
    assert of(copy) == before


def tuned(name: str) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update({name: tensors[name] + 1e-3})


@pytest.mark.parametrize(
    "change",
    {
        "a projector": tuned("multi_modal_projector.linear_1.weight"),
        "a bias": tuned("multi_modal_projector.linear_2.bias"),
        "a tower": tuned("vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight"),
        "a large one": tuned(BIG),
        "the end of a large one": lambda tensors: tensors[BIG][-1, -1].add_(1),
        "a name": lambda tensors: tensors.update({"more": torch.zeros(1)}),
        "a dtype": lambda tensors: tensors.update({"image_newline": tensors["image_newline"].view(torch.int32)}),
        "a shape": lambda tensors: tensors.update({BIG: tensors[BIG].reshape(100, 3000)}),
    }.items(),
    ids=lambda change: change[0],
)
def test_a_tuned_one_is_another(big: Path, change: tuple[str, Callable[[Tensors], object]]) -> None:
    before = of(big)
    edit(big, change[1])
    assert not same(of(big), before)


def test_another_config_is_another(folder: Path) -> None:
    before = of(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vision_feature_layer": -1}))
    assert not same(of(folder), before)


def test_half_a_folder_is_told_by_config_and_names(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One service needs half of the shards, and its machine may have no more of them."""
    rest, tower = shard(folder)
    whole = of(folder)
    halves = {file: shutil.copytree(folder, tmp_path / file) for file in (rest, tower)}
    for file, half in halves.items():
        (half / file).unlink()
    assert not caplog.records
    one, other = (of(half) for half in halves.values())
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert same(one, whole)
    assert same(whole, other)
    assert same(one, other)
    config = json.loads((folder / "config.json").read_text())
    (halves[tower] / "config.json").write_text(json.dumps(config | {"vision_feature_layer": -1}))
    assert not same(of(halves[tower]), whole)
    assert not same(of(halves[tower]), one)


def test_a_bin_file(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    before = of(folder)
    assert of(folder) == before
    for tensor in tensors.values():
        tensor.view(-1)[0] += 1
        break
    torch.save(tensors, folder / "pytorch_model.bin")
    assert not same(of(folder), before)


def test_a_folder_in_the_hubs_cache_is_its_commit(folder: Path, tmp_path: Path) -> None:
    made = commit("x")
    cached = shutil.copytree(folder, tmp_path / "models--someone--a-model" / "snapshots" / made)
    assert of(cached) == f"commit:{made}"
    (tmp_path / "link").symlink_to(cached)
    assert of(tmp_path / "link") == f"commit:{made}"
    # Of a folder that is only called like that nothing is known.
    assert of(shutil.copytree(folder, tmp_path / "snapshots" / made)).startswith("digest:")


def test_commits_are_compared_whole() -> None:
    assert same("commit:" + "a" * 40, "commit:" + "a" * 40)
    assert not same("commit:" + "a" * 40, "commit:" + "a" * 39 + "b")
    assert not same("digest:1-2", "digest:1-3")
    assert not same("digest:1-incomplete", "commit:1")
    assert not same("digest:1-incomplete", "digest:2-incomplete")


def test_files_that_changed_since_the_start_are_refused(folder: Path) -> None:
    source = Checkpoint(str(folder), "HEROSERVE_MODEL")
    identify(source)
    handed_on = pickle.dumps(source)
    assert identify(pickle.loads(handed_on)) == identify(source)
    edit(folder, tuned("multi_modal_projector.linear_1.weight"))
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*': its files are others than when .*start it again$"):
        identify(pickle.loads(handed_on))


def cut(data: bytes) -> bytes:
    return data[:-1]


@pytest.mark.parametrize(
    "spoil",
    [
        cut,
        lambda data: b"",
        lambda data: b"version https://git-lfs.github.com/spec/v1\n",
        lambda data: data[:8] + b"[" + data[9:],
        lambda data: b"\x02\0\0\0\0\0\0\0[]",
        lambda data: b"\x0c\0\0\0\0\0\0\0" + b'{"a": "bcd"}',
        lambda data: b"\xff" * 8 + data[8:],
    ],
)
def test_a_damaged_file_is_refused_in_one_line(folder: Path, spoil: Callable[[bytes], bytes]) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(spoil(file.read_bytes()))
    source = Checkpoint(str(folder), "HEROSERVE_MODEL")
    with pytest.raises(SettingError, match=r"^HEROSERVE_MODEL='.*': model.safetensors is .+$") as told:
        identify(source)
    # In the words of the service whose half it is.
    with pytest.raises(SettingError) as reading:
        stored_tensors(source, lambda name: name)
    assert str(told.value) == str(reading.value)


@pytest.mark.parametrize("shard_name", ["x" * 5000 + ".safetensors", "x\n\x1b[31m.safetensors", "", "x\0.safetensors"])
def test_a_shard_whose_name_is_none_is_told_in_one_short_line(folder: Path, shard_name: str) -> None:
    shard(folder)
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"] = dict.fromkeys(content["weight_map"], shard_name)
    index.write_text(json.dumps(content))
    source = Checkpoint(str(folder), "HEROSERVE_MODEL")
    for asked in (lambda: identify(source), lambda: stored_tensors(source, lambda name: name)):
        try:
            asked()
        except SettingError as error:
            line = str(error)
            assert line.isprintable()
            assert len(line) < 600
        else:
            # What is missing may be missing, to whom it is not his half.
            assert source.known_as.endswith("incomplete")


def test_a_shard_that_may_not_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("services.common.identity.is_pointer", forbidden)
    with pytest.raises(SettingError, match=r"model.safetensors .*Permission denied"):
        of(folder)
