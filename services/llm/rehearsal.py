"""Whether a chat template ends, and within bounds: found by a process of its own, since nothing else can end one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import lru_cache
from typing import Any

from services.common import child
from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.llm.template import told

_MAIN = "services.llm.rehearsal_main"
# Of processor time for all that is tried; published templates take a tenth of a second.
_SECONDS = 10
_MEMORY_BYTES = 1 << 30
# By the clock, on whatever machine: with the start of the process.
_PATIENCE_S = 180.0
# How ``rehearsal_main`` ends where memory did not suffice.
OUT_OF_MEMORY = 3


class _Unbounded(Exception):
    """A template takes too much; the message says of what."""


def rehearse(source: Checkpoint, tokenizer: Any, template: str, image_token_id: int, *, chosen: str) -> None:
    """Render conversations that nobody had; to be done before this process renders any.

    Args:
        source: the checkpoint.
        tokenizer: its.
        template: in Jinja.
        image_token_id: an image's placeholder.
        chosen: the setting that the template is of; empty where it is the checkpoint's own.

    Raises:
        SettingError: that takes too much time or memory.
    """
    asked = {
        "template": template,
        "image_token": tokenizer.convert_ids_to_tokens(image_token_id),
        "special_tokens": tokenizer.special_tokens_map,
    }
    try:
        _try(json.dumps(asked, default=str))
    except _Unbounded as problem:
        if chosen:
            raise SettingError(f"{told(source, chosen)}: the chat template {problem}") from problem
        raise source.unusable(f"the chat template {problem}; {source.template_variable} takes another") from problem


# What passed passes again: that process is told this text, and nothing else. What did not is tried anew.
@lru_cache(maxsize=16)
def _try(asked: str) -> None:
    """Raises:
    _Unbounded: the process that was told so did not end well.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", _MAIN, str(_SECONDS), str(_MEMORY_BYTES)],
            input=asked.encode(),
            env=child.environment(TRANSFORMERS_VERBOSITY="error"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE_S,
            check=False,
        )
        code, told = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        code, told = -signal.SIGXCPU, b""
    match code:
        case 0:
            return
        case _ if code == OUT_OF_MEMORY:
            problem = f"takes more than {_MEMORY_BYTES >> 30} GiB of memory for a question"
        case _ if code == -signal.SIGXCPU:
            problem = f"takes more than {_SECONDS} s for a few questions"
        case _:
            lines = told.decode(errors="replace").strip().splitlines() or ["no more is known"]
            problem = f"ended the process that tried it with {code} ({lines[-1][:200]})"
    raise _Unbounded(problem)
