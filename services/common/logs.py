"""Log lines of our own modules, to stderr or a file: JSON for machines, text for people, each with the request's id."""

from __future__ import annotations

import errno
import json
import logging
import logging.handlers
import os
import sys
from datetime import datetime, timezone
from typing import Any

from services.common import context
from services.common.errors import Internal, ServiceError
from services.common.sampling import FewLines
from services.common.settings import LogFormat, SettingError
from services.common.shown import assigned

VARIABLE = "HEROSERVE_LOG_FORMAT"
FILE = "HEROSERVE_LOG_FILE"
# What Serve and gRPC raise where a caller has gone away: before its answer, in the middle of it, behind its last piece.
_GONE = {"RequestCancelledError", "ExecuteBatchError", "StopAsyncIteration"}
_FEW = {name: FewLines(name, 10) for name in ("ray.serve", "asyncio", "grpc._cython.cygrpc")}
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, form: LogFormat = "auto", file: str = "") -> None:
    """Set up this process's ``services`` logger; calling it again changes level and format.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        form: json, text, or auto: text where stderr is a terminal, else JSON.
        file: to append to instead of stderr, which in a replica is a file of Ray's; a pipe will do. Where it can't be
            opened, stderr it is.
    """
    root = logging.getLogger("services")
    root.setLevel(level)
    root.propagate = False
    problem = None
    if not root.handlers:
        handler, problem = _open(file)
        root.addHandler(handler)
    for handler in root.handlers:
        handler.setFormatter(JsonFormatter() if resolve(form) == "json" else TextFormatter())
    if problem:
        root.warning("%s can't be opened (%s): lines go to stderr", assigned(FILE, file), problem)
    quiet_refusals()


def check(file: str) -> None:
    """Where lines are to go, asked before anything starts.

    Raises:
        SettingError: nothing can be appended to it.
    """
    # What a process has open is the images' default; where a runtime denies it stderr will do.
    if not file or file.startswith("/proc/"):
        return
    try:
        # A pipe that nobody reads would have us wait for its other end.
        os.close(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666))
    except OSError as error:
        reason = "nobody reads this pipe" if error.errno == errno.ENXIO else error.strerror
        raise SettingError(
            f"{assigned(FILE, file)}: no line can be appended to it ({reason}); name a file that may be written, in a "
            "folder that is there"
        ) from error


def _open(file: str) -> tuple[logging.Handler, str | None]:
    """A handler, and what kept it from being that of ``file``."""
    if not file:
        return logging.StreamHandler(), None
    try:
        # Where another program moves it away, the next line begins a new one.
        return logging.handlers.WatchedFileHandler(file, encoding="utf-8"), None
    except OSError as error:
        return logging.StreamHandler(), error.strerror


def resolve(form: str) -> str:
    """``json`` or ``text``, by what this process's stderr is."""
    if form != "auto":
        return form
    return "text" if sys.stderr.isatty() else "json"


def settle() -> None:
    """Decide the format here: the replicas' own stderr is never a terminal, though their lines end up on this one's."""
    os.environ[VARIABLE] = resolve(os.environ.get(VARIABLE, "").strip() or "auto")


def quiet_refusals() -> None:
    """A caller's mistake needs no traceback, nor does one that has gone away.

    Ray Serve writes one for every stream that ends with an error, asyncio for every call that Serve gave up, gRPC for
    every response whose caller went away while it was written.
    """
    for name in _FEW:
        logging.getLogger(name).addFilter(_is_worth_a_line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Its keys: ``time``, ``level``, ``logger``, ``message``, ``request_id`` (of a batch ``request_ids``), those of
    ``extra``, and ``exception`` with its traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_requests(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: one line, ``name=value`` behind the message; a traceback below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = _flat({**_requests(), **_extra(record)})
        return " ".join([super().formatMessage(record), *(f"{name}={_word(value)}" for name, value in fields.items())])


def _requests() -> dict[str, Any]:
    names = context.ids()
    if len(names) > 1:
        return {"request_ids": list(names)}
    return {"request_id": names[0]} if names and names[0] else {}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    # With an underscore come those that Ray gives to every record of its processes.
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and not name.startswith("_")}


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": inner for key, inner in _flat(value).items()})
        else:
            flat[name] = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value
    return flat


def _word(value: Any) -> str:
    """A value as one word, quoted where it is several."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if text and text.isprintable() and not set(text) & set(' "') else json.dumps(text)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    few = _FEW.get(record.name)
    # Of what is left a few: Serve has a line for each request that finds no room.
    return _is_not_refusal(record) and (few is None or few.filter(record))


def _is_not_refusal(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    cause = getattr(error, "original_exception", error)
    # By name: who configures logs need not have loaded Ray.
    if any(kind.__name__ in _GONE for kind in type(cause).__mro__):
        return False
    return not isinstance(cause, ServiceError) or isinstance(cause, Internal)
