"""From logits to tokens, as transformers' ``generate`` draws them for a checkpoint."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList

from services.common.finite import not_finite, unsayable
from services.common.shown import first_line
from services.llm.job import Sampling

# Any colder, and dividing logits by the temperature overflows; the softmax is a single spike by then.
_GREEDY_BELOW = 1e-6
# Tokens of an answer.
_REHEARSED = 8


class LogitsProcessors(GenerationMixin):  # type: ignore[misc]
    """What a checkpoint's generation config does to logits: penalties, suppressed tokens, least lengths.

    ``temperature`` and ``top_p`` are the request's, how long an answer gets too; all else is the checkpoint's.

    Args:
        config: the language model's.
        generation: the checkpoint's.
        end_tokens: that end an answer.
    """

    def __init__(self, config: Any, generation: GenerationConfig, end_tokens: frozenset[int]) -> None:
        self.config = config
        self._generation = copy.deepcopy(generation)
        # It reads a prompt a second time, whose images this service no longer has.
        self._generation.guidance_scale = None
        self._ends = sorted(end_tokens)

    def of(self, sampling: Sampling, prompt_tokens: int, max_tokens: int, device: torch.device) -> LogitsProcessorList:
        """Those of one request.

        Raises:
            ValueError: the generation config asks for what can't be done; TypeError, where it is not of the right kind.
        """
        generation = copy.deepcopy(self._generation)
        generation.do_sample = sampling.temperature >= _GREEDY_BELOW
        generation.temperature = sampling.temperature
        generation.top_p = sampling.top_p
        generation.max_length = prompt_tokens + max_tokens
        generation._eos_token_tensor = torch.tensor(self._ends, device=device) if self._ends else None
        # Of all that transformers says about generation configs this is the one place that reads them.
        return self._get_logits_processor(generation, prompt_tokens, device=device)

    def rehearse(self) -> None:
        """Run them on the begin of an answer that nobody had, which is when they look at what they are given.

        Raises:
            FailedPrecondition: they leave nothing that can be said.
            ValueError, TypeError and others of transformers: see ``of``.
        """
        # As large as logits get: what divides them by next to nothing shows.
        scores = torch.full((1, self.config.vocab_size), 1000.0)
        for temperature in (0.0, 1.0):
            processors = self.of(Sampling(temperature=temperature), 1, _REHEARSED, scores.device)
            for length in range(1, 1 + _REHEARSED):
                ids = torch.zeros(1, length, dtype=torch.long)
                processed(processors, ids, scores.clone(), drawn=temperature > 0)


def processed(processors: LogitsProcessorList, ids: torch.Tensor, scores: torch.Tensor, *, drawn: bool) -> torch.Tensor:
    """What they make of scores [1, V] behind ids [1, L], which may be written into.

    Args:
        processors: of the request.
        ids: of the prompt and of what is said so far.
        scores: the logits.
        drawn: tokens are, in place of the best one: among infinite ones there is none to draw.

    Raises:
        FailedPrecondition: nothing that a token can be drawn from.
    """
    try:
        scores = processors(ids, scores)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise unsayable(f"{ids.shape[1]} tokens on, {type(error).__name__}: {first_line(error)}") from error
    best = scores.max().item()
    if best == -math.inf:
        raise unsayable("it leaves no token that may be said")
    if math.isnan(best) or (drawn and best == math.inf):
        raise unsayable("it makes values of logits that are not finite")
    return scores


class Sampler:
    """Draws the tokens of one answer.

    Args:
        processors: see ``LogitsProcessors``.
        sampling: the request's.
        prompt: int64 [L], token ids.
        device: of the logits.
    """

    def __init__(
        self, processors: LogitsProcessorList, sampling: Sampling, prompt: torch.Tensor, device: torch.device
    ) -> None:
        self._processors = processors
        self._ids = prompt[None].to(device)
        self._greedy = sampling.temperature < _GREEDY_BELOW
        # A placeholder may stand beyond the last token that the model can say.
        self._width = int(prompt.max()) + 1 if len(prompt) else 0
        self._random = torch.Generator(device)
        if sampling.seed is None:
            self._random.seed()
        else:
            # A generator takes 64 bits signed.
            self._random.manual_seed(sampling.seed & 0x7FFF_FFFF_FFFF_FFFF)

    def __call__(self, logits: torch.Tensor) -> int:
        """Of logits [V], of the next token.

        Raises:
            FailedPrecondition: they are not finite, or what the checkpoint makes of them is not.
        """
        best = logits.max(-1)
        # Infinite or no number where any is; tokens that can't be said may well be minus infinity.
        if not best.values.isfinite():
            raise not_finite("language model", "prompt", logits.dtype)
        if not self._processors:
            return self._draw(logits.float()[None]) if not self._greedy else int(best.indices)
        scores = logits.float()
        if (missing := self._width - len(scores)) > 0:
            scores = torch.nn.functional.pad(scores, (0, missing), value=-torch.inf)
        token = self._draw(processed(self._processors, self._ids, scores[None], drawn=not self._greedy))
        self._ids = torch.cat([self._ids, self._ids.new_tensor([[token]])], dim=-1)
        return token

    def _draw(self, scores: torch.Tensor) -> int:
        if self._greedy:
            return int(scores.argmax())
        return int(torch.multinomial(scores.softmax(-1)[0], 1, generator=self._random))
