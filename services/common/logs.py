"""Logs of our own modules to stderr; Ray forwards a replica's to its driver."""

from __future__ import annotations

import logging

from services.common.errors import Internal, ServiceError

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def configure(level: str) -> None:
    """Set up this process's ``services`` logger; calling it again changes only the level."""
    root = logging.getLogger("services")
    root.setLevel(level)
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        root.addHandler(handler)
        root.propagate = False
        logging.getLogger("ray.serve").addFilter(_is_not_refusal)


def _is_not_refusal(record: logging.LogRecord) -> bool:
    """Ray Serve logs a traceback for every stream that ends with an error; a caller's mistake needs none."""
    error = record.exc_info[1] if record.exc_info else None
    cause = getattr(error, "original_exception", error)
    return not isinstance(cause, ServiceError) or isinstance(cause, Internal)
