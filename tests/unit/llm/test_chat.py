"""The whole LLM service but Ray, with a real encoder in this process: answers, bills and refusals."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace

import pytest
import torch
from prometheus_client import REGISTRY

from heroserve.images import image_digest
from heroserve.v1.chat_pb2 import GenerateResponse
from heroserve.v1.tokens_pb2 import Savings
from services.common import context
from services.common.budget import Retention
from services.common.checkpoint import Checkpoint
from services.common.context import RequestContext
from services.common.errors import DeadlineExceeded, InvalidArgument, Unavailable
from services.encoder.response import grid_message
from services.families.llava_next.tiles import AnyresTiler
from services.llm import parts
from services.llm.doors import grpc as door
from services.llm.engines.transformers import TransformersEngine
from services.llm.refusal import Role
from services.llm.settings import LlmSettings
from tests.support.llm_parts import SIZES, Language, asked, checked, collect, edit, job, picture, png

QUESTION = "what is in the picture?"


@pytest.fixture
def chat(untrained, encoder, prompts, splicer, engine):
    """Makes pipelines with these settings."""

    def make(**settings):
        return parts.open_chat(LlmSettings(model=untrained, **settings), encoder, prompts, splicer, engine)

    return make


@pytest.fixture
def tiler_of_the_untrained(untrained):
    return AnyresTiler.of(Checkpoint(untrained, "HEROSERVE_MODEL"))


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def answer(pipeline, question) -> tuple[str, GenerateResponse]:
    """The text and the last response, which alone has the bill, as a caller over gRPC gets them."""
    *deltas, last = await collect(door.responses(pipeline.generate(question)))
    assert all(response.delta and not response.finish_reason for response in deltas)
    assert not any(response.HasField("usage") or response.HasField("timings") for response in deltas)
    assert last.finish_reason
    assert not last.delta
    return "".join(response.delta for response in deltas), last


def reference(hf, processor, images, question, tokens) -> tuple[str, list[int]]:
    """Hugging Face's greedy answer."""
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=images or None, text=text, return_tensors="pt")
    out = hf.generate(**inputs, do_sample=False, max_new_tokens=tokens)[0, inputs.input_ids.shape[1] :].tolist()
    return processor.tokenizer.decode(out, skip_special_tokens=True), out


@pytest.mark.parametrize("settings", [{}, {"newlines": "kept_rows"}, {"position_ids": "original"}], ids=str)
@pytest.mark.parametrize("size", [*SIZES[1:9], SIZES[-1]])
async def test_at_retention_1_the_answer_is_hugging_faces(hf, processor, chat, size, settings):
    image = picture(*size)
    text, last = await answer(chat(**settings), job(QUESTION, png(image), retention=1, max_tokens=12))
    expected, ids = reference(hf, processor, [image], QUESTION, 12)
    assert text == expected
    assert last.usage.completion_tokens == len(ids)


async def test_two_images(hf, processor, chat, encoder):
    images = [picture(333, 101), picture(91, 37)]
    question = job(QUESTION, *map(png, images), retention=1, max_tokens=12)
    text, last = await answer(chat(max_images=2), question)
    assert text == reference(hf, processor, images, QUESTION, 12)[0]
    assert text != reference(hf, processor, images[::-1], QUESTION, 12)[0]
    # A thumbnail each; then what is not padding.
    assert last.savings.total == last.savings.kept == last.usage.prompt_visual_tokens
    assert [call[0] for call in encoder.calls] == [Role("image", 0, 0), Role("image", 0, 1)]


async def test_what_was_kept_of_each_image_is_explained(chat, tiler_of_the_untrained):
    images = [picture(333, 101), picture(91, 137)]
    request = asked(QUESTION, *map(png, images), retention=0.3, max_tokens=2)
    _, silent = await answer(chat(max_images=2), checked(request, 2))
    request.explain = True
    _, last = await answer(chat(max_images=2), checked(request, 2))
    assert not silent.explanations
    assert len(last.explanations) == 2
    for image, told in zip(images, last.explanations, strict=True):
        grid = tiler_of_the_untrained.grid(*image.size)
        assert told.grid == grid_message(grid, tiler_of_the_untrained.place(grid))
        assert (told.image_digest, told.question) == (image_digest(png(image)), QUESTION)
        assert [tile.valid for tile in told.tiles] == grid.valid().sum(axis=1).tolist()
        assert sum(tile.explanation.saliency for tile in told.tiles) == pytest.approx(1, abs=1e-4)
        assert sum(len(tile.positions) for tile in told.tiles) == told.savings.kept
    assert sum(told.savings.kept for told in last.explanations) == last.savings.kept
    assert sum(told.savings.total for told in last.explanations) == last.savings.total


