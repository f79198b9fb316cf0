"""What an answer about one picture costs at each retention, by the formulas of the service's metrics."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.sizing.model import Model, Picture
from services.encoder.hero import HeroConfig, token_budget


@dataclass(frozen=True)
class Point:
    """At one retention.

    Args:
        retention: R.
        kept: visual tokens.
        prompt: tokens of the prompt: text, kept ones and newlines of every row.
        flops: of its prefill.
        kv_bytes: of prompt and answer.
        row_bytes: that a hit reads of the cache and sends.
    """

    retention: float
    kept: int
    prompt: int
    flops: float
    kv_bytes: int
    row_bytes: int

    def seconds(self, tflops: float) -> float:
        """Of prefill, on a GPU that reaches so many TFLOP/s in it."""
        return self.flops / (tflops * 1e12)

    def dollars(self, tflops: float, price: float) -> float:
        """Of 1,000 such prefills, where an hour of that GPU costs ``price``."""
        return 1000 * self.seconds(tflops) * price / 3600


def point(model: Model, picture: Picture, retention: float, text: int, answer: int) -> Point:
    """Args:
    model: that answers.
    picture: that is asked about.
    retention: R, in (0, 1].
    text: tokens of the prompt's text.
    answer: tokens that are generated.
    """
    budget = token_budget(picture.valid, picture.tile_tokens, HeroConfig(), retention=retention)
    kept = budget.thumbnail + budget.local
    prompt = text + kept + picture.newline_tokens
    kv_bytes = (prompt + answer) * model.cost.kv_bytes
    return Point(retention, kept, prompt, model.cost.flops(prompt), kv_bytes, kept * model.row_bytes)
