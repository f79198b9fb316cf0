"""From logits to tokens, as transformers' ``generate`` draws them for a checkpoint."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList

from services.common.finite import not_finite
from services.llm.job import Sampling

# Any colder, and dividing logits by the temperature overflows; the softmax is a single spike by then.
_GREEDY_BELOW = 1e-6


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
        """Run them once on nothing, which is when they look at what they are given.

        Raises:
            ValueError, TypeError and others of transformers: see ``of``.
        """
        ids = torch.zeros(1, 1, dtype=torch.long)
        for temperature in (0.0, 1.0):
            processors = self.of(Sampling(temperature=temperature), 1, 1, ids.device)
            processors(ids, torch.zeros(1, self.config.vocab_size))


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
            FailedPrecondition: they are not finite.
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
        token = self._draw(self._processors(self._ids, scores[None]))
        self._ids = torch.cat([self._ids, self._ids.new_tensor([[token]])], dim=-1)
        return token

    def _draw(self, scores: torch.Tensor) -> int:
        if self._greedy:
            return int(scores.argmax())
        return int(torch.multinomial(scores.softmax(-1)[0], 1, generator=self._random))
