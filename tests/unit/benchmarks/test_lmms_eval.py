"""lmms-eval's results read, and told as curves; lmms-eval itself runs in tests/clients."""

from __future__ import annotations

import json
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lmms_eval import plot, report
from benchmarks.lmms_eval.__main__ import main
from benchmarks.lmms_eval.asking import ask
from benchmarks.lmms_eval.relay import read, relay
from benchmarks.lmms_eval.results import Metric, Reading, UnusableError, read_task
from benchmarks.lmms_eval.runs import Runner, Setup
from benchmarks.lmms_eval.summary import curves, summarise


def write(folder: Path, results: dict[str, Any], lines: list[dict[str, Any]], task: str = "vqa", **more: Any) -> None:
    """As lmms-eval writes them."""
    there = folder / "heroserve"
    there.mkdir(parents=True)
    (there / "20261126_120000_results.json").write_text(json.dumps({"results": {task: results}, **more}))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (there / f"20261126_120000_samples_{task}.jsonl").write_text(text)


def line(doc: int, answer: str = "T", **scores: Any) -> dict[str, Any]:
    return {"doc_id": doc, "doc_hash": f"{doc}", "filtered_resps": [answer], **scores}


def test_metrics_are_read_with_their_errors_and_scores(tmp_path: Path):
    results = {
        "alias": "vqa",
        "f1,none": 60.0,
        "f1_stderr,none": "N/A",
        "f1_stderr_clt,none": 2.0,
        "anls,none": 0.75,
        "anls_stderr,none": 0.1,
        "anls_stderr_clustered,none": 0.2,
        "anls_stderr_clt,none": 0.3,
        "best,none": 1.0,
        "best_stderr,none": "N/A",
        "submission,none": None,
    }
    lines = [line(0, anls=1.0, f1=0.2, best=1.0, submission={"x": 1}), line(7, anls=0.5, f1=1.0, best=0.0)]
    configs = {"vqa": {"metric_list": [{"metric": "anls"}, {"metric": "f1"}]}}
    write(tmp_path, results, lines, configs=configs)
    metrics, documents = read_task(tmp_path, "vqa")
    assert documents == 2
    # The task's first comes first.
    assert list(metrics) == ["anls,none", "f1,none", "best,none"]
    assert metrics["anls,none"] == Metric(0.75, 0.2, {"0": 1.0, "7": 0.5})
    # In points: so are the scores.
    assert metrics["f1,none"] == Metric(60.0, 2.0, {"0": 20.0, "7": 100.0})
    # No mean: a draw of documents would say nothing of it.
    assert metrics["best,none"] == Metric(1.0, None, {})


