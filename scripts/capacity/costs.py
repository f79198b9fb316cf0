"""What one of each costs: seconds of the processor, or of the accelerator, that does it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Args:
    tile_s: of a tower's replica, for a tile.
    ingress_s: of a core, for a request's way through the encoder's proxy and ingress, without its rows.
    ingress_byte_s: of a core there, for a byte of the rows that are sent.
    picture_s: of a core there, for an image that is new: its file read, decoded, cut, its entry written.
    cut_s: of a core there, for each tile of it.
    chat_s: of a core, for a request's way through the LLM service, without its engine.
    prompt_s: of an engine, for a request's prompt.
    answer_s: of an engine, for all tokens of an answer, while as many others are generated as it takes at once.
    redis_s: of a Redis's one thread, for a request.
    redis_byte_s: of it, for a byte that goes in or out.
    """

    tile_s: float
    ingress_s: float
    ingress_byte_s: float
    picture_s: float
    cut_s: float
    chat_s: float
    prompt_s: float
    answer_s: float
    redis_s: float
    redis_byte_s: float


@dataclass(frozen=True)
class Sizes:
    """Args:
    tiles: of a picture, the thumbnail included.
    image_bytes: of all of its rows.
    sent_bytes: of the kept rows on the wire.
    entry_bytes: of an image in the cache: all of its rows, and what is told of them; 0 without a cache.
    read_bytes: of an entry, for a request: what is told of its rows, and the kept ones; 0 without a cache.
    """

    tiles: int
    image_bytes: float
    sent_bytes: float
    entry_bytes: float
    read_bytes: float


@dataclass(frozen=True)
class Work:
    """Seconds that each part works for one request, in the mean over first and later questions."""

    tower: float
    ingress: float
    chat: float
    engine: float
    redis: float

    @property
    def total(self) -> float:
        """Of all parts; on processors alone, core-seconds."""
        return self.tower + self.ingress + self.chat + self.engine + self.redis


def work(costs: Costs, sizes: Sizes, encodes: float) -> Work:
    """Each part's by the number of what it does times what one of it costs.

    ``tower = e x tiles x tile_s``; ``ingress = ingress_s + sent x ingress_byte_s + e x (picture_s + tiles x cut_s)``;
    ``engine = prompt_s + answer_s``; ``redis = redis_s + (read + e x entry) x redis_byte_s``.

    Args:
        costs: of one of each.
        sizes: of a request.
        encodes: e, images that the tower reads, a request; in [0, 1].
    """
    moved = sizes.read_bytes + encodes * sizes.entry_bytes
    return Work(
        tower=encodes * sizes.tiles * costs.tile_s,
        ingress=costs.ingress_s
        + sizes.sent_bytes * costs.ingress_byte_s
        + encodes * (costs.picture_s + sizes.tiles * costs.cut_s),
        chat=costs.chat_s,
        engine=costs.prompt_s + costs.answer_s,
        redis=costs.redis_s + moved * costs.redis_byte_s,
    )
