"""Requests that callers should not send: odd fields, pieces that don't belong, changed bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.fuzz.files import mutated
from benchmarks.fuzz.pieces import foreign
from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part, Sampling
from heroserve.v1.encoder_pb2 import EncodeRequest
from heroserve.v1.tokens_pb2 import Budget, Image

Random = np.random.Generator

# Of all, those that were right before they were bent.
_PLAIN = 0.4
_QUESTION = "what is on the star?"
TEXTS = (
    "",
    " ",
    _QUESTION,
    "\0" * 9,
    "\u202eabc\u200b\ufeff",
    "e" + "\u0301" * 300,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 40,
    "<image>" * 20,
    "</s><s>[INST] <|im_start|>system",
    "{{ 7 * 7 }}{% for i in range(10**9) %}{% endfor %}",
    "%s%n%x" * 50,
    "word " * 500,
    "a" * 40_000,
    "\ud7ff\ue000\uffff",
    "\n" * 3000,
)
DOUBLES = (0.0, -0.0, 1.0, 0.2, -1.0, 1.0 + 2**-52, 5e-324, 1e-9, 2.0, 1e308, float("inf"), float("-inf"), float("nan"))
COUNTS = (0, 1, 2, 7, 255, 576, 65_535, 2**31 - 1, 2**31, 2**32 - 1)
# Longer answers are work that was asked for.
LENGTHS = (0, 1, 2, 16, 2**31, 2**32 - 1)


class Messages:
    """Draws them.

    Args:
        random: everything that is drawn.
        pictures: files to take, and to change.
        known: digest of a picture that is cached.
    """

    def __init__(self, random: Random, pictures: list[bytes], known: str) -> None:
        self._random = random
        self._pictures = pictures
        self._known = known

    def encode(self) -> bytes:
        """An ``EncodeRequest``, or bytes that were one."""
        if self._chance(_PLAIN):
            return self._bent(EncodeRequest(image=self._whole(), question=_QUESTION).SerializeToString())
        request = EncodeRequest(image=self._image(), question=self._pick(TEXTS), explain=self._chance(0.3))
        if self._chance(0.6):
            request.budget.CopyFrom(self._budget())
        return self._bent(request.SerializeToString())

    def generate(self) -> bytes:
        """A ``GenerateRequest``, or bytes that were one."""
        if self._chance(_PLAIN):
            parts = [Part(image=self._whole()), Part(text=_QUESTION)]
            message = Message(role=Message.USER, parts=parts[self._random.integers(2) :])
            plain = GenerateRequest(messages=[message], sampling=Sampling(max_tokens=4))
            return self._bent(plain.SerializeToString())
        many = self._chance(0.02)
        count = int(self._random.integers(2000, 9000)) if many else int(self._random.integers(0, 4))
        request = GenerateRequest(messages=[self._message(small=many) for _ in range(count)])
        if not many and self._chance(0.7):
            parts = [Part(text=_QUESTION)]
            if self._chance(0.5):
                parts.insert(0, Part(image=self._image()))
            request.messages.append(Message(role=Message.USER, parts=parts))
        if self._chance(0.5):
            request.budget.CopyFrom(self._budget())
        request.sampling.CopyFrom(self._sampling())
        request.explain = self._chance(0.2)
        return self._bent(request.SerializeToString())

    def _message(self, *, small: bool) -> Message:
        role: Any = self._pick((0, 1, 2, 3, 2, 3, 7, -1, 2**31 - 1))
        many = not small and self._chance(0.03)
        count = int(self._random.integers(1000, 9000)) if many else int(self._random.integers(0, 3))
        return Message(role=role, parts=[self._part(small=small or many) for _ in range(count)])

    def _part(self, *, small: bool) -> Part:
        if small or self._chance(0.2):
            return Part() if self._chance(0.5) else Part(text=self._pick(("", "a")))
        return Part(text=self._pick(TEXTS)) if self._chance(0.6) else Part(image=self._image())

    def _whole(self) -> Image:
        return Image(digest=self._known) if self._chance(0.5) else Image(data=self._pick(self._pictures))

    def _image(self) -> Image:
        match self._random.integers(5):
            case 0:
                known = self._known
                odd = (
                    "",
                    known,
                    known.upper(),
                    known[:-1],
                    known + "0",
                    "é" * 64,
                    "0" * 64,
                    "\uff10" * 64,
                )
                return Image(digest=self._pick(odd))
            case 1:
                return Image(
                    data=self._pick((b"", b"\0", b"<html></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a"))
                )
            case 2:
                return Image()
            case 3:
                picture = self._pick(self._pictures)
                return Image(data=self._pick((picture[: len(picture) // 2], picture * 2, picture + bytes(9))))
            case _:
                return Image(data=mutated(self._pictures, self._random))

    def _budget(self) -> Budget:
        if self._chance(0.5):
            return Budget(retention=self._pick(DOUBLES))
        return Budget(max_visual_tokens=self._pick(COUNTS))

    def _sampling(self) -> Sampling:
        sampling = Sampling(max_tokens=self._pick(LENGTHS) if self._chance(0.3) else 4)
        if self._chance(0.3):
            sampling.temperature = self._pick(DOUBLES)
        if self._chance(0.3):
            sampling.top_p = self._pick(DOUBLES)
        if self._chance(0.3):
            sampling.seed = self._pick((0, 1, 2**63, 2**64 - 1))
        if self._chance(0.3):
            sampling.stop.extend(self._pick(TEXTS)[:70] for _ in range(self._random.integers(12)))
        return sampling

    def _bent(self, data: bytes) -> bytes:
        """As it is, with fields that don't belong, with bytes changed, or both."""
        if self._chance(0.3):
            at = 0 if self._chance(0.5) else len(data)
            data = data[:at] + foreign(self._random) + data[at:]
        if self._chance(0.4):
            data = mutated([data or b"\0", foreign(self._random)], self._random)
        return data

    def _pick(self, values: Any) -> Any:
        return values[self._random.integers(len(values))]

    def _chance(self, share: float) -> bool:
        return bool(self._random.random() < share)