@pytest.mark.parametrize(
    ("results", "lines", "more", "told"),
    [
        ({"alias": "vqa"}, [line(0)], {}, "vqa has no metric of its own$"),
        ({"alias": "vqa", "x,none": "N/A"}, [line(0)], {"group_subtasks": {"vqa": ["a", "b"]}}, "name its parts: a,b"),
        (
            {"anls,none": 0.5},
            [line(0, anls=1.0), line(1, "[LMMS_EVAL_REQUEST_FAILED after 3 retries] x", anls=0.0)],
            {},
            "1 of vqa's 2 requests have failed",
        ),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, results: Any, lines: Any, more: Any, told: str):
    write(tmp_path, results, lines, **more)
    with pytest.raises(UnusableError, match=told):
        read_task(tmp_path, "vqa")


def test_a_group_is_read_by_its_own_metric_and_its_parts_failures(tmp_path: Path):
    write(tmp_path, {"anls,none": 0.5}, [line(0, anls=1.0), line(1, anls=0.0)], "part")
    (results,) = tmp_path.rglob("*_results.json")
    results.write_text(json.dumps({"results": {"whole": {"anls,none": 0.5, "anls_stderr,none": 0.1}}}))
    metrics, documents = read_task(tmp_path, "whole")
    assert (metrics["anls,none"], documents) == (Metric(0.5, 0.1, {}), 2)
    (samples,) = tmp_path.rglob("*.jsonl")
    samples.write_text(json.dumps(line(0, "[LMMS_EVAL_REQUEST_FAILED")) + "\n")
    with pytest.raises(UnusableError, match="1 of whole's 1 requests"):
        read_task(tmp_path, "whole")


def reading(scores: list[float], kept: float, *, by_document: bool = True) -> Reading:
    told = {str(doc): score for doc, score in enumerate(scores)} if by_document else {}
    return Reading({"anls,none": Metric(sum(scores) / len(scores), 0.03, told)}, len(scores), kept, 400.0)


SETUP = {"model": "m", "lmms_eval": "0.7.3", "limit": None, "arguments": [], "yardstick": False}


def test_losses_are_paired():
    """Each document loses a tenth: how much they differ among themselves does not blur that."""
    whole = [0.1, 0.5, 0.9, 0.3] * 25
    less = [score - 0.1 for score in whole]
    summary = summarise(curves({"vqa": [reading(whole, 400), reading(less, 80)]}, {}), [1.0, 0.2], SETUP)
    (task,) = summary["tasks"]
    assert task["loss"] == pytest.approx([0.0, 0.1])
    assert task["loss_low"] == pytest.approx([0.0, 0.1])
    assert task["loss_high"] == pytest.approx([0.0, 0.1])
    # Of the value itself it does.
    assert task["high"][1] - task["low"][1] > 0.05
    assert task["kept"] == [400, 80]
    group = summary["methods"][0]["groups"]["vqa"]
    assert group["accuracy"] == pytest.approx([1.0, 0.35 / 0.45])
    assert group["low"][0] == group["high"][0] == 1.0
    assert group["low"][1] < group["accuracy"][1] < group["high"][1]


def test_a_mean_of_tasks_has_an_interval_where_all_have(tmp_path: Path):
    known = [reading([1.0, 0.0, 1.0, 1.0], 400), reading([1.0, 0.0, 0.0, 1.0], 80)]
    unknown = [reading([0.8] * 4, 300, by_document=False), reading([0.4] * 4, 60, by_document=False)]
    alone = summarise(curves({"a": known, "b": known}, {}), [1.0, 0.2], SETUP)["methods"][0]["groups"]["overall"]
    assert alone["accuracy"] == pytest.approx([1.0, 2 / 3])
    assert alone["low"][1] is not None
    summary = summarise(curves({"a": known, "b": unknown}, {}), [1.0, 0.2], {**SETUP, "yardstick": True})
    both = summary["methods"][0]["groups"]["overall"]
    assert both["accuracy"] == pytest.approx([1.0, (2 / 3 + 1 / 2) / 2])
    assert both["low"] == [None, None]
    # As JSON has it, which knows no other numbers.
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    text = report.render(summary, "x.png")
    assert "| b, anls | 80.0 ± 3.0 | 40.0 ± 3.0 |" in text
    assert "| b, anls | not known |" in text
    assert "| a, anls | 75.0 [" in text
    assert "| mean | 100.0 | 58.3 |" in text
    assert "| SCOPE | 99.8 | 97.8 | 94.4 |" in text
    assert "| a | 400.0 | 80.0 |" in text
    plot.draw(summary, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 10_000


def test_nothing_right_with_all_tokens_is_no_share():
    none = [reading([0.0, 0.0], 400), reading([1.0, 0.0], 80)]
    summary = summarise(curves({"a": none}, {}), [1.0, 0.2], SETUP)
    assert summary["methods"][0]["groups"]["a"]["accuracy"] == [None, None]
    assert "| mean | none | none |" in report.render(summary, "x.png")


def test_another_metric_of_a_task():
    both = Reading({"f1,none": Metric(0.5, None, {}), "em,none": Metric(0.25, None, {})}, 4, 10, 10)
    assert [curve.metric for curve in curves({"a": [both], "b": [both]}, {"b": "em"})] == ["f1,none", "em,none"]
    with pytest.raises(UnusableError, match="a has no metric 'anls', but f1,none, em,none"):
        curves({"a": [both]}, {"a": "anls"})


class Service(ThreadingHTTPServer):
    """Stands for the LLM service: remembers what it was asked, and says what it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, Any], str | None]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self._tell(200, {"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((body, self.headers["authorization"]))
        kept = {"kept": int(400 * body["heroserve"]["retention"]), "total": 400}
        if self.server.status == 200:
            self._tell(200, {"choices": [], "usage": {"heroserve": {"visual_tokens": kept}}})
        else:
            self._tell(self.server.status, {"error": {"message": "too many requests are waiting"}})

    def _tell(self, status: int, what: Any) -> None:
        data = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_relay_puts_a_retention_in_and_reads_what_was_kept(service: Service):
    sent = json.dumps({"messages": [{"role": "user", "content": "?"}], "model": "x", "max_tokens": 3}).encode()
    with relay(service.url, "tiny", 0.25, 30) as (address, told):
        for _ in range(2):
            status, answer, _ = ask(f"{address}/chat/completions", sent, {"authorization": "Bearer k"})
            assert (status, read(answer)["usage"]["heroserve"]["visual_tokens"]["kept"]) == (200, 100)
        assert (told.kept, told.total, told.problem) == ([100, 100], [400, 400], "")
        service.status = 429
        assert ask(f"{address}/chat/completions", sent)[0] == 429
        assert told.kept == [100, 100]
        assert told.problem == "status 429: too many requests are waiting"
        assert read(ask(f"{address}/models")[1])["data"][0]["id"] == "tiny"
    (asked, key), *_ = service.asked
    assert asked == {**json.loads(sent), "model": "tiny", "heroserve": {"retention": 0.25}}
    assert key == "Bearer k"
    with relay("http://127.0.0.1:9", "tiny", 0.25, 30) as (address, told):
        assert ask(f"{address}/chat/completions", sent)[0] == 502
        assert "http://127.0.0.1:9/v1/chat/completions can't be asked" in told.problem


# Asks what lmms-eval would, and writes what it would: a document for each time that it was run.
LMMS_EVAL = """
import json, os, sys, urllib.request
if sys.argv[1] == "-c":
    print("0.7.3"); sys.exit()
def option(name): return sys.argv[sys.argv.index(name) + 1]
with open(COUNT, "a") as runs: runs.write(option("--tasks") + " ")
if option("--tasks") == "unknown": sys.exit("no such task")
body = json.dumps({"messages": [], "model": "heroserve"}).encode()
asked = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body)
kept = json.load(urllib.request.urlopen(asked))["usage"]["heroserve"]["visual_tokens"]["kept"]
there = option("--output_path") + "/m"
os.makedirs(there)
task = option("--tasks")
json.dump({"results": {task: {"anls,none": kept / 400}}}, open(there + "/1_results.json", "w"))
sample = {"doc_id": 0, "doc_hash": "", "filtered_resps": "T", "anls": kept / 400}
json.dump(sample, open(there + f"/1_samples_{task}.jsonl", "w"))
"""


@pytest.fixture
def lmms_eval(tmp_path: Path) -> tuple[str, Path]:
    """A python that has it, and where it tells that it ran."""
    count = tmp_path / "runs.txt"
    program = tmp_path / "program.py"
    program.write_text(f"COUNT = {str(count)!r}\n{LMMS_EVAL}")
    python = tmp_path / "python"
    # An option of Python's own would be taken for one.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return str(python), count


def test_what_is_done_is_not_done_again(service: Service, lmms_eval: tuple[str, Path], tmp_path: Path, capsys: Any):
    python, count = lmms_eval
    out = tmp_path / "out"
    command = ["--url", f"{service.url}/v1", "--python", python, "--out", str(out), "--tasks"]
    main([*command, "a", "--retentions", "0.5,1"])
    assert count.read_text().split() == ["a", "a"]
    assert [asked["heroserve"]["retention"] for asked, _ in service.asked] == [1.0, 0.5]
    # What had begun is no run.
    (out / "runs" / "b" / "1").mkdir(parents=True)
    (out / "runs" / "b" / "1" / "lmms-eval.log").write_text("begun")
    main([*command, "a,b", "--retentions", "1,0.5,0.2"])
    assert count.read_text().split() == ["a", "a", "a", "b", "b", "b"]
    numbers = json.loads((out / "lmms-eval.json").read_text())
    assert [task["value"] for task in numbers["tasks"]] == [[1.0, 0.5, 0.2]] * 2
    assert [task["kept"] for task in numbers["tasks"]] == [[400, 200, 80]] * 2
    page = (out / "lmms-eval.md").read_text()
    assert page.count("| mean | 100.0 [100.0, 100.0] | 50.0 [50.0, 50.0] | 20.0 [20.0, 20.0] |") == 1
    assert (out / "lmms-eval.png").exists()
    assert "a at 1: anls,none 1.0000, 400.0 of 400.0 visual tokens (measured before)" in capsys.readouterr().err
    # Other documents are no other retention's.
    with pytest.raises(SystemExit, match=r"is of another setup \(limit None\); name another --out, or remove it"):
        main([*command, "a", "--retentions", "1,0.5", "--limit", "3"])
    with pytest.raises(SystemExit, match=r"another setup \(arguments \[\]\)"):
        main([*command, "a", "--retentions", "1,0.5", "--", "--seed", "3"])


def test_a_run_that_fails_is_told_with_its_end_and_is_not_done(
    service: Service, lmms_eval: tuple[str, Path], tmp_path: Path
):
    setup = Setup("tiny", "0.7.3", None, ())
    runner = Runner(lmms_eval[0], service.url, "", setup, 1, 30, tmp_path / "runs")
    with pytest.raises(UnusableError, match=r"unknown at 1: lmms-eval: it ended with 1(.|\n)*no such task"):
        runner.run("unknown", 1.0)
    assert not list((tmp_path / "runs").rglob("done*"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--retentions", "0.4,0.2"], "1 among them"),
        (["--retentions", "1,0"], "1 among them"),
        (["--retentions", "1,nan"], "1 among them"),
        (["--retentions", "2,1"], "1 among them"),
        (["--tasks", "a,,b"], "names with commas"),
        (["--limit", "0"], "whole number above 0"),
        (["--metric", "anls"], "TASK=METRIC"),
        (["--url", "localhost:8001"], "http://HOST:PORT"),
    ],
)
def test_options_that_make_no_sense(options: list[str], told: str, capsys: Any):
    with pytest.raises(SystemExit):
        main(["--url", "http://localhost:1", "--tasks", "a", "--out", "x", *options])
    assert told in capsys.readouterr().err


def test_who_can_not_be_asked(service: Service, tmp_path: Path):
    command = ["--tasks", "a", "--out", str(tmp_path), "--url"]
    with pytest.raises(SystemExit, match=r"--url: http://127\.0\.0\.1:9/v1/models can't be asked"):
        main([*command, "http://127.0.0.1:9"])
    with pytest.raises(SystemExit, match=r"--python .*: has no lmms-eval"):
        main([*command, service.url, "--python", "/bin/false"])
    with pytest.raises(SystemExit, match=r"--python .*no-such: can't be run"):
        main([*command, service.url, "--python", str(tmp_path / "no-such")])
