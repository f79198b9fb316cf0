"""An encoder and a language model of different checkpoints: told at every answer, gone as soon as they are of one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import heroserve
from services.common import context
from services.common.context import RequestContext
from services.common.errors import FailedPrecondition
from services.common.identity import identify
from services.llm import parts
from services.llm.answer import Bill
from services.llm.chat import ChatPipeline
from services.llm.encoder_client import EncoderClient
from services.llm.settings import LlmSettings
from tests.support.llm_parts import Language, collect, job, picture, png
from tests.support.services import Services


@pytest.fixture
def tuned(folder: Path) -> Path:
    """As wide as the encoder's checkpoint, with the same config, names and shapes: only values differ."""
    weights = load_file(folder / "model.safetensors")
    name = "multi_modal_projector.linear_1.weight"
    save_file(weights | {name: weights[name] * 1.01}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def pipeline(services: Services, folder: Path | str) -> tuple[ChatPipeline, EncoderClient, str]:
    """An LLM service in this process, its encoder the session's, and the identity it goes by."""
    settings = LlmSettings(model=str(folder), encoder_target=services.grpc, dtype="float32")
    source = parts.model(settings)
    own = identify(source)
    language = Language(folder, dtype="float32")
    encoder = parts.open_encoder(settings, language.splicer, own)
    prompts = parts.open_prompts(settings, source)
    return parts.open_chat(settings, encoder, prompts, language.splicer, language.engine, source), encoder, own


async def ask(chat: ChatPipeline, *images: bytes) -> Bill:
    with context.serving(RequestContext()):
        *_, last = await collect(chat.generate(job("What is it?", *images, max_tokens=2)))
    assert isinstance(last, Bill)
    return last


async def test_every_answer_is_refused_until_both_are_of_one(
    services: Services, client: heroserve.Client, untrained: str, tuned: Path, tmp_path: Path
) -> None:
    described = client.describe()
    theirs = described.encoder.checkpoint
    assert theirs == described.checkpoint == identify(parts.model(LlmSettings(model=untrained)))
    image = png(picture(225, 223))
    chat, encoder, own = pipeline(services, tuned)
    assert own != theirs
    # Whether it was encoded for this or comes from the cache.
    for _ in range(2):
        with pytest.raises(FailedPrecondition) as refused:
            await ask(chat, image)
        (line,) = str(refused.value).splitlines()
        assert all(said in line for said in (own, theirs, str(tuned), untrained, services.grpc, "HEROSERVE_MODEL"))
    assert (await ask(chat)).usage.completion_tokens
    await encoder.close()
    # As the LLM service's next replica: a copy, from another place.
    copy = shutil.copytree(untrained, tmp_path / "copy")
    chat, encoder, own = pipeline(services, copy)
    assert own == theirs
    assert (await ask(chat, image)).usage.prompt_visual_tokens
    await encoder.close()


def test_tokens_tell_whose_they_are(client: heroserve.Client, untrained: str) -> None:
    encoder = client.describe_encoder()
    assert encoder.checkpoint.startswith("digest:")
    for _ in range(2):
        tokens = client.encode(png(picture(333, 101)), "What is it?")
        assert (tokens.model, tokens.checkpoint) == (untrained, encoder.checkpoint)
