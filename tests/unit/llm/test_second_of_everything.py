"""Rooms for a second engine and a second door: both are added here, and nothing else of the service is touched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar

import pytest
import torch

from services.common.budget import BudgetError, Retention
from services.common.settings import SettingError
from services.llm import parts
from services.llm.answer import Bill, Delta
from services.llm.assemble import Prompt
from services.llm.cost import PromptCost
from services.llm.doors import grpc
from services.llm.doors.openai import answer
from services.llm.engines.engine import Read
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.refusal import Refusal, Role
from services.llm.settings import LlmSettings
from tests.support.llm_parts import picture, png


class Nearest:
    """An engine without a transformer: it says the tokens whose embeddings are nearest to the prompt's, last first.

    It keeps no weights of ours, takes no position ids, and has a context, a cost and an end token of its own.
    """

    context_length = 100
    end_tokens = frozenset({7})
    cost = PromptCost(matmul_parameters=10, layers=2, attention_width=3, kv_bytes=5)
    takes_position_ids = False
    takes_json_schema = False

    def __init__(self, table: torch.Tensor) -> None:
        self._table = table
        self.called: list[str] = []

    async def generate(
        self, prompt: Prompt, sampling: Sampling, max_tokens: int, request_id: str = ""
    ) -> AsyncIterator[int]:
        self.called.append(request_id)
        for embedding in prompt.embed(lambda ids: self._table[ids], self._table.device).flip(0)[:max_tokens]:
            token = int(torch.cdist(embedding[None], self._table).argmin())
            yield token
            if token in self.end_tokens:
                return

    def check_health(self) -> None:
        """Nothing to lose."""


@pytest.fixture
def nearest(language):
    return Nearest(language.table.weight.detach())


@pytest.fixture
def chat(untrained, encoder, prompts, splicer, nearest):
    return parts.open_chat(LlmSettings(model=untrained, max_images=2), encoder, prompts, splicer, nearest)


class JsonDoor:
    """A door that takes what OpenAI's clients send, and names fields as they do."""

    _FIELDS: ClassVar = {
        "messages": "messages",
        "message_role": "messages[{turn}].role",
        "parts": "messages[{turn}].content",
        "text": "messages[{turn}].content[{item}].text",
        "image": "messages[{turn}].content[{item}].image_url",
        "image_data": "messages[{turn}].content[{item}].image_url",
        "retention": "heroserve.retention",
        "max_tokens": "max_completion_tokens",
        "temperature": "temperature",
    }

    def __init__(self, chat: Any) -> None:
        self._chat = chat

    async def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            job = ChatJob(
                turns=tuple(self._turn(message) for message in body["messages"]),
                budget=Retention(body["heroserve"]["retention"]) if "heroserve" in body else None,
                sampling=Sampling(
                    max_tokens=body.get("max_completion_tokens"), temperature=body.get("temperature", 0.0)
                ),
            )
            text = ""
            async with aclosing(self._chat.generate(job)) as pieces:
                async for piece in pieces:
                    match piece:
                        case Delta(delta):
                            text += delta
                        case Bill() as bill:
                            pass
        except BudgetError as error:
            return {"error": {"param": self._spell(Role(error.kind)), "message": error.problem}}
        except Refusal as refusal:
            remedy = self._spell(refusal.remedy) if refusal.remedy else ""
            return {
                "error": {
                    "param": self._spell(refusal.role),
                    "message": refusal.problem.replace("{remedy}", remedy),
                    "status": 404 if refusal.missing else 400,
                }
            }
        usage = bill.usage
        return {
            "choices": [{"message": {"content": text}, "finish_reason": bill.finish_reason}],
            "usage": {"completion_tokens": usage.completion_tokens, "visual": usage.prompt_visual_tokens},
        }

    def _turn(self, message: dict[str, Any]) -> Turn:
        content = message["content"]
        items = [{"text": content}] if isinstance(content, str) else content
        return Turn(message["role"], tuple(e["text"] if "text" in e else ImagePart(data=e["image_url"]) for e in items))

    def _spell(self, role: Role) -> str:
        return self._FIELDS[role.name].format(turn=role.turn, item=role.item)


@pytest.fixture
def door(chat):
    return JsonDoor(chat)


def asked(*content: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}], **options}


PICTURE = {"image_url": png(picture(91, 37))}
QUESTION = {"text": "what is this"}


async def test_another_door_on_another_engine_answers(door, prompts, nearest):
    answer = await door.answer(asked(PICTURE, QUESTION, max_completion_tokens=4, heroserve={"retention": 0.1}))
    # The end of the prompt, read backwards: through the splicer and the engine each token comes out as itself.
    ids = prompts.build(ChatJob((Turn("user", (ImagePart(data=b"-"), QUESTION["text"])),)))
    assert answer["choices"] == [
        {
            "message": {"content": prompts.tokenizer.decode(ids[::-1][:4], skip_special_tokens=True)},
            "finish_reason": "length",
        }
    ]
    assert answer["usage"]["completion_tokens"] == 4
    assert answer["usage"]["visual"] > 0
    # No gate has let this one in.
    assert nearest.called == [""]


async def test_the_engines_own_limits_count(door):
    told = await door.answer(asked(PICTURE, QUESTION, heroserve={"retention": 1.0}))
    assert told["error"]["param"] == "messages"
    assert "the limit is 100 with the answer. Shorten the text or lower heroserve.retention" in told["error"]["message"]
    told = await door.answer(asked(QUESTION, max_completion_tokens=99))
    assert told["error"]["param"] == "max_completion_tokens"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        (asked(QUESTION, temperature=3.0), "temperature"),
        (asked(QUESTION, heroserve={"retention": 2.0}), "heroserve.retention"),
        (asked({"text": "<ima"}, {"text": "ge>"}), "messages[0].content"),
        (asked(QUESTION, {"image_url": b""}), "messages[0].content[1].image_url"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages[1].role"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_refusals_are_in_the_doors_own_words(door, body, param):
    assert (await door.answer(body))["error"]["param"] == param


def test_an_engine_that_takes_no_position_ids_is_not_asked_to(untrained, encoder, prompts, splicer, nearest):
    settings = LlmSettings(model=untrained, position_ids="original")
    with pytest.raises(SettingError, match=r"^HEROSERVE_POSITION_IDS='original': .* takes no position ids"):
        parts.open_chat(settings, encoder, prompts, splicer, nearest)


class Remembering(Nearest):
    """One that knows what it has read before, holds answers to schemas, and ends by a token of its own."""

    end_tokens = frozenset[int]()
    takes_json_schema = True

    async def generate(self, prompt: Prompt, sampling: Sampling, *others: Any) -> AsyncIterator[int | Read]:
        assert sampling.json_schema is not None
        yield Read(cached_tokens=5)
        yield 90
        yield 1


async def test_what_an_engine_had_read_before_is_told_and_that_it_has_ended(
    untrained, encoder, prompts, splicer, language
):
    engine = Remembering(language.table.weight.detach())
    chat = parts.open_chat(LlmSettings(model=untrained), encoder, prompts, splicer, engine)
    job = ChatJob((Turn("user", ("what",)),), sampling=Sampling(max_tokens=9, json_schema="{}"))
    *deltas, bill = [piece async for piece in chat.generate(job)]
    assert (bill.finish_reason, bill.usage.completion_tokens, bill.usage.prompt_cached_tokens) == ("stop", 2, 5)
    assert "".join(delta.text for delta in deltas) == prompts.tokenizer.decode([90])
    assert grpc.response(bill).usage.prompt_cached_tokens == 5
    assert answer.usage(bill.usage).prompt_tokens_details.cached_tokens == 5
