"""What vLLM is told where nobody says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from services.common.room import memory_bytes
from services.llm.cost import PromptCost
from services.llm.engines.vllm.arguments import parse

# Requests that it generates for at once, of its own accord; vLLM's default goes by the accelerator.
_SLOTS = 256
# On a CPU: so many whole contexts, and of the memory no more than a share. vLLM would take nearly all of it.
_CONTEXTS = 16
_SHARE = 0.25


def slots(given: Sequence[str]) -> int:
    """Requests that it generates for at once, by HEROSERVE_VLLM_ARGS.

    Raises:
        SettingError: vLLM does not take them.
    """
    return int(parse(given).get("max_num_seqs") or _SLOTS)


def engine_arguments(
    given: Sequence[str], config: Any, device: str, dtype: torch.dtype, *, tensor_parallel: int
) -> dict[str, Any]:
    """Arguments of vLLM's ``AsyncEngineArgs``: what is given goes before what is usual here.

    Args:
        given: HEROSERVE_VLLM_ARGS, in words.
        config: the language model's.
        device: that it runs on: cpu, cuda.
        dtype: that it runs in.
        tensor_parallel: accelerators that it is spread over.

    Raises:
        SettingError: vLLM does not take them.
    """
    usual: dict[str, Any] = {"max_num_seqs": _SLOTS}
    if device == "cpu":
        # Compiling takes longer than it ever gives back on a few cores.
        usual["enforce_eager"] = True
        usual["kv_cache_memory_bytes"] = _kv_bytes(config, dtype)
    arguments = {**usual, **parse(given)}
    arguments["max_num_seqs"] = int(arguments["max_num_seqs"] or _SLOTS)
    arguments["dtype"] = str(dtype).removeprefix("torch.")
    if tensor_parallel > 1:
        arguments["tensor_parallel_size"] = tensor_parallel
        # Over the accelerators of the replica, which Ray placed on one node.
        arguments["distributed_executor_backend"] = "mp"
    return arguments


def _kv_bytes(config: Any, dtype: torch.dtype) -> int:
    wanted = PromptCost.of(config, dtype).kv_bytes * int(config.max_position_embeddings) * _CONTEXTS
    return max(1 << 28, min(wanted, int(memory_bytes() * _SHARE)))
