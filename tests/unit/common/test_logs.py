"""The error tree, log lines for machines and for people, and the logs that a caller's mistake does not fill."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import sys
from datetime import datetime, timezone

import grpc
import pytest
from grpc._cython.cygrpc import ExecuteBatchError
from ray.exceptions import RayTaskError
from ray.serve.exceptions import RequestCancelledError

from services.common import context, errors, logs
from services.common.context import Origin, RequestContext
from services.common.settings import SettingError


@pytest.fixture
def loggers():
    """The loggers that ``configure`` touches, untouched, and put back afterwards; ours and Serve's."""
    ours, rays, loops = (logging.getLogger(name) for name in ("services", "ray.serve", "asyncio"))
    of_loops = loops.filters[:]
    before = ours.level, ours.propagate, ours.handlers[:], rays.filters[:]
    ours.handlers[:], rays.filters[:], loops.filters[:] = [], [], []
    yield ours, rays
    for handler in ours.handlers:
        handler.close()
    ours.setLevel(before[0])
    ours.propagate = before[1]
    ours.handlers[:], rays.filters[:] = before[2], before[3]
    loops.filters[:] = of_loops


def record(error: BaseException | None) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    return logging.LogRecord("ray.serve", logging.ERROR, __file__, 1, "request failed", (), info)


def test_no_two_errors_share_a_status():
    # HTTP's door has one of its own.
    kinds = [kind for kind in errors.ServiceError.__subclasses__() if kind.__module__ == errors.__name__]
    assert len({kind.code for kind in kinds}) == len(kinds) == 9
    assert grpc.StatusCode.OK not in {kind.code for kind in kinds}
    # The tree of the docstring is the tree.
    assert all(f"  {kind.__name__} " in errors.__doc__ for kind in kinds)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def lines(loggers, monkeypatch):
    """What is written to stderr: a function from a format to a function that reads it."""

    def configure(form: str, stderr: io.StringIO | None = None):
        stderr = stderr or io.StringIO()
        monkeypatch.setattr(sys, "stderr", stderr)
        logs.configure("INFO", form)
        return lambda: stderr.getvalue().splitlines()

    return configure


def test_configuring_twice_changes_only_level_and_format(loggers):
    ours, rays = loggers
    logs.configure("WARNING", "text")
    assert ours.level == logging.WARNING
    logs.configure("DEBUG", "json")
    assert ours.level == logging.DEBUG
    assert isinstance(ours.handlers[0].formatter, logs.JsonFormatter)
    assert (len(ours.handlers), len(rays.filters)) == (1, 1)
    # Or Ray's own handler would print each line again.
    assert not ours.propagate


def test_a_line_for_people_names_module_request_and_facts(lines):
    read = lines("text")
    with context.serving(RequestContext("mine")):
        facts = {"seconds": {"total": 0.123456, "tower": 1.5}, "detail": 'two "words"\n', "tiles": [1, 2], "none": ""}
        logging.getLogger("services.llm.x").info("hello %d", 5, extra=facts)
    logging.getLogger("services.llm.x").debug("quiet")
    (line,) = read()
    told = r'request_id=mine seconds.total=0.1235 seconds.tower=1.5 detail="two \"words\"\n" tiles=1,2 none=""'
    assert line.endswith(f"INFO services.llm.x hello 5 {told}")


def test_a_line_for_machines_is_one_json_object(lines):
    read = lines("json")
    log = logging.getLogger("services.llm.x")
    with context.serving(RequestContext("mine")):
        log.warning("hello %s\nthere", "ключ", extra={"tokens": {"total": 9, "kept": 2}, "odd": object})
    with context.serving_all([Origin("a"), Origin("b")]):
        log.info("batch")
    try:
        {}["lost"]
    except KeyError:
        log.exception("bug")
    first, batch, bug = map(json.loads, read())
    assert datetime.fromisoformat(first.pop("time")).tzinfo == timezone.utc
    assert first == {
        "level": "WARNING",
        "logger": "services.llm.x",
        "message": "hello ключ\nthere",
        "request_id": "mine",
        "tokens": {"total": 9, "kept": 2},
        "odd": "<class 'object'>",
    }
    assert (batch["request_ids"], batch.keys() & {"request_id"}) == (["a", "b"], set())
    assert bug["exception"].splitlines()[-1] == "KeyError: 'lost'"
    assert not bug.keys() & {"request_id", "request_ids"}


