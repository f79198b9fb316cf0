"""The whole answer side by side: what is asked, what is kept of it, and what is made of that."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp.test_utils import TestServer
from PIL import Image
from transformers import LlamaConfig, LlavaNextForConditionalGeneration

from benchmarks.answers.measure import Asking, Found, ask_all
from benchmarks.answers.memory import below
from benchmarks.answers.plain import Plain, application
from benchmarks.answers.record import Record
from benchmarks.answers.report import Ratio, aims, table
from benchmarks.sides import Side, Told, shown
from models.untrained import LANGUAGE, build
from models.untrained_shapes import SHAPES
from models.world.render import as_png, render
from models.world.scene import sample_scene
from scripts.vllm_server import environment_of
from services.llm.cost import PromptCost
from tests.reference import Reference


def row(side: str, retention: float | None, rates: list[float], whole: list[float], **others: Any) -> dict[str, Any]:
    found = Found(side, retention, [(1.0, each) for each in whole], [(0.5, 1.0)], rates, [0.7, 0.9], 200, 50, 3 * 10**9)
    return {**found.row, "kv_request_bytes": 4e6, **others}


def test_a_ratio_tells_how_far_its_measurements_could_put_it() -> None:
    ratio = Ratio.of([4.0, 5.0, 10.0], [1.0, 2.0])
    assert (ratio.middle, ratio.low, ratio.high) == (5 / 1.5, 2.0, 10.0)
    assert str(Ratio.of([3.0], [2.0])) == "1.50x (1.50 to 1.50)"


def test_aims_are_judged_by_medians_and_against_who_is_there() -> None:
    rows = [
        row("plain", None, [0.5, 0.5], [2.0]),
        row("stock", None, [2.0], [1.0, 4.0, 1.0]),
        row("vllm", 0.2, [2.4, 9.0, 2.3], [1.0]),
        row("vllm", 1, [1.0], [1.1]),
        row("transformers", 0.2, [1.0], [1.0]),
    ]
    assert list(aims(rows)) == [
        "vllm, R = 0.2, known pictures, of plain: 4.80x (4.60 to 18.00); the aim is 4.7: met",
        "vllm, R = 0.2, known pictures, of stock: 1.20x (1.15 to 4.50); the aim is 2: missed",
        "vllm, R = 1, new pictures, of stock: 0.91x (0.91 to 3.64); the aim is 0.9: met",
        "transformers, R = 0.2, known pictures, of plain: 2.00x (2.00 to 2.00); the aim is 4.7: missed",
        "transformers, R = 0.2, known pictures, of stock: 0.50x (0.50 to 0.50); the aim is 2: missed",
    ]
    assert list(aims(rows[2:])) == []


def test_a_row_of_the_table_has_units_and_both_ratios() -> None:
    last = table([row("plain", None, [0.5], [2.0]), row("vllm", 0.2, [2.0, 3.0], [2.0, 4.0])]).splitlines()[-1]
    assert last == (
        "| vllm | 0.2 | 1.00 (1.00 to 1.00) | 0.38 (0.25 to 0.50) | 0.50 | 0.80 (0.70 to 0.90) | 2.50 (2.00 to 3.00) "
        "| 5.00x (4.00 to 6.00) |  | 200 | 25% | 4.0 | 3.0 |"
    )


class Answering:
    """A side that answers at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []

    async def ask(self, content: list[dict[str, Any]], max_tokens: int, **body: Any) -> Told:
        self.asked.append((content[0]["number"], content[1]["text"]))
        return Told(1.0, 2.0, "", 100, 20)


async def test_pictures_are_new_once_and_questions_always() -> None:
    side, found = Answering(), Found("a", 0.2)
    pictures = [{"number": number} for number in range(3)]
    await ask_all(side, found, Asking(3, 4, 2, 1e9, 16, (1, 1)), pictures)  # type: ignore[arg-type]
    assert [number for number, _ in side.asked] == [0, 1, 2, 0, 1, *(0, 1, 2, 0) * 2]
    # Not only at their end: what two of them begin with, a server has cached.
    assert len({text[:2] for _, text in side.asked}) == len(side.asked)
    assert (len(found.new_s), len(found.known_s), len(found.rates), len(found.first_s)) == (3, 2, 2, 8)
    assert (found.prompt, found.cached) == (100, 20)


