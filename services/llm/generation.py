"""How a checkpoint says that its answers are generated, and which tokens end them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transformers import GenerationConfig

from services.common.checkpoint import Checkpoint

_FILE = "generation_config.json"
# What takes more than one pass a token, or more than one answer.
_NOT_SERVED = {"num_beams": 1, "num_beam_groups": 1, "num_return_sequences": 1, "guidance_scale": 1}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generation:
    """What a checkpoint's files say.

    Args:
        config: transformers'.
        end_tokens: that end an answer.
    """

    config: GenerationConfig
    end_tokens: frozenset[int]


def read_generation(source: Checkpoint, config: Any) -> Generation:
    """Of generation_config.json, else of config.json, as transformers does; end tokens of the latter in any case.

    Without them no answer would end.

    Raises:
        SettingError: they can't be read.
    """
    written = source.json(_FILE)
    eos = written.pop("eos_token_id", None)
    try:
        if written:
            generation = GenerationConfig.from_dict(written)
        else:
            generation = GenerationConfig.from_model_config(source.config)
    except (TypeError, ValueError) as error:
        raise source.unusable(f"{_FILE} can't be used ({error})") from error
    if eos is None:
        # Of the whole model's config before the language model's.
        eos = getattr(source.config, "eos_token_id", None)
        eos = getattr(config, "eos_token_id", None) if eos is None else eos
    ends = frozenset(_ids(source, eos))
    generation.eos_token_id = sorted(ends) or None
    return Generation(generation, ends)


def warn_of_what_is_not_served(source: Checkpoint, generation: Generation) -> None:
    """One line, so that nobody expects what Hugging Face's ``generate`` would do in its place."""
    written = {name: getattr(generation.config, name, None) for name in _NOT_SERVED}
    asked = {name: value for name, value in written.items() if value not in (None, 0, _NOT_SERVED[name])}
    if asked:
        logger.warning(
            "%s=%r: %s asks for %s, which is not served: answers are one greedy or drawn sequence",
            source.variable,
            source.name,
            _FILE,
            ", ".join(f"{name}={value}" for name, value in asked.items()),
        )


def _ids(source: Checkpoint, eos: object) -> Iterator[int]:
    """Token ids of an eos_token_id: one, several or none; some files have the token itself, or its id as a text."""
    match eos:
        case None:
            return
        case bool():
            pass
        case int():
            yield eos
            return
        case list() | tuple():
            for one in eos:
                yield from _ids(source, one)
            return
        case str():
            vocabulary: dict[str, int] = source.tokenizer().get_vocab()
            if eos in vocabulary and not eos.isdigit():
                yield vocabulary[eos]
                return
            if eos.isdecimal():
                yield int(eos)
                return
    raise source.unusable(f"its eos_token_id is {eos!r}; expected the id of a token, a token, or a list of them")
