"""From settings' values to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp
import torch

from services.llm.assemble import Prompt, Span
from services.llm.conversations import FIRST, IMAGE, QUESTION, SECOND
from services.llm.engines.remote.agreement import Example, Terms
from services.llm.engines.remote.engine import RemoteEngine
from services.llm.engines.remote.messages import Messages
from services.llm.engines.remote.requests import Requests
from services.llm.engines.remote.server import Server
from services.llm.engines.remote.servers import Servers
from services.llm.engines.vllm.drawing import Drawing
from services.llm.job import ChatJob, Turn
from services.llm.prompt import PromptBuilder

_CONNECT_S = 5.0
# Shorter than vLLM's, which closes a connection 5 s after its last answer: it could be while we send.
_KEEP_S = 2.0
# Tokens of an image in an example: with one alone, it could not be told that there are as many as were sent.
_ROWS = 3


def open_remote(
    *,
    urls: Sequence[str],
    api_key: str,
    timeout_s: float,
    slots: int,
    prompts: PromptBuilder,
    checkpoint: str,
    width: int,
    drawing: Drawing,
    **engine: Any,
) -> RemoteEngine:
    """To be called in the event loop that it is used in.

    Args:
        urls: base URLs of the servers.
        api_key: sent to each; "" sends none.
        timeout_s: longest that a server may say nothing.
        slots: requests that each is sent at once.
        prompts: makes ours.
        checkpoint: that the servers' language model is to be of, see ``identify``.
        width: D, of the language model.
        drawing: how answers are drawn.
        engine: see ``RemoteEngine``.
    """
    session = aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_S),
        # No proxy of the environment's: a key goes along.
        trust_env=False,
    )
    timeouts = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=timeout_s)
    messages = Messages(prompts.renderer, prompts.image_token)
    terms = Terms(examples(prompts, messages, width), checkpoint, prompts.tokenizer)
    servers = Servers([Server(url, session, timeouts) for url in urls], slots, terms)
    return RemoteEngine(
        servers=servers,
        session=session,
        requests=Requests(messages, drawing),
        tokenizer=prompts.tokenizer,
        slots=slots * len(urls),
        **engine,
    )


def examples(prompts: PromptBuilder, messages: Messages, width: int) -> list[Example]:
    """Conversations that nobody had: one question about a picture, and one with a turn of every role before it."""
    turns = [Turn("user", (IMAGE, QUESTION))]
    before = [Turn("user", (IMAGE, FIRST))]
    if prompts.takes("system"):
        before = [Turn("system", (SECOND,)), *before]
    conversations = [turns, [Turn("user", (QUESTION,))]]
    if prompts.takes("assistant"):
        conversations.append([*before, Turn("assistant", (SECOND,)), Turn("user", (QUESTION,))])
    return [_example(prompts, messages, tuple(turns), width) for turns in conversations]


def _example(prompts: PromptBuilder, messages: Messages, turns: tuple[Turn, ...], width: int) -> Example:
    ids = prompts.build(ChatJob(turns))
    spans: list[Span] = []
    whole: list[int] = []
    for token in ids:
        if token == prompts.image_token_id:
            spans.append(Span(len(whole), torch.zeros(_ROWS, width)))
            whole += [token] * _ROWS
        else:
            whole.append(token)
    prompt = Prompt(torch.tensor(whole), tuple(spans), torch.arange(len(whole)), len(whole), turns)
    return Example(messages.of(turns, [span.embeddings for span in spans]), prompt)
