"""How a checkpoint says that its answers are generated, and which tokens end them."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from reprlib import Repr
from typing import Any

from transformers import GenerationConfig

from services.common.checkpoint import Checkpoint
from services.common.model_config import ODD
from services.common.shown import first_line

FILE = "generation_config.json"
# What takes more than one pass a token, more than one answer, or something besides the logits; and what says nothing.
_NOT_SERVED: dict[str, object] = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "guidance_scale": 1,
    **dict.fromkeys(
        ("stop_strings", "penalty_alpha", "dola_layers", "constraints", "force_words_ids", "custom_generate"),
    ),
    **dict.fromkeys(("prompt_lookup_num_tokens", "assistant_early_exit", "max_time", "token_healing")),
}
# Ids of tokens.
_TOKENS = ("eos_token_id", "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id")

# As good as not there.
_NOTHING: tuple[object, ...] = (None, 0, "", [], {})

_short = Repr()
_short.maxother = _short.maxstring = 60

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generation:
    """What a checkpoint's files say.

    Args:
        config: transformers'.
        end_tokens: that end an answer.
        not_served: what generation_config.json asks for and nobody does.
    """

    config: GenerationConfig
    end_tokens: frozenset[int]
    not_served: dict[str, object] = field(default_factory=dict)


def read_generation(source: Checkpoint, config: Any) -> Generation:
    """Of generation_config.json, else of config.json, as transformers does; end tokens of the latter in any case.

    Without them no answer would end.

    Raises:
        SettingError: they can't be read.
    """
    written = source.json(FILE)
    eos = written.pop("eos_token_id", None)
    if nan := [name for name, value in written.items() if _has_nan(value)]:
        raise source.unusable(f"{FILE} can't be used (NaN in {', '.join(nan)})")
    try:
        if written:
            generation = GenerationConfig.from_dict(written)
        else:
            generation = GenerationConfig.from_model_config(source.config)
    except ODD as error:
        raise source.unusable(f"{FILE} can't be used ({first_line(error)})") from error
    asked = {name: written.get(name, getattr(generation, name, None)) for name in _NOT_SERVED}
    not_served = {name: value for name, value in asked.items() if value not in (*_NOTHING, _NOT_SERVED[name])}
    if eos is None:
        # Of the whole model's config before the language model's.
        eos = getattr(source.config, "eos_token_id", None)
        eos = getattr(config, "eos_token_id", None) if eos is None else eos
    ends = frozenset(_ids(source, eos))
    generation.eos_token_id = sorted(ends) or None
    return Generation(generation, ends, not_served)


def warn_of_what_is_not_served(source: Checkpoint, generation: Generation, tokens: int) -> None:
    """In a line each, so that nobody expects what Hugging Face's ``generate`` would do in its place.

    Args:
        source: the checkpoint.
        generation: its.
        tokens: how many the model can say.
    """
    if generation.not_served:
        logger.warning(
            "%s=%r: %s asks for %s, which is not served: answers are one greedy or drawn sequence",
            source.variable,
            source.name,
            FILE,
            entries(generation.not_served),
        )
    named = ((name, getattr(generation.config, name, None)) for name in _TOKENS)
    listed = {name: value if isinstance(value, list | tuple) else [value] for name, value in named}
    beyond = {
        name: odd for name, ids in listed.items() if (odd := [i for i in ids if type(i) is int and not 0 <= i < tokens])
    }
    if beyond:
        logger.warning(
            "%s=%r: %s names tokens that the model can't say, which changes nothing: %s; it has %d",
            *(source.variable, source.name, FILE),
            ", ".join(f"{name} {_short.repr(ids)}" for name, ids in beyond.items()),
            tokens,
        )


def entries(values: Mapping[str, object]) -> str:
    """Entries of a generation config as a line names them, long values in short."""
    return ", ".join(f"{name}={_short.repr(value)}" for name, value in values.items())


def _has_nan(value: object) -> bool:
    match value:
        case float():
            return math.isnan(value)
        case list():
            return any(map(_has_nan, value))
        case dict():
            return any(map(_has_nan, value.values()))
    return False


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