@pytest.mark.parametrize(("stderr", "machine"), [(io.StringIO(), True), (Terminal(), False)], ids=["pipe", "terminal"])
def test_auto_is_text_on_a_terminal_only(lines, stderr, machine, monkeypatch):
    read = lines("auto", stderr)
    logging.getLogger("services.x").info("hello")
    (line,) = read()
    assert line.startswith("{") is machine
    for told, settled in (
        ("auto", "json" if machine else "text"),
        ("", "json" if machine else "text"),
        ("text", "text"),
    ):
        monkeypatch.setenv("HEROSERVE_LOG_FORMAT", told)
        logs.settle()
        assert os.environ["HEROSERVE_LOG_FORMAT"] == settled


def test_lines_go_to_another_process_output_where_one_is_named(loggers, capfd):
    """Which is a pipe, as a container's is; two processes write to it."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as output, os.fdopen(writing, "w") as own:
        logs.configure("INFO", "json", f"/proc/{os.getpid()}/fd/{writing}")
        logging.getLogger("services.x").info("hello")
        own.write("from its owner\n")
        own.flush()
        logging.getLogger("services.x").info("hello again")
        assert json.loads(output.readline())["message"] == "hello"
        assert output.readline() == "from its owner\n"
        assert json.loads(output.readline())["message"] == "hello again"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_ray_notes_on_a_record_is_not_told(lines, form):
    read = lines(form)
    logging.getLogger("services.x").info("hello", extra={"_ray_noted": 1795641107330482646})
    assert "ray" not in "".join(read())


@pytest.mark.parametrize("kind", ["folder", "missing/log", "file/log", "pipe", "socket", "n" * 300])
def test_a_file_that_no_line_can_go_to_is_told_before_the_start(tmp_path, kind):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(SettingError, match=r"^HEROSERVE_LOG_FILE='.*': no line can be appended to it \(.*\); "):
            logs.check(str(tmp_path / kind))


def test_a_file_that_lines_can_go_to(tmp_path):
    (tmp_path / "log").write_text("before\n")
    for file in (
        "",
        str(tmp_path / "log"),
        str(tmp_path / "new"),
        "/dev/null",
        f"/proc/{os.getpid()}/fd/2",
        "/proc/0/x",
    ):
        logs.check(file)
    assert (tmp_path / "log").read_text() == "before\n"


def test_a_file_that_can_not_be_opened_loses_no_line(loggers, capfd, tmp_path):
    logs.configure("INFO", "json", str(tmp_path / "missing/log"))
    logging.getLogger("services.x").info("hello")
    told, hello = map(json.loads, capfd.readouterr().err.splitlines())
    assert told["level"] == "WARNING"
    assert "HEROSERVE_LOG_FILE" in told["message"]
    assert "No such file" in told["message"]
    assert hello["message"] == "hello"


def test_a_file_that_is_rotated_away_is_begun_anew(loggers, tmp_path):
    logs.configure("INFO", "json", str(tmp_path / "log"))
    for name in ("before", "after"):
        logging.getLogger("services.x").info(name)
        if name == "before":
            (tmp_path / "log").rename(tmp_path / "log.1")
    told = [json.loads((tmp_path / name).read_text())["message"] for name in ("log.1", "log")]
    assert told == ["before", "after"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_colours_where_there_is_no_terminal(lines, form):
    read = lines(form)
    logging.getLogger("services.x").error("hello", extra={"detail": "\x1b[31mred"})
    assert "\x1b" not in "".join(read())


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


@pytest.mark.parametrize("name", ["ray.serve", "asyncio", "grpc._cython.cygrpc"])
@pytest.mark.parametrize(
    "gone", [RequestCancelledError("id"), ExecuteBatchError("Failed grpc_call_start_batch"), StopAsyncIteration()]
)
def test_callers_that_went_away_leave_no_traceback(name, gone, loggers):
    logs.quiet_refusals()
    filtered = logging.getLogger(name)
    assert not filtered.filter(record(gone))
    assert filtered.filter(record(RuntimeError("bug")))
