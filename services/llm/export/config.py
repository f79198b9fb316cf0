"""The config of a plain causal language model, for engines that have their own code of it."""

from __future__ import annotations

from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from services.common.checkpoint import Checkpoint

# Kinds whose causal language model, with what is below, says what their body does under a plain head; tried, each. One
# that scales embeddings, say, need not do so at the same place in another engine as in transformers.
_KINDS = ("llama", "mistral", "qwen2", "qwen3")
# Of what these kinds can be told, what other engines have no code for, or other code.
_ACTIVATIONS = ("silu", "swish")
_ROPES = ("default", "dynamic", "linear", "llama3", "yarn")

# Of kinds whose causal language model, by itself, does more to its logits than a plain head does (language_model.py):
# what keeps it from that. What these are called elsewhere is no matter: a kind has what its own config class names.
_PLAIN_HEAD: dict[str, object] = {
    "final_logit_softcapping": None,
    "logits_soft_cap": None,
    "logit_scale": 1.0,
    "logits_scaling": 1.0,
    "lm_head_multiplier": 1.0,
    "lm_head_bias": False,
}


def architecture(config: Any) -> str:
    """What a kind's causal language model is called, in Hugging Face and in engines that go by its names."""
    return str(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__)


def check_exportable(config: Any, source: Checkpoint) -> None:
    """Raises:
    SettingError: its kind is not one that is known to be read alike elsewhere, or something about it.
    """
    if config.model_type not in _KINDS:
        raise source.unusable(
            f"its language model is a {config.model_type!r}, which is not known to be read elsewhere as in a vision "
            f"model; exported are {', '.join(_KINDS)}"
        )

    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    layers = set(getattr(config, "layer_types", None) or ())
    # A qwen3's bias is elsewhere that of queries, keys and values alone.
    biased = config.model_type == "qwen3" and config.attention_bias
    for name, value, known in (
        ("hidden_act", config.hidden_act, _ACTIVATIONS),
        ("attention_bias", biased, (False,)),
        ("rope_parameters.rope_type", rope, _ROPES),
        # Of some layers only: of all of them it is a mistral's.
        ("layer_types", "sliding_attention" if len(layers) > 1 else "", ("",)),
    ):
        if value not in known:
            others = f", as {', '.join(map(str, known))} is" if known != ("",) else ""
            raise source.unusable(
                f"its text_config has {name} {value!r}, which is not known to be read elsewhere as here{others}"
            )


def plain_config(config: Any, dtype: str, end_tokens: frozenset[int], *, tied: bool) -> dict[str, Any]:
    """What config.json is to say of a language model that is read as Hugging Face's vision models read it.

    Args:
        config: the language model's.
        dtype: its weights', as transformers calls it.
        end_tokens: that end an answer.
        tied: its head is its embeddings.
    """
    # What its class does not name transformers does not heed; another engine might.
    named = type(config)().to_dict().keys()
    plain = {key: value for key, value in config.to_dict().items() if key in named}
    plain |= {key: value for key, value in _PLAIN_HEAD.items() if key in plain}
    rope = plain.get("rope_parameters")
    if rope and rope.get("rope_type") == "dynamic":
        # They are stretched behind max_position_embeddings, where no prompt or answer gets here; others would take
        # longer ones for it, and stretch otherwise.
        plain["rope_parameters"] = {"rope_type": "default", "rope_theta": rope["rope_theta"]}
    return plain | {
        "architectures": [architecture(config)],
        "dtype": dtype,
        "model_type": config.model_type,
        "tie_word_embeddings": tied,
        "eos_token_id": sorted(end_tokens) or None,
    }
