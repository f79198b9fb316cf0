"""Transformers without its tables and bars."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils.logging import set_tqdm_hook


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' table of what does not fit, which is told in a line, and its bar."""
    logger = logging.getLogger("transformers.modeling_utils")
    was, logger.disabled = logger.disabled, True
    hook = set_tqdm_hook(lambda factory, args, kwargs: factory(*args, **{**kwargs, "disable": True}))
    try:
        yield
    finally:
        set_tqdm_hook(hook)
        logger.disabled = was
