"""Which visual tokens of an image were kept, and why: to look at, and to reckon with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from heroserve.errors import ArgumentError
from heroserve.geometry import Box, Geometry
from heroserve.images import ImageSource
from heroserve.savings import Savings
from heroserve.v1 import chat_pb2, tokens_pb2
from heroserve.v1.encoder_pb2 import Grid, Tile, VisualTokens

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Explanation:
    """Of one image of a request.

    Attributes:
        image_digest: SHA-256 of its encoded file.
        question: by which its tokens were chosen.
        grid: how it was cut, as in `VisualTokens`.
        tiles: the thumbnail and then the local tiles, with their kept `positions`, `importance` and `explanation`.
        savings: of this image; with what the language model was spared only where it is the request's one image.
    """

    image_digest: str
    question: str
    grid: Grid
    tiles: tuple[Tile, ...]
    savings: Savings

    def draw(self, image: ImageSource, *, answer: str = "", font: str | None = None) -> Image:
        """A picture of Pillow's (extra `images`): the image with its tile grid, kept patches clear and dropped ones
        dimmed, the thumbnail beside it, what made each tile matter, and what was saved.

        Raises ImageError for an image that can't be read here or is another one, ArgumentError for an explanation of a
        service that is too old or tells nonsense and for a font that is none, ImportError without Pillow.

        Args:
            image: as it was sent.
            answer: to stand below the question.
            font: a TrueType font's file, for texts that Pillow's own font lacks the letters of: most but English ones.
        """
        try:
            from heroserve.drawing.page import draw
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "PIL":
                raise
            raise ImportError("draw() needs Pillow, which is not installed: pip install 'heroserve[images]'") from error

        return draw(self, image, answer, font)

    def token_box(self, tile: int, position: int) -> Box:
        """What of the upright image, in its pixels, a visual token shows. Raises ArgumentError where there is none."""
        return Geometry(self.grid).token(tile, position)

    def tile_box(self, tile: int) -> Box:
        """What of the upright image a tile shows; of padding it is outside of it."""
        return Geometry(self.grid).tile(tile)

    def to_dict(self) -> dict[str, Any]:
        """In JSON's values, by the wire's own names, zeros included; what services answer over HTTP."""
        message = chat_pb2.Explanation(
            image_digest=self.image_digest,
            question=self.question,
            grid=self.grid,
            tiles=self.tiles,
            savings=tokens_pb2.Savings(**asdict(self.savings)),
        )
        fields: dict[str, Any] = MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Explanation:
        """One of `heroserve["explanations"]` of an answer over HTTP. Raises ArgumentError for what is none."""
        try:
            return cls.from_message(ParseDict(dict(fields), chat_pb2.Explanation(), ignore_unknown_fields=True))
        except (ParseError, TypeError, ValueError) as error:
            raise ArgumentError(f"explanation: {str(error)[:200]}") from error

    @classmethod
    def from_message(cls, message: chat_pb2.Explanation) -> Explanation:
        savings = Savings.from_message(message.savings)
        return cls(message.image_digest, message.question, message.grid, tuple(message.tiles), savings)

    @classmethod
    def from_response(cls, last: chat_pb2.GenerateResponse) -> tuple[Explanation, ...]:
        """Those of an answer's last response. Of one image they tell what the language model was spared, too."""
        found = tuple(map(cls.from_message, last.explanations))
        if len(found) == 1:
            return (replace(found[0], savings=Savings.from_message(last.savings)),)
        return found

    @classmethod
    def of(cls, tokens: VisualTokens, question: str = "") -> Explanation:
        """Of what `encode(..., explain=True)` gave. Raises ArgumentError where there are no positions."""
        if tokens.savings.kept and not any(tile.positions for tile in tokens.tiles):
            raise ArgumentError("explanation: there are no positions to explain; encode or plan with explain=True")
        savings = Savings.from_message(tokens.savings)
        return cls(tokens.image_digest, question, tokens.grid, tuple(tokens.tiles), savings)
