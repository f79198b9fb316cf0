"""HEROSERVE_VLLM_ARGS: vLLM's own engine settings, as its command line has them or as a JSON object."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from services.common.settings import SettingError
from services.common.shown import assigned, first_line, shown

VARIABLE = "HEROSERVE_VLLM_ARGS"
_CHECKPOINT = "it loads the language model of HEROSERVE_MODEL"
_ASKED = "each request says how it is answered, and the checkpoint how all are"
_PLACED = "Ray places a replica, and HEROSERVE_TENSOR_PARALLEL says over how many accelerators"
# What would break what is built on it, or is said elsewhere; and where.
_OURS = {
    **dict.fromkeys(
        ("model", "tokenizer", "tokenizer_mode", "config_format", "hf_config_path", "hf_overrides", "hf_token"),
        _CHECKPOINT,
    ),
    **dict.fromkeys(("revision", "tokenizer_revision", "code_revision", "model_weights", "load_format"), _CHECKPOINT),
    **dict.fromkeys(("trust_remote_code", "allowed_local_media_path", "allowed_media_domains"), _CHECKPOINT),
    **dict.fromkeys(("runner", "convert", "model_impl", "skip_tokenizer_init"), _CHECKPOINT),
    **dict.fromkeys(("enable_prompt_embeds", "enable_mm_embeds", "enable_lora"), "images come as embeddings"),
    **dict.fromkeys(("generation_config", "override_generation_config", "logits_processors"), _ASKED),
    **dict.fromkeys(("tensor_parallel_size", "distributed_executor_backend", "nnodes", "node_rank"), _PLACED),
    **dict.fromkeys(("pipeline_parallel_size", "data_parallel_size", "decode_context_parallel_size"), _PLACED),
    **dict.fromkeys(("prefill_context_parallel_size", "data_parallel_size_local", "data_parallel_rank"), _PLACED),
    "served_model_name": "callers call it by the name of HEROSERVE_MODEL",
    "dtype": "HEROSERVE_DTYPE says it",
    "disable_log_stats": "the service's metrics are made of them",
    "enable_log_requests": "log lines never tell what callers ask",
    "enable_sleep_mode": "nobody would wake it",
}


def words(line: str) -> tuple[str, ...]:
    """Its words, as a command line's.

    Raises:
        ValueError: it is neither a command line nor a JSON object.
    """
    if not line.strip().startswith("{"):
        try:
            found = tuple(shlex.split(line))
        except ValueError as error:
            raise ValueError(f"expected vLLM's flags, as a shell would read them ({first_line(error)})") from error
        if found and not found[0].startswith("-"):
            raise ValueError(f"expected vLLM's flags, such as --max-num-seqs 128, or a JSON object; got {shown(line)}")
        return found
    try:
        settings = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected vLLM's flags, or a JSON object of its settings ({first_line(error)})") from error
    return tuple(word for name, value in settings.items() for word in _flag(name, value))


def _flag(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    match value:
        case None:
            return []
        case bool():
            return [f"--{flag}" if value else f"--no-{flag}"]
        case str() | int() | float():
            return [f"--{flag}={value}"]
        case list() if not any(isinstance(each, list | dict) for each in value):
            return [f"--{flag}", *map(str, value)]
    return [f"--{flag}={json.dumps(value)}"]


def parse(given: Sequence[str]) -> dict[str, Any]:
    """Settings that words name, by the names of vLLM's ``AsyncEngineArgs``.

    Raises:
        SettingError: vLLM has no such setting, or not of such a value; or it is not for this variable.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):  # type: ignore[misc]
        def error(self, message: str) -> Any:
            raise ValueError(message)

    told = assigned(VARIABLE, shlex.join(given))
    if any(word.split("=")[0] in ("--config", "-h", "--help") for word in given):
        raise SettingError(f"{told}: name vLLM's settings themselves")
    parser: Any = AsyncEngineArgs.add_cli_args(Parser(add_help=False))
    try:
        usual = vars(parser.parse_args([]))
        found = vars(parser.parse_args(list(given)))
        # What is given is told from what is usual by its destination: a word may be short for another.
        parser.set_defaults(**dict.fromkeys(usual, _UNSET))
        named = {name for name, value in vars(parser.parse_args(list(given))).items() if value is not _UNSET}
    except (ValueError, TypeError) as error:
        raise SettingError(f"{told}: vLLM does not take it ({first_line(error)})") from error
    for name in sorted(named):
        if name in _OURS or name.startswith("data_parallel"):
            raise SettingError(f"{told}: {name} is not to be set here; {_OURS.get(name, _PLACED)}")
    return {name: found[name] for name in named}


_UNSET: Any = object()
