"""The language model of a vision-language checkpoint, as Hugging Face puts it together: its kind's body, and a head.

Not the kind's own causal language model: in such a checkpoint the head is plain. It has no bias, and its logits are
neither scaled nor capped, whatever the kind does on its own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING

from services.common.checkpoint import Checkpoint
from services.common.shown import first_line
from services.common.weights.load import BUILDING
from services.llm.config_values import check_numbers

# What a body must take: embeddings, for images have no ids, where they stand, and what it has read so far.
_TAKES = {"inputs_embeds", "position_ids", "past_key_values"}

_SIZES = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("head_dim", "vocab_size", "max_position_embeddings"),
)
# No published model comes near; beyond it, making the layers alone would take for ever.
_LIMITS = {"num_hidden_layers": 1000}


class NotServedError(Exception):
    """A language model can't be run as Hugging Face would; the message says what of it."""


def language_model(config: Any) -> Any:
    """The class of such models, whose parts are ``model`` and ``lm_head``.

    Args:
        config: the language model's, of a kind that ``check_language_model`` has nothing to say of.
    """
    body: Any = MODEL_MAPPING[type(config)]
    kind: Any = next(base for base in body.__mro__[1:] if issubclass(base, PreTrainedModel))

    class LanguageModel(kind):  # type: ignore[misc]
        base_model_prefix = "model"

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.model = body(config)
            self.lm_head = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
            self._tied_weights_keys = {"lm_head.weight": f"model.{_embedding_name(self.model)}"}
            self.post_init()

        def get_input_embeddings(self) -> Any:
            return self.model.get_input_embeddings()

        def get_output_embeddings(self) -> torch.nn.Linear:
            return self.lm_head

        def forward(self, *, logits_to_keep: int = 0, **inputs: Any) -> CausalLMOutputWithPast:
            output = self.model(**inputs)
            logits = self.lm_head(output.last_hidden_state[:, -logits_to_keep:])
            return CausalLMOutputWithPast(logits=logits, past_key_values=output.past_key_values)

    return LanguageModel


def check_language_model(config: Any, source: Checkpoint) -> None:
    """Raises:
    SettingError: it is of a kind that can't be run as Hugging Face would, or makes no model.
    """
    for key in _SIZES:
        size = getattr(config, key, None)
        if type(size) is int and not 0 < size <= _LIMITS.get(key, sys.maxsize):
            limit = f" to {_LIMITS[key]}" if key in _LIMITS else ""
            raise source.unusable(f"text_config.{key} of its config is {size}; expected a whole number from 1{limit}")
    check_numbers(config, source)
    try:
        problem = _problem(config)
    except BUILDING as error:
        told = f"{type(error).__name__}: {first_line(error)}"
        if isinstance(error, KeyError):  # which says no more than a value
            told = f"{', '.join(_places(error.args[0], config.to_dict()))}: {told}"
        raise source.unusable(f"its text_config makes no language model ({told})") from error
    if problem:
        raise source.unusable(f"its language model is a {config.model_type!r}, which is not served: {problem}")


def _problem(config: Any) -> str | None:
    if type(config) not in MODEL_MAPPING or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "it generates no text"
    body: Any = MODEL_MAPPING[type(config)]
    if config.is_encoder_decoder:
        return "it is no decoder alone"
    lacking = _TAKES - inspect.signature(body.forward).parameters.keys()
    if lacking:
        return f"it takes no {', '.join(sorted(lacking))}"
    try:
        _check_embeddings(config)
        _rehearse(config)
    except NotServedError as error:
        return str(error)
    return None


def _check_embeddings(config: Any) -> None:
    """Images' embeddings are as wide as the layers: text's must be, too.

    Raises:
        NotServedError: they are not.
    """
    embeddings = _without_memory(config).get_input_embeddings()
    width = getattr(embeddings, "embedding_dim", None)
    if width != config.hidden_size:
        raise NotServedError(f"its embeddings have {width} values, its layers {config.hidden_size}")


def _places(wanted: object, values: dict[str, Any], prefix: str = "text_config.") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _places(wanted, value, f"{prefix}{name}.")
        elif value == wanted:
            yield f"{prefix}{name} is {value!r}"


def _rehearse(config: Any) -> None:
    """Read a prompt and a token behind it, by shapes alone: as far as those tell, the model runs.

    Raises:
        NotServedError: it does not.
    """
    model = _without_memory(config)
    try:
        cache = DynamicCache(config=config)
        with torch.device("meta"), torch.inference_mode():
            for start, tokens in ((0, 3), (3, 1)):
                model(
                    inputs_embeds=torch.empty(1, tokens, config.hidden_size),
                    position_ids=torch.arange(start, start + tokens)[None],
                    past_key_values=cache,
                    use_cache=True,
                )
    except NotImplementedError:
        # What it computes depends on values, of which there are none; as which expert a token goes to.
        return
    except BUILDING as error:
        if "meta tensor" not in str(error):
            raise NotServedError(f"it does not run ({type(error).__name__}: {first_line(error)})") from error


def _without_memory(config: Any) -> Any:
    """Its modules know their shapes."""
    with torch.device("meta"):
        return language_model(config)(config)


def _embedding_name(body: Any) -> str:
    embeddings = body.get_input_embeddings()
    return next(f"{name}.weight" for name, module in body.named_modules() if module is embeddings)