async def test_no_image(hf, processor, chat, encoder):
    text, last = await answer(chat(), job(QUESTION, max_tokens=12))
    assert text == reference(hf, processor, [], QUESTION, 12)[0]
    assert last.savings == Savings()
    assert (last.usage.prompt_visual_tokens, last.usage.prompt_newline_tokens, last.timings.encode) == (0, 0, 0)
    assert encoder.calls == []


@pytest.mark.parametrize("size", [(333, 101), (91, 37)])
async def test_the_bill_at_retention_1(chat, look, processor, size):
    seen = look(size)
    _, last = await answer(chat(), job(QUESTION, png(picture(*size)), retention=1, max_tokens=3))
    visual, newlines = int((seen.ids >= 0).sum()), int((seen.ids == -1).sum())
    assert last.usage.prompt_visual_tokens == visual
    assert last.usage.prompt_newline_tokens == newlines
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}], add_generation_prompt=True
    )
    # The template writes a line break behind the placeholder.
    assert last.usage.prompt_text_tokens == len(processor.tokenizer(text).input_ids) + 1
    assert last.savings == Savings(total=visual, kept=visual, dropped=0)
    assert (last.usage.completion_tokens, last.finish_reason) == (3, GenerateResponse.LENGTH)


@pytest.mark.parametrize("newlines", ["every_row", "kept_rows"])
async def test_the_bill_after_dropping(chat, look, engine, forwards, newlines):
    seen = look((333, 101))
    total = int((seen.ids >= 0).sum())
    names = ["heroserve_prefill_flops_saved_total", "heroserve_kv_cache_bytes_saved_total"]
    kinds = ["text", "visual", "newline"]
    before = [metric(name) for name in names]
    before_kinds = [metric("heroserve_prompt_tokens_total", kind=kind) for kind in kinds]
    _, last = await answer(
        chat(newlines=newlines), job(QUESTION, png(picture(333, 101)), max_visual_tokens=9, max_tokens=2)
    )
    assert (last.savings.total, last.savings.kept, last.savings.dropped) == (total, 9, total - 9)
    usage = last.usage
    assert usage.prompt_visual_tokens == 9
    rows = int((seen.ids == -1).sum())
    assert (usage.prompt_newline_tokens == rows) == (newlines == "every_row")
    prompt = usage.prompt_text_tokens + usage.prompt_visual_tokens + usage.prompt_newline_tokens
    assert forwards.lengths[0] == prompt
    # What no newline was needed for is saved as well.
    cost, saved = engine.cost, total - 9 + rows - usage.prompt_newline_tokens
    flops, kv = [metric(name) - then for name, then in zip(names, before, strict=True)]
    assert flops == pytest.approx(cost.flops(prompt + saved) - cost.flops(prompt))
    assert kv == saved * cost.kv_bytes
    assert (last.savings.prefill_flops, last.savings.kv_cache_bytes) == (pytest.approx(flops), kv)
    counted = [metric("heroserve_prompt_tokens_total", kind=k) - b for k, b in zip(kinds, before_kinds, strict=True)]
    assert counted == [usage.prompt_text_tokens, usage.prompt_visual_tokens, usage.prompt_newline_tokens]


async def test_nothing_is_saved_at_retention_1(chat):
    before = [metric(f"heroserve_{name}_total") for name in ("prefill_flops_saved", "kv_cache_bytes_saved")]
    await answer(chat(), job(QUESTION, png(picture(91, 37)), retention=1, max_tokens=1))
    after = [metric(f"heroserve_{name}_total") for name in ("prefill_flops_saved", "kv_cache_bytes_saved")]
    assert after == before


async def test_timings_and_counts(chat, encoder, forwards):
    encode = encoder.fetch

    async def slow(*args, **options):
        await asyncio.sleep(0.05)
        return await encode(*args, **options)

    encoder.fetch = slow
    forwards.before = lambda count: time.sleep(0.01)
    generated = metric("heroserve_generated_tokens_total")
    firsts = metric("heroserve_time_to_first_token_seconds_count")
    between = {name: metric(f"heroserve_inter_token_seconds_{name}") for name in ("count", "sum")}
    ends = {reason: metric("heroserve_answers_total", finish_reason=reason) for reason in ("length", "stop")}
    started = time.perf_counter()
    _, last = await answer(chat(), job(QUESTION, png(picture(91, 37)), max_tokens=6))
    passed = time.perf_counter() - started
    timings = last.timings
    assert timings.encode >= 0.05
    assert timings.time_to_first_token >= timings.encode + 0.01
    assert timings.total >= timings.time_to_first_token + 5 * 0.01
    assert timings.total <= passed
    assert metric("heroserve_generated_tokens_total") - generated == 6
    assert metric("heroserve_time_to_first_token_seconds_count") - firsts == 1
    # From one to the next, so one less than tokens, and nothing of the time before the first.
    assert metric("heroserve_inter_token_seconds_count") - between["count"] == 5
    spent = metric("heroserve_inter_token_seconds_sum") - between["sum"]
    assert 5 * 0.01 <= spent <= timings.total - timings.time_to_first_token + 1e-3
    assert metric("heroserve_answers_total", finish_reason="length") - ends["length"] == 1
    assert metric("heroserve_answers_total", finish_reason="stop") == ends["stop"]


