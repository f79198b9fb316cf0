"""The error tree, and the logs that a caller's mistake does not fill."""

from __future__ import annotations

import io
import logging
import sys

import grpc
import pytest
from ray.exceptions import RayTaskError

from services.common import errors, logs


@pytest.fixture
def loggers():
    """The two loggers that ``configure`` touches, untouched, and put back afterwards."""
    ours, rays = logging.getLogger("services"), logging.getLogger("ray.serve")
    before = ours.level, ours.propagate, ours.handlers[:], rays.filters[:]
    ours.handlers[:], rays.filters[:] = [], []
    yield ours, rays
    ours.setLevel(before[0])
    ours.propagate = before[1]
    ours.handlers[:], rays.filters[:] = before[2], before[3]


def record(error: BaseException | None) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    return logging.LogRecord("ray.serve", logging.ERROR, __file__, 1, "request failed", (), info)


def test_no_two_errors_share_a_status():
    kinds = errors.ServiceError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds) == 7
    assert grpc.StatusCode.OK not in {kind.code for kind in kinds}
    # The tree of the docstring is the tree.
    assert all(f"  {kind.__name__} " in errors.__doc__ for kind in kinds)


def test_configuring_twice_changes_only_the_level(loggers):
    ours, rays = loggers
    logs.configure("WARNING")
    assert ours.level == logging.WARNING
    logs.configure("DEBUG")
    assert ours.level == logging.DEBUG
    assert (len(ours.handlers), len(rays.filters)) == (1, 1)
    # Or Ray's own handler would print each line again.
    assert not ours.propagate


@pytest.mark.usefixtures("loggers")
def test_lines_name_their_module(monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    logs.configure("INFO")
    logging.getLogger("services.llm.x").info("hello %d", 5)
    logging.getLogger("services.llm.x").debug("quiet")
    (line,) = stderr.getvalue().splitlines()
    assert line.endswith("INFO services.llm.x hello 5")


@pytest.mark.parametrize(
    "error",
    [errors.InvalidArgument("a", "b"), errors.NotFound("a"), errors.Unauthenticated("a"), errors.Unavailable("a")],
)
def test_a_refusal_leaves_no_traceback_in_rays_log(loggers, error):
    _, rays = loggers
    logs.configure("INFO")
    assert not rays.filter(record(error))
    wrapped = RuntimeError("Serve's")
    wrapped.original_exception = error
    assert not rays.filter(record(wrapped))


@pytest.mark.parametrize(
    "error",
    [None, errors.Internal("bug"), KeyError("bug"), RayTaskError("f", "traceback", KeyError("bug"))],
    ids=lambda error: type(error).__name__,
)
def test_everything_else_stays_in_rays_log(loggers, error):
    _, rays = loggers
    logs.configure("INFO")
    assert rays.filter(record(error))


def test_a_line_without_an_exception_stays():
    line = record(None)
    line.exc_info = (None, None, None)
    assert logs._is_not_refusal(line)
