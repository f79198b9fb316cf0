"""Of a prompt, the request that a server is sent."""

from __future__ import annotations

from typing import Any

from services.common import context, tracing
from services.llm.assemble import Prompt
from services.llm.engines.remote.messages import Messages
from services.llm.engines.remote.wire import chat_fields
from services.llm.engines.vllm.drawing import Drawing
from services.llm.job import Sampling


class Requests:
    """Args:
    messages: makes a prompt's.
    drawing: how answers are drawn.
    """

    def __init__(self, messages: Messages, drawing: Drawing) -> None:
        self._messages = messages
        self._drawing = drawing
        self.end_tokens = drawing.end_tokens

    def body(self, prompt: Prompt, sampling: Sampling, max_tokens: int) -> dict[str, Any]:
        """Megabytes, where there are images; for the request that is being served."""
        # Behind its end a schema asks for nothing.
        goes_on = sampling.ignore_eos and sampling.json_schema is None
        ends = frozenset[int]() if goes_on else self.end_tokens
        drawn = self._drawing.params(sampling, len(prompt), max_tokens, ends)
        images = [image.embeddings for image in prompt.images]
        body = {**chat_fields(drawn, sampling), "messages": self._messages.of(prompt.turns, images)}
        if scope := context.current().scope:
            # What is cached of one's prompts is not found, and not seen by the time it takes, by another.
            body["cache_salt"] = scope
        return body


def headers(request_id: str) -> dict[str, str]:
    trace = tracing.here()
    return {**(trace.headers if trace else {}), **({"X-Request-Id": request_id} if request_id else {})}
