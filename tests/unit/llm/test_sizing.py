"""`python -m scripts.sizing` counts what the services load, and what they say that a budget saves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from models.untrained_internvl import build
from scripts.sizing.__main__ import main
from scripts.sizing.card import GIB, Card
from scripts.sizing.curve import point
from scripts.sizing.model import Model
from services.common.budget import Retention
from services.common.checkpoint import Checkpoint
from services.common.weights.stored import stored_tensors
from services.families.registry import language_half
from services.llm import parts
from services.llm.answer import Bill
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.settings import LlmSettings
from tests.support.llm_parts import picture, png
from tests.support.manifests import ROOT
from tests.support.shown import check_shown, how_to_commands

SHAPE = str(ROOT / "models" / "shapes" / "llava-v1.6-mistral-7b")


@pytest.fixture(params=["llava_next", "internvl"])
def checkpoint(request: pytest.FixtureRequest, untrained: str, tmp_path: Path) -> str:
    if request.param == "llava_next":
        return untrained
    build(tmp_path / "internvl", 0, "1b")
    return str(tmp_path / "internvl")


def stored(source: Checkpoint, pick: Any) -> int:
    return sum(torch.Size(tensor.shape).numel() for tensor in stored_tensors(source, pick).values())


def test_weights_are_those_that_are_stored(checkpoint: str):
    source = Checkpoint(checkpoint, "MODEL")
    model = Model.of(source, torch.bfloat16)
    half = language_half(source)
    assert model.language == stored(source, half.language_weight)
    assert model.tower == stored(source, lambda name: name if "vision_tower" in name else None)
    # What transformers calls newline is no part of its projector.
    assert model.projector == stored(source, lambda name: name if "projector" in name or "newline" in name else None)
    assert model.row_bytes == 2 * half.open_projector(torch.device("meta"), torch.float32).feature_width
    # OpenAI's, as it is published.
    assert model.relevance == 87_456_000


async def test_savings_are_those_of_the_bill(untrained, encoder, prompts, splicer, engine):
    settings = LlmSettings(model=untrained, newlines="every_row")
    chat = parts.open_chat(settings, encoder, prompts, splicer, engine)
    model = Model.of(Checkpoint(untrained, "MODEL"), torch.float32)
    for retention in (1.0, 0.3, 0.05):
        turn = Turn("user", (ImagePart(png(picture(333, 101))), "what is on the sign?"))
        job = ChatJob((turn,), Retention(retention), Sampling(max_tokens=2))
        *_, bill = [piece async for piece in chat.generate(job)]
        assert isinstance(bill, Bill)
        text = bill.usage.prompt_text_tokens
        whole, less = (point(model, model.picture(333, 101), share, text, 2) for share in (1.0, retention))
        assert (whole.kept, less.kept) == (bill.savings.total, bill.savings.kept)
        assert whole.flops - less.flops == pytest.approx(bill.savings.prefill_flops)
        assert whole.kv_bytes - less.kv_bytes == bill.savings.kv_cache_bytes
        assert less.prompt == sum((text, bill.usage.prompt_visual_tokens, bill.usage.prompt_newline_tokens))


def test_a_card(untrained: str):
    model = Model.of(Checkpoint(SHAPE, "MODEL"), torch.float16)
    card = Card(model, 24 * GIB, tiles=32, prompt_tokens=2404, at_once=4)
    # As published: 7.57 billion values in half precision.
    assert 14.0 * GIB < (model.tower + model.language + model.projector) * 2 < 14.2 * GIB
    encoder, llm = card.shares
    assert encoder + llm == pytest.approx(1)
    # What is left is the LLM service's, and each has what it takes.
    assert sum(card.encoder.values()) <= encoder * 24 * GIB
    assert sum(card.llm.values()) + card.left == 24 * GIB - sum(card.encoder.values())
    assert Card(model, 16 * GIB, tiles=32, prompt_tokens=2404, at_once=4).left < 0
    # deploy/kubernetes/components/half-gpu reckons with two such towers in 16 GB.
    assert 2 * sum(card.encoder.values()) < 16e9


def test_the_command(capsys: pytest.CaptureFixture[str]):
    main([SHAPE, "--tflops", "100", "--price", "1", "--retention", "1,0.2"])
    told = capsys.readouterr().out
    assert "5 tiles, 2304 visual tokens" in told
    rows = [[float(cell) for cell in line.split()] for line in told.splitlines()[-2:]]
    assert [row[:3] for row in rows] == [[1, 2304, 2404], [0.2, 460, 560]]
    for _, _, _, tflop, ms, dollars, *_ in rows:
        assert ms == pytest.approx(tflop / 100 * 1e3, rel=0.01)
        assert dollars == pytest.approx(1000 * ms / 1e3 / 3600, rel=0.01)


def test_our_pages_show_what_it_says(capsys: pytest.CaptureFixture[str]):
    found = how_to_commands("scripts.sizing")
    assert len(found) == 2
    check_shown(main, found, capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bundled", "--gpu-gib", "0.5"], r"sizing: --gpu-gib 0.5: \d\.\d\d GiB too few for both services; lower "),
        (
            ["bundled", "--text", "4000"],
            r"sizing: --text, --answer: 4770 tokens with the picture's, of which .* 4096; ",
        ),
        (
            ["bundled", "--image", "1x500"],
            r"sizing: --image: it is 1x500 pixels, an aspect ratio of 500:1; the limit is ",
        ),
        (["models"], r"sizing: MODEL='models': no checkpoint found"),
    ],
)
def test_what_can_not_be_is_a_line(arguments: list[str], said: str):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert re.match(said, str(ended.value.code))
    assert "\n" not in str(ended.value.code)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--image", "0x5"), ("--image", "5"), ("--retention", "0"), ("--retention", "nan"), ("--retention", ""),
     ("--gpu-gib", "nan"), ("--gpu-gib", "-1"), ("--tiles", "0"), ("--tflops", "inf"), ("--price", "x")],
)  # fmt: skip
def test_what_is_out_of_range_is_told_with_its_bounds(option: str, value: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([SHAPE, f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: {value!r}: expected " in capsys.readouterr().err
