"""What the language model reads for a job: how many tokens of which kind, whether they fit, what it is spared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.families.family import Splice
from services.families.grid import Grid, Newlines
from services.llm.answer import Savings
from services.llm.encoded import EncodedImage, PlannedImage, Positions
from services.llm.engines.engine import Engine
from services.llm.job import ChatJob
from services.llm.layout import LayOut, SpliceImage
from services.llm.refusal import Refusal, Role


@dataclass(frozen=True)
class Cut:
    """What was, or would be, kept of an image; see ``EncodedImage``."""

    grid: Grid
    kept: Positions
    base: Positions
    total: int

    @classmethod
    def of(cls, image: EncodedImage | PlannedImage) -> Cut:
        """Of a plan that was explained, or of an image."""
        if isinstance(image, EncodedImage):
            return cls(image.grid, image.kept, image.base, image.total)
        if image.explanation is None:
            raise ValueError("a plan without an explanation does not tell what it would keep")
        return cls(image.explanation.grid, list(image.explanation.kept), image.base, image.total)


@dataclass(frozen=True)
class Reading:
    """Of one job.

    Args:
        splices: of its images.
        text, visual, newline: tokens of its prompt, by kind.
        max_tokens: that may be generated behind it.
        savings: of visual tokens.
    """

    splices: list[Splice]
    text: int
    visual: int
    newline: int
    max_tokens: int
    savings: Savings

    @property
    def tokens(self) -> dict[str, int]:
        """By kind, as metrics name them."""
        return {"text": self.text, "visual": self.visual, "newline": self.newline}


class Reader:
    """How the language model is given what it reads.

    Args:
        splice: orders an image's visual tokens, as the checkpoint's family does.
        newlines: which newline tokens it reads.
        layout: in which order.
        original_positions: number tokens as if nothing had been dropped (else: without gaps).
        engine: whose the prompts are.
        default_max_tokens: of an answer, where a job names no limit.
    """

    def __init__(
        self,
        splice: SpliceImage,
        newlines: Newlines,
        layout: LayOut,
        *,
        original_positions: bool,
        engine: Engine,
        default_max_tokens: int,
    ) -> None:
        self._splice = splice
        self._newlines = newlines
        self._layout = layout
        self._engine = engine
        self._default_max_tokens = default_max_tokens
        self.original_positions = original_positions

    def read(self, job: ChatJob, text: int, images: Sequence[Cut]) -> Reading:
        """What it reads of a job whose prompt has ``text`` tokens of text.

        Raises:
            Refusal: it does not fit.
        """
        splices = [self._layout(self._splice, cut.grid, cut.kept, cut.base, self._newlines) for cut in images]
        visual = sum(sum(map(len, cut.kept)) for cut in images)
        newline = sum(splice.newlines for splice in splices)
        # Positions are what the model has a limited number of: original ones count dropped tokens too.
        positions = sum(splice.full_length if self.original_positions else len(splice) for splice in splices)
        max_tokens = self._fit(job, positions + text)
        # Laid out in two parts, an image that loses next to nothing has more newlines than before.
        saved = max(0, sum(splice.full_length - len(splice) for splice in splices))
        cost, prompt = self._engine.cost, text + visual + newline
        flops = cost.flops(prompt + saved) - cost.flops(prompt)
        savings = Savings(sum(cut.total for cut in images), visual, flops, saved * cost.kv_bytes)
        return Reading(splices, text, visual, newline, max_tokens, savings)

    def _fit(self, job: ChatJob, prompt_tokens: int) -> int:
        """Tokens that may be generated behind a prompt of this length."""
        limit = self._engine.context_length
        room = limit - prompt_tokens
        if room < 1:
            raise Refusal(
                Role("messages"),
                f"make a prompt of {prompt_tokens} tokens; the limit is {limit} with the answer. Shorten the text"
                + (" or lower {remedy}" if job.images and not self.original_positions else ""),
                remedy=Role("retention"),
            )
        wanted = job.sampling.max_tokens
        if wanted is None:
            return min(room, self._default_max_tokens)
        if wanted > room:
            raise Refusal(
                Role("max_tokens"),
                f"is {wanted}; behind a prompt of {prompt_tokens} tokens the limit is {room} of {limit}",
            )
        return wanted
