"""What a checkpoint's generation config and a request become in vLLM's SamplingParams."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

from services.common.checkpoint import Checkpoint
from services.llm.generation import FILE, Generation, entries
from services.llm.job import Sampling

# Below it vLLM is greedy, and from there on it draws no colder than the second.
_GREEDY_BELOW = 1e-5
_COLDEST = 0.01
# Of a generation config, what changes which token comes next and vLLM does not have; and what says nothing.
_NOT_THERE: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("encoder_repetition_penalty", "typical_p"), (None, 1)),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), (None, 0)),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff"), (None, 0)),
    **dict.fromkeys(("sequence_bias", "bad_words_ids", "forced_bos_token_id", "forced_eos_token_id"), (None,)),
    **dict.fromkeys(("exponential_decay_length_penalty", "begin_suppress_tokens", "top_h"), (None,)),
    **dict.fromkeys(("watermarking_config", "remove_invalid_values"), (None, False)),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawing:
    """How a checkpoint's answers are drawn.

    Args:
        end_tokens: that end an answer.
        suppressed: tokens that are never said.
        min_length: of prompt and answer, before which no answer ends.
        min_new_tokens: of the answer.
        repetition_penalty, top_k, min_p: as vLLM has them.
    """

    end_tokens: frozenset[int]
    suppressed: tuple[int, ...] = ()
    min_length: int = 0
    min_new_tokens: int = 0
    repetition_penalty: float = 1.0
    top_k: int = 0
    min_p: float = 0.0

    @classmethod
    def of(cls, generation: Generation, tokens: int) -> Drawing:
        """As a checkpoint says, with a model that can say so many ``tokens``."""
        config = generation.config
        suppressed = config.suppress_tokens or ()
        return cls(
            end_tokens=generation.end_tokens,
            suppressed=tuple(token for token in suppressed if 0 <= token < tokens),
            min_length=int(config.min_length or 0),
            min_new_tokens=int(config.min_new_tokens or 0),
            repetition_penalty=float(1.0 if config.repetition_penalty is None else config.repetition_penalty),
            top_k=int(config.top_k or 0),
            min_p=float(config.min_p or 0.0),
        )

    def params(self, sampling: Sampling, prompt_tokens: int, max_tokens: int, ends: frozenset[int]) -> dict[str, Any]:
        """Arguments of vLLM's SamplingParams.

        Args:
            sampling: the request's.
            prompt_tokens: before the answer.
            max_tokens: of the answer.
            ends: tokens that end it.
        """
        greedy = sampling.temperature < _GREEDY_BELOW
        least = max(self.min_new_tokens, self.min_length - prompt_tokens, 0)
        return {
            "max_tokens": max_tokens,
            "min_tokens": min(least, max_tokens),
            "temperature": 0.0 if greedy else max(sampling.temperature, _COLDEST),
            "top_p": sampling.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            # A generator takes 64 bits signed.
            "seed": None if sampling.seed is None else sampling.seed & 0x7FFF_FFFF_FFFF_FFFF,
            "logit_bias": dict.fromkeys(self.suppressed, -math.inf) or None,
            # Its own end is the tokenizer's, which need not be the checkpoint's.
            "ignore_eos": True,
            "stop_token_ids": sorted(ends),
            # Text is made of tokens elsewhere.
            "detokenize": False,
        }


def warn_of_what_is_not_there(source: Checkpoint, generation: Generation) -> None:
    """In one line, as ``warn_of_what_is_not_served`` does of what no engine has."""
    asked = {name: getattr(generation.config, name, None) for name in _NOT_THERE}
    odd = {name: value for name, value in asked.items() if value not in _NOT_THERE[name]}
    if odd:
        logger.warning(
            "%s=%r: %s asks for %s, which vLLM does not have, and the engine 'transformers' does: answers are drawn "
            "without",
            *(source.variable, source.name, FILE),
            entries(odd),
        )
