"""Which of several vLLMs beside gets a request: by its image, as long as it is there and has room."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import torch

from services.common.errors import FailedPrecondition, ResourceExhausted, ServiceError, Unavailable
from services.common.settings import SettingError
from services.llm.assemble import Prompt
from services.llm.cost import PromptCost
from services.llm.engines.engine import Read
from services.llm.engines.remote import servers as module
from services.llm.engines.remote.agreement import Terms
from services.llm.engines.remote.engine import RemoteEngine
from services.llm.engines.remote.open import open_remote
from services.llm.engines.remote.preference import key_of, preferred
from services.llm.engines.remote.urls import parse_urls
from services.llm.engines.vllm.drawing import Drawing
from services.llm.job import ImagePart, Sampling, Turn
from services.llm.prompt import PromptBuilder
from services.llm.refusal import Refusal
from tests.support.odd_server import Answer, OddServer, event, piece, says, stream
from tests.support.waiting import until_true

URLS = [f"http://server-{number}" for number in range(5)]
KEYS = [str(number).encode() for number in range(2000)]
IDS = (2, 5, 40, 6)
TURNS = (Turn("user", ("a",)),)


def test_images_are_spread_evenly():
    first = Counter(preferred(key, URLS)[0] for key in KEYS)
    assert min(first.values()) > len(KEYS) / len(URLS) * 0.8


def test_one_that_leaves_moves_none_but_its_own_and_those_evenly():
    gone = URLS[2]
    moved: Counter[str] = Counter()
    for key in KEYS:
        before = preferred(key, URLS)
        after = preferred(key, [url for url in URLS if url != gone])
        assert after == [url for url in before if url != gone]
        if before[0] == gone:
            moved[after[0]] += 1
    assert len(moved) == 4
    assert min(moved.values()) > sum(moved.values()) / 4 * 0.7


def test_the_order_in_which_they_are_named_does_not_matter():
    assert preferred(b"x", URLS) == preferred(b"x", URLS[::-1])


def test_a_conversation_keeps_its_server_through_its_turns_and_an_image_has_one_however_it_is_sent():
    data = b"a picture"
    digest = hashlib.sha256(data).hexdigest()
    first = Turn("user", (ImagePart(data=data), "what?"))
    later = (first, Turn("assistant", ("that",)), Turn("user", (ImagePart(data=b"another"), "and?")))
    assert key_of([first]) == key_of(later)
    assert key_of([Turn("user", ("why?", ImagePart(digest=digest)))]) == key_of([first])
    assert key_of([Turn("user", (ImagePart(digest=digest.upper()),))]) == key_of([first])
    assert key_of([Turn("user", (ImagePart(data=b"other"),))]) != key_of([first])
    texts = [Turn("user", ("a",)), Turn("assistant", ("b",))]
    assert key_of(texts[:1]) == key_of(texts)
    assert key_of([Turn("user", ("lone \udc80",))]) != key_of(texts)


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("http://a:8000", ("http://a:8000",)),
        (" http://a:8000/ , https://B/v1/ ", ("http://a:8000", "https://b")),
        ("http://a/vllm/v1", ("http://a/vllm",)),
        ("http://a:8000/v1/chat/completions", ("http://a:8000",)),
        ("https://a/vllm/v1/models/,http://a/v1/completions", ("https://a/vllm", "http://a")),
        ("http://a/v1/gateway/v1", ("http://a/v1/gateway",)),
        ("http://[::1]:8000", ("http://[::1]:8000",)),
    ],
)
def test_urls(value: str, urls: tuple[str, ...]):
    assert parse_urls(value) == urls


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("a:8000", "is neither"),
        ("grpc://a", "is neither"),
        ("http://", "is neither"),
        ("http://a,", "URL 2 of 2, between commas, is empty"),
        ("http://a,http://a/v1", "URL 2 of 2, between commas, is http://a again"),
        ("http://u:s3cret@a", "a name or password in it"),
        ("http://a?x=1", "has more in it"),
        ("http://a b", "has more in it"),
        ("http://a:port", "can't be read"),
        ("http://[a", "can't be read"),
        (",".join(f"http://a{n}" for n in range(65)), "these are 65"),
    ],
)
def test_urls_that_can_not_be_used_are_refused(value: str, told: str):
    with pytest.raises(ValueError, match=r"^expected ") as refused:
        parse_urls(value)
    assert told in str(refused.value)
    assert "s3cret" not in str(refused.value)


WHOLE = (piece(prompt_token_ids=IDS), piece(7), piece(1, finish="stop"))
USAGE = event(choices=[], usage={"prompt_tokens_details": {"cached_tokens": 3}})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.05)


@asynccontextmanager
async def engine(
    prompts: PromptBuilder, *servers: OddServer, begin: bool = True, **options: Any
) -> AsyncIterator[RemoteEngine]:
    """Over servers that run, none of which is asked for examples."""
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server.running())
        made = open_remote(
            **{"urls": [server.url for server in servers], "api_key": "s3cret", "timeout_s": 30, "slots": 4} | options,
            prompts=prompts,
            checkpoint="",
            width=4,
            drawing=Drawing(frozenset({1})),
            context_length=4096,
            cost=PromptCost(1, 1, 1, 1),
        )
        made._servers.terms = Terms([], "", prompts.tokenizer)
        stack.push_async_callback(made.close)
        if begin:
            await made.begin()
        yield made


def prompt(turns: tuple[Turn, ...] = TURNS) -> Prompt:
    return Prompt(torch.tensor(IDS), (), torch.arange(4), 4, turns)


async def asked(made: RemoteEngine, turns: tuple[Turn, ...] = TURNS, **sampling: Any) -> list[Any]:
    return [token async for token in made.generate(prompt(turns), Sampling(**sampling), 8, "request-7")]


def answering(*pieces: bytes) -> OddServer:
    server = OddServer()
    server.chat = stream(*(pieces or WHOLE))
    return server


async def test_what_is_sent_and_what_comes_back(prompts: PromptBuilder):
    server = answering(*WHOLE, USAGE, b"data: [DONE]\n\n")
    async with engine(prompts, server) as made:
        assert await asked(made, temperature=0.5, top_p=0.9, seed=2**64 - 1, stop=("a", "b", "c", "d", "e")) == [
            7,
            Read(3),
            1,
        ]
        assert await asked(made, ignore_eos=True, json_schema='{"type": "object"}') == [7, Read(3), 1]
        assert (made.context_length, made.slots, made.problem) == (100, 4, None)
    sent, schema = server.asked
    assert sent["model"] == "odd"
    assert (sent["stream"], sent["return_token_ids"], sent["temperature"], sent["top_p"]) == (True, True, 0.5, 0.9)
    # vLLM's limits: seeds have 63 bits, and there are four stop strings at most; who reads the text has the others.
    assert (sent["seed"], sent["stop"], sent["max_tokens"]) == (2**63 - 1, ["a", "b", "c", "d"], 8)
    # Ends are the checkpoint's, whatever the server's generation config says.
    assert (sent["ignore_eos"], sent["stop_token_ids"]) == (True, [1])
    assert schema["response_format"]["json_schema"]["schema"] == {"type": "object"}
    # Behind an end a schema asks for nothing.
    assert schema["stop_token_ids"] == [1]
    assert server.headers[0]["Authorization"] == "Bearer s3cret"
    assert server.headers[0]["X-Request-Id"] == "request-7"


async def test_requests_of_an_image_stay_together_and_those_of_many_do_not(prompts: PromptBuilder):
    servers = [answering() for _ in range(3)]
    async with engine(prompts, *servers) as made:
        for _ in range(6):
            await asked(made)
        assert sorted(len(server.asked) for server in servers) == [0, 0, 6]
        for number in range(24):
            await asked(made, (Turn("user", (str(number),)),))
    assert min(len(server.asked) for server in servers) > 0


async def test_many_at_once_about_one_image_are_not_all_for_one_server(prompts: PromptBuilder):
    release = asyncio.Event()

    async def slow(request: Any) -> Any:
        await release.wait()
        return await stream(*WHOLE)(request)

    servers = [OddServer(), OddServer()]
    for server in servers:
        server.chat = slow
    async with engine(prompts, *servers, slots=100) as made:
        tasks = [asyncio.create_task(asked(made)) for _ in range(40)]
        await until_true(lambda: sum(len(server.asked) for server in servers) == 40)
        few, most = sorted(len(server.asked) for server in servers)
        assert few >= 10
        assert most > few
        release.set()
        await asyncio.gather(*tasks)


async def test_a_server_is_never_sent_more_than_the_setting_says(prompts: PromptBuilder):
    under_way = most = 0

    async def counted(request: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return await stream(*WHOLE)(request)

    server = OddServer()
    server.chat = counted
    async with engine(prompts, server, slots=3) as made:
        answers = await asyncio.gather(*(asked(made) for _ in range(12)))
    assert answers == [[7, 1]] * 12
    assert most == 3


@pytest.mark.parametrize(
    "trouble", [says(503), says(429, "{}"), says(401), says(500), stream(cut=True), stream(piece(prompt_token_ids=IDS))]
)
async def test_before_its_first_token_a_request_is_answered_elsewhere(prompts: PromptBuilder, trouble: Answer):
    servers = [answering(), answering()]
    async with engine(prompts, *servers) as made:
        await asked(made)
        (mine,) = (server for server in servers if server.asked)
        mine.chat = trouble
        assert await asked(made) == [7, 1]
    assert [len(server.asked) for server in servers if server is not mine] == [1]


async def test_behind_its_first_token_it_is_broken_off(prompts: PromptBuilder):
    servers = [answering(piece(prompt_token_ids=IDS), piece(7)), answering(piece(prompt_token_ids=IDS), piece(7))]
    async with engine(prompts, *servers) as made:
        tokens: list[Any] = []
        with pytest.raises(Unavailable, match="broke off"):
            await extend(tokens, made)
    assert tokens == [7]
    assert sorted(len(server.asked) for server in servers) == [0, 1]


async def extend(tokens: list[Any], made: RemoteEngine) -> None:
    async for token in made.generate(prompt(), Sampling(), 8):
        tokens.append(token)


async def test_a_request_that_ends_servers_does_not_end_them_all(prompts: PromptBuilder):
    servers = [OddServer() for _ in range(4)]
    for server in servers:
        server.chat = stream(cut=True)
    async with engine(prompts, *servers) as made:
        with pytest.raises(Unavailable):
            await asked(made)
    assert sum(len(server.asked) for server in servers) == 2


@pytest.mark.usefixtures("quick")
async def test_one_that_is_down_is_left_out_and_taken_back(prompts: PromptBuilder):
    server = answering()
    async with engine(prompts, server) as made:
        server.chat = server.models = server.health = says(503)
        with pytest.raises(Unavailable):
            await asked(made)
        assert made.problem == "vLLM does not answer"
        sent = len(server.asked)
        with pytest.raises(Unavailable) as caught:
            await asked(made)
        # One layer tries again, and it was this one.
        assert caught.value.retry_after_s == -1
        assert len(server.asked) == sent
        server.chat, server.models, server.health = stream(*WHOLE), OddServer().models, says(200)
        await until_true(lambda: made.problem is None)
        assert await asked(made) == [7, 1]


@pytest.mark.usefixtures("quick")
async def test_one_that_says_it_is_ill_is_left_out_before_anybody_asks(prompts: PromptBuilder):
    server = answering()
    async with engine(prompts, server) as made:
        server.health = server.models = says(503)
        await until_true(lambda: made.problem is not None)
        with pytest.raises(Unavailable):
            await asked(made)
    assert server.asked == []


async def test_none_there_at_the_start_is_waited_for_and_one_that_is_wrong_is_not(prompts: PromptBuilder):
    down, wrong = answering(), answering()
    down.models = says(503)
    wrong.models = says(401)
    async with engine(prompts, down) as made:
        assert made.problem == "vLLM does not answer"
        assert made.context_length == 4096
        with pytest.raises(Unavailable):
            await asked(made)
    async with engine(prompts, down, wrong, begin=False) as made:
        with pytest.raises(SettingError, match=r"^HEROSERVE_VLLM_URL='http.*HEROSERVE_VLLM_API_KEY") as refused:
            await made.begin()
    assert "s3cret" not in str(refused.value)
    async with engine(prompts, answering(), wrong) as made:
        assert made.problem is None


@pytest.mark.parametrize("given", [(2, 5, 41, 6), (2, 5, 40), (2, 5, 40, 6, 6), ()])
async def test_nothing_is_said_from_another_prompt(prompts: PromptBuilder, given: tuple[int, ...]):
    server = answering(piece(prompt_token_ids=given), piece(7), piece(1, finish="stop"))
    async with engine(prompts, server) as made:
        tokens: list[Any] = []
        with pytest.raises(FailedPrecondition, match="another model, tokenizer or chat template"):
            await extend(tokens, made)
    assert tokens == []


async def test_nothing_is_said_from_a_prompt_that_is_not_told(prompts: PromptBuilder):
    server = answering(piece(7), piece(1, finish="stop"))
    async with engine(prompts, server) as made:
        tokens: list[Any] = []
        with pytest.raises(FailedPrecondition, match="does not tell token ids"):
            await extend(tokens, made)
    assert tokens == []


@pytest.mark.parametrize(
    ("sampling", "kind"), [({"json_schema": '{"type": 1}'}, Refusal), ({"temperature": 0.1}, FailedPrecondition)]
)
async def test_a_schema_that_it_can_not_hold_to_is_the_callers_to_change(
    prompts: PromptBuilder, sampling: dict[str, Any], kind: type[Exception]
):
    server = answering(event(error={"message": "Grammar error: Invalid type: 1", "code": 400}))
    async with engine(prompts, server) as made:
        with pytest.raises(kind, match="Grammar error") as caught:
            await asked(made, **sampling)
    if isinstance(caught.value, Refusal):
        assert caught.value.role.name == "json_schema"


async def test_a_full_server_says_so_only_where_all_are(prompts: PromptBuilder):
    servers = [OddServer() for _ in range(4)]
    for server in servers:
        server.chat = says(429, '{"error": {"message": "full"}}', **{"Retry-After": "3"})
    async with engine(prompts, *servers) as made:
        with pytest.raises(ResourceExhausted, match="full") as caught:
            await asked(made)
    assert isinstance(caught.value, ServiceError)
    assert caught.value.retry_after_s == 3
    assert [len(server.asked) for server in servers] == [1] * 4


async def test_closing_the_answer_closes_the_request(prompts: PromptBuilder):
    gone = asyncio.Event()

    async def endless(request: Any) -> Any:
        from aiohttp import web

        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(piece(prompt_token_ids=IDS))
        try:
            while True:
                await response.write(piece(7))
                await asyncio.sleep(0.01)
        finally:
            gone.set()

    server = OddServer()
    server.chat = endless
    async with engine(prompts, server) as made:
        tokens = made.generate(prompt(), Sampling(), 8)
        assert await anext(tokens) == 7
        await tokens.aclose()  # type: ignore[attr-defined]
        await asyncio.wait_for(gone.wait(), 20)
        assert [server.under_way for server in made._servers.all.values()] == [0]
