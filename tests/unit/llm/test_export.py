"""What is exported is the checkpoint's language model, as others load it; whole, or not there."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.common.weights.stored import stored_tensors
from services.families.registry import language_half
from services.llm.engines.transformers import load_language_model
from services.llm.export import __main__ as command
from services.llm.export import folder as module
from services.llm.export.folder import exported
from services.llm.export.weights import write_weights
from tests.support.llm_parts import edit

IDS = torch.tensor([[2, 90, 91, 92, 200, 6]])


def opened(model: Path | str) -> tuple[Any, Checkpoint]:
    source = Checkpoint(str(model), "HEROSERVE_MODEL")
    return language_half(source), source


def write(model: Path | str, parent: Path) -> Path:
    return exported(*opened(model), parent)


def logits_of(model: Path | str) -> torch.Tensor:
    """As this service computes them."""
    half, source = opened(model)
    ours = load_language_model(half, source, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        return ours(input_ids=IDS).logits


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("head", [False, True])
def test_transformers_own_causal_model_reads_it_alike(folder: Path, tmp_path: Path, tied: bool, head: bool):
    """With a head that is the embeddings, or only said to be; and an entry that another engine would heed."""
    if not tied and not head:
        pytest.skip("there is no head")
    without = {} if head else {"rename": lambda name: None if "lm_head" in name else name}
    edit(folder, config={"tie_word_embeddings": tied}, text_config={"logit_scale": 3.0}, **without)
    out = write(folder, tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(out).eval()
    with torch.inference_mode():
        assert torch.equal(model(input_ids=IDS).logits, logits_of(folder))
    assert ("lm_head.weight" in load_file(out / "model.safetensors")) == head
    written = json.loads((out / "config.json").read_text())
    assert written["architectures"] == ["LlamaForCausalLM"]
    assert "logit_scale" not in written


def test_positions_that_stretch_behind_the_context_are_plain_ones_within_it(folder: Path, tmp_path: Path):
    """To transformers they are; vLLM would take prompts of twice the length, and stretch none of it as transformers."""
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 3e4}
    edit(folder, text_config={"rope_parameters": rope, "max_position_embeddings": 48})
    out = write(folder, tmp_path / "out")
    written = json.loads((out / "config.json").read_text())
    assert written["rope_parameters"] == {"rope_type": "default", "rope_theta": 3e4}
    assert written["max_position_embeddings"] == 48
    whole = torch.randint(10, 400, (1, 48), generator=torch.Generator().manual_seed(0))
    half, source = opened(folder)
    ours = load_language_model(half, source, torch.device("cpu"), torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(out).eval()
    with torch.inference_mode():
        assert torch.equal(theirs(input_ids=whole).logits, ours(input_ids=whole).logits)


def test_tokenizer_template_and_generation_config_go_along(folder: Path, tmp_path: Path):
    edit(folder, generation={"eos_token_id": [90, 91], "repetition_penalty": 1.5})
    out = write(folder, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(out)
    before = opened(folder)[1].tokenizer()
    assert tokenizer("what is this").input_ids == before("what is this").input_ids
    # Servers add no special tokens to what a template writes.
    assert '{{ "<s>" }}' + before.chat_template in tokenizer.chat_template
    assert json.loads((out / "generation_config.json").read_text()) == {
        "eos_token_id": [90, 91],
        "repetition_penalty": 1.5,
    }


def test_large_ones_are_spread_over_files(folder: Path, tmp_path: Path):
    half, source = opened(folder)
    weights = stored_tensors(source, half.language_weight)
    write_weights(weights, tmp_path, shard_bytes=60_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert index.keys() == weights.keys()
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 2
    assert {file.name for file in files} == set(index.values())
    for file in files:
        held = load_file(file)
        assert sum(tensor.nbytes for tensor in held.values()) <= 60_000 or len(held) == 1
        for name, tensor in held.items():
            assert index[name] == file.name
            assert torch.equal(tensor, weights[name].read())


def test_each_checkpoint_has_a_folder_of_its_own(untrained: str, folder: Path, tmp_path: Path):
    """One with other weights, another generation config or another template; a copy has the same."""
    first = write(untrained, tmp_path / "out")
    inode = (first / "model.safetensors").stat().st_ino
    assert write(folder, tmp_path / "out") == first
    assert (first / "model.safetensors").stat().st_ino == inode
    edit(folder, generation={"eos_token_id": 90})
    second = write(folder, tmp_path / "out")
    (folder / "chat_template.jinja").write_text((folder / "chat_template.jinja").read_text() + " ")
    third = write(folder, tmp_path / "out")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "language_model" in name)
    weights[name] = weights[name] + 1
    from safetensors.torch import save_file

    (folder / "model.safetensors").unlink()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    fourth = write(folder, tmp_path / "out")
    assert len({first, second, third, fourth}) == 4


def _write(model: str, parent: str, start: Any) -> None:
    start.wait()
    write(model, Path(parent))


def test_two_at_once_write_it_once(untrained: str, tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    both = [context.Process(target=_write, args=(untrained, str(tmp_path / "out"), start)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    (found,) = (tmp_path / "out").glob("[!.]*")
    assert AutoModelForCausalLM.from_pretrained(found)
    assert not list((tmp_path / "out").glob("*.part"))


def test_what_a_killed_one_left_is_removed(untrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_weights", die)
        # As if it had been killed, it clears nothing away.
        patch.setattr(module.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            write(untrained, tmp_path)
    assert list(tmp_path.glob(".*.part"))
    assert not list(tmp_path.glob("[!.]*"))
    out = write(untrained, tmp_path)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == [out]


@pytest.mark.parametrize("problem", ["full", "tight", "a file"])
def test_a_folder_that_can_not_be_written_is_told_in_a_line(
    untrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
):
    parent = tmp_path / "out"
    if problem == "a file":
        parent.write_text("")
    elif problem == "tight":
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    else:

        def full(*arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(module, "write_weights", full)
    with pytest.raises(SettingError) as told:
        write(untrained, parent)
    (line,) = str(told.value).splitlines()
    assert line.startswith(f"HEROSERVE_EXPORT_DIR={str(parent)!r}: the language model can't be written there (")
    assert {"full": "No space left", "tight": "GB are free", "a file": "File exists"}[problem] in line
    if problem != "a file":
        assert not [path for path in parent.iterdir() if path.suffix != ".lock"]


def test_the_command_writes_it(untrained: str, tmp_path: Path):
    arguments = [sys.executable, "-m", "services.llm.export", untrained, str(tmp_path / "lm")]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "lm")
    again = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith(f"heroserve: FOLDER={str(tmp_path / 'lm')!r}: it is there already")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"revision": "v1"}, "--revision='v1': MODEL={model!r} is a folder, which has no revisions"),
        ({"chat_template": "no.jinja"}, "--chat-template='no.jinja': no template, and no file with one"),
        ({"chat_template": "{{ 1 }}"}, "--chat-template: the chat template can't ask about an image"),
    ],
)
def test_the_command_calls_what_it_refuses_as_it_was_given(
    untrained: str, tmp_path: Path, options: dict[str, str], told: str
):
    with pytest.raises(SettingError) as refused:
        command.write(untrained, tmp_path / "lm", **options)
    assert str(refused.value).startswith(told.format(model=untrained))
    assert not (tmp_path / "lm").exists()