async def test_the_request_that_is_served_keeps_time_and_notes(chat):
    with context.serving(RequestContext("mine")) as request:
        _, last = await answer(chat(), job(QUESTION, png(picture(91, 37)), max_tokens=4))
    usage = last.usage
    assert request.facts == {
        "cache": "miss",
        "tokens": {
            "total": last.savings.total,
            "kept": last.savings.kept,
            "prompt": usage.prompt_text_tokens + usage.prompt_visual_tokens + usage.prompt_newline_tokens,
            "completion": 4,
        },
        "finish_reason": "length",
    }
    seconds = request.stages.seconds
    assert seconds.keys() == {"encode", "assemble", "prefill", "decode"}
    assert seconds["encode"] == last.timings.encode
    assert seconds["encode"] + seconds["assemble"] + seconds["prefill"] <= last.timings.time_to_first_token
    assert last.timings.total <= request.stages.total


async def test_what_is_broken_off_is_counted_as_far_as_it_came(chat):
    with context.serving(RequestContext("mine")) as request:
        async with aclosing(door.responses(chat().generate(job(QUESTION, max_tokens=400)))) as responses:
            await anext(responses)
    assert request.facts["tokens"]["completion"] >= 1
    assert "finish_reason" not in request.facts
    assert request.stages.seconds.keys() == {"assemble", "prefill", "decode"}


async def test_too_late_no_image_is_asked_for(chat, encoder, forwards):
    with context.serving(RequestContext("late", deadline=time.monotonic() - 1)), pytest.raises(DeadlineExceeded):
        await answer(chat(), job(QUESTION, png(picture(91, 37)), max_tokens=4))
    assert (encoder.calls, forwards.lengths) == ([], [])


async def test_too_late_no_answer_is_begun(chat, encoder, forwards):
    fetch = encoder.fetch
    request = RequestContext("late", deadline=time.monotonic() + 60)

    async def slow(*args, **options):
        # The clock, not the machine: the minute is over when the encoder has answered.
        object.__setattr__(request, "deadline", time.monotonic() - 1)
        return await fetch(*args, **options)

    encoder.fetch = slow
    with context.serving(request), pytest.raises(DeadlineExceeded):
        await answer(chat(), job(QUESTION, png(picture(91, 37)), max_tokens=4))
    assert len(encoder.calls) == 1
    assert forwards.lengths == []


async def test_two_images_are_encoded_at_the_same_time(chat, encoder):
    encode, inside, both = encoder.fetch, [], asyncio.Event()

    async def wait(*args, **options):
        inside.append(args)
        if len(inside) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), 60)
        return await encode(*args, **options)

    encoder.fetch = wait
    await answer(chat(max_images=2), job(QUESTION, png(picture(91, 37)), png(picture(50, 40)), max_tokens=1))


async def test_the_encoder_gets_the_question_and_the_budget(chat, encoder):
    question = job("  what is it?\n", png(picture(91, 37)), retention=0.5, max_tokens=1)
    await answer(chat(), question)
    ((place, image, text, budget),) = encoder.calls
    assert (text, budget) == ("what is it?", Retention(0.5))
    assert (place, image) == question.images[0]


