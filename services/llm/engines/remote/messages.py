"""A conversation as it is sent, so that a server's chat template makes our prompt of it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch

from services.llm.job import ImagePart, Turn
from services.llm.render import Renderer

# What vLLM writes in an embedded span's place, and takes from no text.
RESERVED = ("<prompt_embeds>",)
# One of an image, or of a text.
_Kind = Literal["image", "text"]
# In a text's place: no template says it by itself.
_MARK = "herotext"
_MARKED = re.compile(rf"{_MARK}(\d+)\.")


class Messages:
    """Of one chat template, which the server has too.

    The server's template is given texts alone: to it an image is a text of one character. So what ours writes around
    an image (a line break, tokens that begin and end it), and where, goes along as texts.

    Args:
        renderer: of the template.
        image_token: the placeholder that it writes.
    """

    def __init__(self, renderer: Renderer, image_token: str) -> None:
        self._renderer = renderer
        self._image_token = image_token
        # By a turn's kinds of parts, a dozen at most in practice.
        self._written: dict[tuple[_Kind, ...], list[str]] = {}

    def of(self, turns: Sequence[Turn], images: Sequence[torch.Tensor]) -> list[dict[str, Any]]:
        """In OpenAI's words, and vLLM's ``prompt_embeds``.

        Args:
            turns: of the conversation.
            images: embeddings [n, D] of each image in it, newline tokens included.

        Raises:
            ValueError: the template does not write a turn's parts between what begins and what ends the turn.
        """
        left = iter(images)
        return [{"role": turn.role, "content": list(self._content(turn, left))} for turn in turns]

    def _content(self, turn: Turn, images: Iterator[torch.Tensor]) -> Iterator[dict[str, str]]:
        if turn.role != "user":
            yield from ({"type": "text", "text": text} for text in self._renderer.texts(turn))
            return
        texts = turn.texts
        for number, piece in enumerate(self._pieces(turn)):
            if number:
                yield {"type": "prompt_embeds", "data": packed(next(images))}
            # All at once: a text may say what a mark says.
            text = _MARKED.sub(lambda mark: texts[int(mark[1])], piece)
            if text:
                yield {"type": "text", "text": text}

    def _pieces(self, turn: Turn) -> list[str]:
        """What the template writes before, between and behind a turn's images, with marks for its texts."""
        kinds: tuple[_Kind, ...] = tuple("image" if isinstance(part, ImagePart) else "text" for part in turn.parts)
        if kinds not in self._written:
            if len(self._written) >= 1000:
                self._written.clear()
            self._written[kinds] = self._write(kinds)
        return self._written[kinds]

    def _write(self, kinds: tuple[_Kind, ...]) -> list[str]:
        numbers = iter(range(len(kinds)))
        parts = [ImagePart(digest="mark") if kind == "image" else f"{_MARK}{next(numbers)}." for kind in kinds]
        before, found, behind = self._renderer.text([Turn("user", (_MARK,))]).partition(_MARK)
        written = self._renderer.text([Turn("user", tuple(parts))])
        if not found or not (written.startswith(before) and written.endswith(behind)):
            raise ValueError("its chat template writes images outside of their turn")
        return written[len(before) : len(written) - len(behind)].split(self._image_token)


def packed(embeddings: torch.Tensor) -> str:
    """[n, D], as ``torch.save`` writes it, in base64."""
    file = io.BytesIO()
    # Not a part of a larger tensor, which would be written whole.
    torch.save(embeddings.detach().cpu().clone(), file)
    return base64.b64encode(file.getvalue()).decode()