async def test_a_side_that_takes_long_is_asked_for_one_round() -> None:
    found = Found("a", None)
    asking = Asking(1, 1, 5, 0.0, 16, (1, 1))
    await ask_all(Answering(), found, asking, [{"number": 0}])  # type: ignore[arg-type]
    assert len(found.rates) == 1


def test_a_run_goes_on_where_it_was_ended_and_leaves_others_alone(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "answers.json"
    one, other = ({"shape": "135m", "kv_bytes": size} for size in (1, 2))
    Record(file, one).put("stock", [{"n": 1}])
    Record(file, other).put("stock", [{"n": 2}])
    record = Record(file, one)
    assert record.has("stock")
    assert not record.has("plain")
    record.put("plain", [{"n": 3}, {"n": 4}])
    record.put("stock", [{"n": 5}])
    assert [each["n"] for each in record.rows(["plain", "stock"])] == [3, 4, 5]
    assert [each["n"] for each in Record(file, other).rows(["stock"])] == [2]
    assert len(json.loads(file.read_text())) == 4


async def test_plain_generate_says_over_http_what_hugging_face_says(untrained: str) -> None:
    scene, question = sample_scene("test", 3), "what is left of the red circle?"
    expected, _ = Reference(untrained).answer(Image.open(io.BytesIO(as_png(render(scene)))), question, 8)
    async with TestServer(application(Plain(untrained, "float32"))) as server:
        side = Side(str(server.make_url("/v1")))
        told = await side.ask([shown(scene), {"type": "text", "text": question}], 8, ignore_eos=True)
        await side.close()
    # Token by token, so that a character of several is not one.
    assert told.text.strip("\ufffd") in expected or expected in told.text
    assert told.prompt > 64
    assert 0 < told.first_s <= told.whole_s


@pytest.mark.parametrize(("name", "millions"), [("135m", 134.5), ("1b", 1235.8)])
def test_shapes_are_those_of_the_published_models(name: str, millions: float) -> None:
    config: Any = LlamaConfig(**SHAPES[name].language)
    cost = PromptCost.of(config, torch.bfloat16)
    words = config.vocab_size * config.hidden_size
    assert (cost.matmul_parameters + words) / 1e6 == pytest.approx(millions, abs=0.1)
    assert SHAPES[name].kv_bytes == cost.kv_bytes


def test_a_model_that_says_two_letters_says_nothing_else(tmp_path: Path) -> None:
    """Though it knows more tokens than its tokenizer, and head and embeddings are one."""
    language = {**LANGUAGE, "vocab_size": 1000, "tie_word_embeddings": True}
    build(tmp_path, 0, language=language, dtype=torch.bfloat16, clip=False, says=("a", "b"))
    assert not (tmp_path / "clip").exists()
    reference = Reference(str(tmp_path))
    model = LlavaNextForConditionalGeneration.from_pretrained(tmp_path)
    assert model.dtype == torch.bfloat16
    assert model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    numbers = count()
    said = {reference.answer(Image.new("RGB", (112, 224), (next(numbers) * 40, 0, 0)), "?", 4)[0] for _ in range(4)}
    assert set("".join(said)) <= {"a", "b"}
    assert all(len(text) == 4 for text in said)


def test_memory_is_that_of_all_processes_below() -> None:
    held = 64 << 20
    code = f"held = b'x' * {held}; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        assert below() > held
        process.stdin.close()


def test_a_cache_by_flag_is_not_overruled_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    name = "VLLM_CPU_KVCACHE_SPACE"
    assert environment_of((), {})[name] == "1"
    assert name not in environment_of(("--kv-cache-memory-bytes", "1"), {"OMP_NUM_THREADS": "2"})