async def test_a_stop_string_ends_the_answer(chat, hf, processor, forwards):
    image = picture(224, 224)
    whole, _ = reference(hf, processor, [image], QUESTION, 24)
    visible = [i for i in range(4, len(whole) - 8) if whole[i : i + 4].isascii() and whole.count(whole[i : i + 4]) == 1]
    at = visible[len(visible) // 2]
    stop = whole[at : at + 4]
    # Of so many that no machine has made them all by the time that the stop is read.
    text, last = await answer(chat(), job(QUESTION, png(image), retention=1, max_tokens=2000, stop=[stop]))
    assert text == whole[:at]
    assert last.finish_reason == GenerateResponse.STOP
    # What nobody reads is not generated to its end.
    assert last.usage.completion_tokens < 24
    assert len(forwards.lengths) < 2000


async def test_the_end_of_sequence_ends_the_answer(folder, encoder, prompts, hf, processor):
    image = picture(224, 224)
    _, ids = reference(hf, processor, [image], QUESTION, 24)
    at = next(i for i in range(3, 24) if ids.index(ids[i]) == i)
    edit(folder, generation={"eos_token_id": [2, ids[at]]})
    other = Language(folder)
    pipeline = parts.open_chat(LlmSettings(model=str(folder)), encoder, prompts, other.splicer, other.engine)
    for limit in (24, at + 1):
        _, last = await answer(pipeline, job(QUESTION, png(image), retention=1, max_tokens=limit))
        assert last.finish_reason == GenerateResponse.STOP
        assert last.usage.completion_tokens == at + 1
    _, last = await answer(pipeline, job(QUESTION, png(image), retention=1, max_tokens=at))
    assert last.finish_reason == GenerateResponse.LENGTH


async def test_a_seed_repeats_the_answer(chat):
    image = png(picture(91, 37))
    texts = [
        (await answer(chat(), job(QUESTION, image, temperature=1.5, seed=seed, max_tokens=8)))[0] for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


async def test_max_tokens_by_default(chat):
    _, last = await answer(chat(default_max_tokens=5), job(QUESTION))
    assert (last.usage.completion_tokens, last.finish_reason) == (5, GenerateResponse.LENGTH)


@pytest.fixture
def narrow(folder, prompts, encoder):
    """Makes pipelines over a model with a context of 300 tokens."""
    edit(folder, text_config={"max_position_embeddings": 300})
    other = Language(folder)

    def make(**settings):
        read = LlmSettings(model=str(folder), **settings)
        return parts.open_chat(read, encoder, prompts, other.splicer, other.engine)

    return make


async def test_a_prompt_beyond_the_context_is_refused(narrow):
    with pytest.raises(InvalidArgument, match=r"^messages: make a prompt of \d+ tokens; the limit is 300"):
        await answer(narrow(), job(QUESTION, png(picture(337, 337)), retention=1))
    # Dropping makes room.
    await answer(narrow(), job(QUESTION, png(picture(337, 337)), retention=0.1, max_tokens=1))
    with pytest.raises(InvalidArgument, match=r"^messages: "):
        await answer(narrow(), job("\N{GRINNING FACE}" * 100))


async def test_the_context_holds_prompt_and_answer(narrow):
    _, last = await answer(narrow(), job(QUESTION, max_tokens=1))
    prompt = last.usage.prompt_text_tokens
    room = 300 - prompt
    with pytest.raises(
        InvalidArgument, match=rf"^sampling\.max_tokens: is {room + 1}; .* {prompt} tokens the limit is {room} of 300"
    ):
        await answer(narrow(), job(QUESTION, max_tokens=room + 1))
    _, last = await answer(narrow(), job(QUESTION, max_tokens=room))
    assert last.usage.completion_tokens == room
    # The default only fills what room there is.
    _, last = await answer(narrow(default_max_tokens=100_000), job(QUESTION))
    assert last.usage.completion_tokens == room


async def test_original_positions_stay_within_the_context(narrow):
    with pytest.raises(InvalidArgument):
        await answer(narrow(position_ids="original"), job(QUESTION, png(picture(337, 337)), retention=0.1))


async def test_what_the_encoder_refuses_ends_the_request(chat, encoder, forwards):
    async def fail(*args, **options):
        raise Unavailable("encoder at nowhere: gone")

    encoder.fetch = fail
    with pytest.raises(Unavailable, match="gone"):
        await answer(chat(), job(QUESTION, png(picture(91, 37))))
    assert forwards.lengths == []


async def test_when_one_image_fails_the_others_are_given_up(chat, encoder):
    given_up = asyncio.Event()

    async def encode(place, image, question, budget, *, explain):
        if place.item == 0:
            raise Unavailable("gone")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            given_up.set()
            raise

    encoder.fetch = encode
    image = png(picture(91, 37))
    with pytest.raises(Unavailable):
        await answer(chat(max_images=2), job(QUESTION, image, image))
    await asyncio.wait_for(given_up.wait(), 60)


async def test_a_broken_image_is_named(chat):
    with pytest.raises(InvalidArgument, match="not an image"):
        await answer(chat(), job(QUESTION, b"no image at all"))


async def test_what_the_template_can_not_ask_is_refused_before_anything_is_encoded(chat, encoder):
    split = asked("<ima", png(picture(91, 37)))
    split.messages[0].parts.add(text="ge>")
    with pytest.raises(InvalidArgument, match="reserved"):
        await answer(chat(), checked(split, 1))
    assert encoder.calls == []


async def test_a_schema_is_refused_before_anything_is_encoded(chat, encoder):
    """By the doors' name for it, since this engine can't hold an answer to one."""
    asked = job(QUESTION, png(picture(91, 37)), json_schema='{"type": "object"}')
    with pytest.raises(InvalidArgument, match="text alone; leave it out") as refused:
        await answer(chat(), asked)
    assert refused.value.field == "sampling.json_schema"
    assert encoder.calls == []


async def test_the_order_of_text_and_image_does_not_matter(hf, processor, chat):
    image = picture(91, 37)
    behind = asked("", png(image), retention=1, max_tokens=12)
    behind.messages[0].parts.reverse()
    behind.messages[0].parts[0].text = QUESTION
    assert behind.messages[0].parts[1].HasField("image")
    text, _ = await answer(chat(), checked(behind, 1))
    assert text == reference(hf, processor, [image], QUESTION, 12)[0]


async def test_a_tag_in_a_question_is_asked_about(chat):
    _, last = await answer(chat(), job("how do I write an <image> tag, and </s>?", png(picture(91, 37)), max_tokens=2))
    assert last.usage.completion_tokens == 2


async def test_leaving_early_stops_the_model(chat, forwards):
    forwards.before = lambda count: time.sleep(0.005)
    responses = door.responses(chat().generate(job(QUESTION, max_tokens=3000)))
    async for response in responses:
        assert response.delta
        break
    await responses.aclose()
    at_close = len(forwards.lengths)
    await asyncio.sleep(0.1)
    assert len(forwards.lengths) <= at_close + 1


async def test_prompts_that_the_engine_has_are_told_in_tokens(untrained, encoder, prompts, splicer, engine):
    class Full(TransformersEngine):
        waiting = 1

        async def generate(self, prompt, sampling, max_tokens, request_id=""):
            await asyncio.sleep(0)
            told.append((len(prompt), chat.prompt_tokens()))
            for token in prompts.tokenizer("read " * 10).input_ids:
                yield token

    told = []
    chat = parts.open_chat(
        LlmSettings(model=untrained), encoder, prompts, splicer, Full(engine.model, engine.end_tokens, 1)
    )
    await collect(chat.generate(job(QUESTION)))
    ((length, held),) = told
    assert held == (length, 0)
    # None is held for good.
    assert chat.prompt_tokens() == (0, 0)


@pytest.mark.parametrize("stop", [[], ["e", "a", " "]])
async def test_the_engine_is_closed_when_the_answer_ends(untrained, encoder, prompts, splicer, engine, stop):
    """At once: whoever waits in line is next."""
    open_streams = []

    class Endless(TransformersEngine):
        def __init__(self):
            super().__init__(engine.model, engine.end_tokens, 1)

        async def generate(self, prompt, sampling, max_tokens, request_id=""):
            open_streams.append(self)
            try:
                for token in prompts.tokenizer("read " * 1000).input_ids:
                    yield token
            finally:
                open_streams.remove(self)

    class Held(Endless):
        def generate(self, *args):
            # Referred to from here, so that nothing but aclose() ends it.
            self.stream = super().generate(*args)
            return self.stream

    chat = parts.open_chat(LlmSettings(model=untrained), encoder, prompts, splicer, Held())
    responses = door.responses(chat.generate(job(QUESTION, stop=stop)))
    if stop:
        assert (await collect(responses))[-1].finish_reason == GenerateResponse.STOP
    else:
        assert (await anext(responses)).delta
        assert len(open_streams) == 1
        await responses.aclose()
    assert open_streams == []


async def test_ten_at_once_get_what_each_gets_alone(chat):
    images = [png(picture(60 + 20 * i, 80)) for i in range(5)]
    jobs = [job(QUESTION, image, retention=share, max_tokens=6) for image in images for share in (0.3, 1.0)]
    alone = [await answer(chat(), one) for one in jobs]
    together = await asyncio.gather(*(answer(chat(), one) for one in jobs))
    assert [text for text, _ in together] == [text for text, _ in alone]
    assert [last.usage for _, last in together] == [last.usage for _, last in alone]
    assert len({text for text, _ in alone}) > 5


async def test_a_failure_of_the_model_reaches_the_caller(chat, forwards):
    def fail(count):
        if count == 2:
            raise torch.OutOfMemoryError

    forwards.before = fail
    with pytest.raises(torch.OutOfMemoryError):
        await answer(chat(), replace(job(QUESTION, max_tokens=6)))
