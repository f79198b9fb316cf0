"""Answers as they are written: pieces in time, cancellation, seeds, conversations, many at once."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import heroserve
from tests.support.pictures import encoded, picture
from tests.support.services import Services
from tests.support.waiting import until

DATA = encoded(picture(320, 240, seed=21))


def test_pieces_arrive_before_the_end(client: heroserve.Client):
    client.ask(DATA, "What is it?", max_tokens=2)
    stream = client.stream(DATA, "What is it?", max_tokens=1000, temperature=2.0, seed=3)
    started = time.monotonic()
    times = [time.monotonic() - started for _ in stream]
    assert len(times) > 50
    assert times[0] < times[-1] / 2
    answer = stream.answer
    assert answer.text == stream.text
    assert 0 < answer.timings.encode_s <= answer.timings.time_to_first_token_s < answer.timings.total_s


def test_cancelling_stops_the_engine(services: Services, client: heroserve.Client):
    def cancelled() -> float:
        return services.sample("llm", "heroserve_chat_requests_total", code="CANCELLED")

    before = cancelled()
    # Some go away while the service waits for a token, some while it writes one.
    for seed in range(8):
        with client.stream(DATA, "Go on", max_tokens=3900, temperature=2.0, seed=seed) as stream:
            for _ in zip(stream, range(1 + 5 * seed), strict=False):
                pass
    assert until(lambda: cancelled() == before + 8, 60, pause_s=0.1)
    generated = services.sample("llm", "heroserve_generated_tokens_total")
    time.sleep(1.0)
    assert services.sample("llm", "heroserve_generated_tokens_total") == generated


def test_a_seed_repeats_an_answer(client: heroserve.Client):
    def ask(seed: int) -> str:
        return client.ask(DATA, "What is it?", max_tokens=24, temperature=1.0, top_p=0.95, seed=seed).text

    assert ask(5) == ask(5)
    assert len({ask(seed) for seed in range(5, 9)}) > 1


def test_stop_and_length(client: heroserve.Client):
    whole = client.ask(DATA, "What is it?", max_tokens=24)
    assert whole.finish_reason == "length"
    assert whole.usage.completion_tokens == 24
    word = whole.text[8:11]
    request = heroserve.generate_request(
        [heroserve.user("What is it?", DATA)], max_tokens=24, stop=[word], retention=0.2
    )
    stopped = client.generate(request).read()
    assert stopped.finish_reason == "stop"
    assert stopped.text == whole.text[: whole.text.index(word)]


def test_a_conversation_goes_on(client: heroserve.Client):
    turns = [heroserve.user("What is it?", DATA), heroserve.assistant("A ball."), heroserve.user("Which colour?")]
    long = client.generate(heroserve.generate_request(turns, max_tokens=4)).read()
    short = client.generate(heroserve.generate_request(turns[:1], max_tokens=4)).read()
    assert long.usage.prompt_text_tokens > short.usage.prompt_text_tokens
    assert long.usage.prompt_visual_tokens == short.usage.prompt_visual_tokens > 0
    # Of the same rows: the image is still planned by what was asked of it first.
    assert long.usage.prompt_newline_tokens == short.usage.prompt_newline_tokens > 0


def test_text_alone_needs_no_encoder(client: heroserve.Client):
    answer = client.ask(None, "What is it?", max_tokens=4)
    assert answer.usage.prompt_visual_tokens == answer.savings.total == 0
    assert answer.timings.encode_s == 0


async def test_many_at_once_are_all_answered(services: Services):
    images = [encoded(picture(200 + 10 * i, 200, seed=i)) for i in range(4)]
    async with heroserve.AsyncClient(services.grpc, encoder_target=services.grpc, timeout_s=120) as client:
        asked = [client.ask(images[i % 4], f"Question {i}?", max_tokens=8, retention=0.3) for i in range(24)]
        answers = await asyncio.gather(*asked)
    assert all(answer.usage.completion_tokens == 8 or answer.finish_reason == "stop" for answer in answers)


def test_the_same_alone_and_in_a_crowd(services: Services, client: heroserve.Client):
    questions = [f"Question {i}?" for i in range(8)]
    alone = [client.ask(DATA, question, max_tokens=8).text for question in questions]

    def ask(question: str) -> str:
        with services.client() as own:
            return own.ask(DATA, question, max_tokens=8).text

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, questions)) == alone


def test_deadline(client: heroserve.Client):
    # Nothing ends it but its length, and a token takes more than the 0.1 ms that each would have.
    with pytest.raises(heroserve.DeadlineExceeded):
        client.ask(None, "Go on", max_tokens=4000, timeout_s=0.4)


def test_describe_says_that_the_weights_are_untrained(client: heroserve.Client, untrained: str):
    chat, encoder = client.describe(), client.describe_encoder()
    assert chat.model == encoder.model == untrained
    assert not chat.trained
    assert not encoder.trained
    assert chat.encoder == encoder
    assert chat.engine == "transformers"
    assert (encoder.tile_size, encoder.patches_per_side, encoder.feature_width) == (112, 8, 64)
