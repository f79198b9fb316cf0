"""``/v1/heroserve``: what runs here, as gRPC's ``Describe`` tells it, for who has HTTP alone."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict

from heroserve.v1.chat_pb2 import ChatDescription
from services.common.gate import Gate
from services.common.http_call import HttpCall
from services.llm.doors.openai.exchange import Exchange

if TYPE_CHECKING:
    from starlette.types import Send

# What protobuf would have as text, for readers without whole numbers of 64 bits; these are far below.
_NUMBERS = ("max_image_bytes", "max_image_pixels")


class Description(Exchange):
    """See ``Exchange``.

    Args:
        gate: every request passes it.
        describe: what to tell.
        call: the request.
        timeout_s: longest it may take.
    """

    def __init__(
        self, gate: Gate, describe: Callable[[], Awaitable[dict[str, Any]]], call: HttpCall, timeout_s: float
    ) -> None:
        super().__init__(call, timeout_s)
        self._gate = gate
        self._describe = describe

    async def answer(self, send: Send) -> None:
        with self._gate.guard(self._call):
            told = json.dumps(await self._describe(), separators=(",", ":")).encode()
            await self._begin(send, b"application/json")
            await self._send(send, told, more=False)


def told(description: ChatDescription, model: str, grpc_port: int) -> dict[str, Any]:
    """The message in JSON's values, by the proto's own names, zeros included; ``encoder`` is null where it can't be
    reached.

    Args:
        description: of the service.
        model: as callers of OpenAI's API call it.
        grpc_port: where the service itself listens; a gateway's may be another.
    """
    found: dict[str, Any] = MessageToDict(
        description, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    encoder = found.setdefault("encoder", None)
    if encoder is not None:
        encoder.update({name: int(encoder[name]) for name in _NUMBERS})
    # A checkpoint's folder is where this machine has it, and nobody else's.
    return {"object": "heroserve.description", **found, "model": model, "grpc_port": grpc_port}
