"""One task at one retention, by lmms-eval in an environment of its own; what has been done once is not done again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from .relay import relay
from .results import Reading, UnusableError, read_task

_LOG_LINES = 30


@dataclass(frozen=True)
class Setup:
    """What has to be the same for two runs to be compared.

    Args:
        model: as the service calls it.
        lmms_eval: its version.
        limit: documents of a task; None for all.
        arguments: more of lmms-eval's command line.
    """

    model: str
    lmms_eval: str
    limit: int | None
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Runner:
    """Runs lmms-eval.

    Args:
        python: that has it.
        url: of the service, without ``/v1``.
        key: of the service's API keys.
        setup: of all runs.
        concurrency: requests under way at once.
        timeout_s: longest to wait for an answer.
        folder: where runs are kept.
    """

    python: str
    url: str
    key: str
    setup: Setup
    concurrency: int
    timeout_s: float
    folder: Path

    def run(self, task: str, retention: float) -> tuple[Reading, bool]:
        """What came of a task at a retention; whether it was there already.

        Raises:
            UnusableError: nothing came of it, or what is there is of another setup.
        """
        folder = self.folder / task / f"{retention:g}"
        done = folder / "done.json"
        setup = json.loads(json.dumps(asdict(self.setup)))
        if done.exists():
            found = json.loads(done.read_text(encoding="utf-8"))
            if found["setup"] != setup:
                differ = ", ".join(
                    f"{name} {found['setup'].get(name)!r}" for name in setup if found["setup"].get(name) != setup[name]
                )
                raise UnusableError(f"{done} is of another setup ({differ}); name another --out, or remove it")
            return Reading.from_json(found["reading"]), True
        # Half a run is none.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        reading = self._measure(task, retention, folder)
        part = done.with_suffix(".part")
        part.write_text(json.dumps({"setup": setup, "reading": reading.to_json()}, indent=1) + "\n", encoding="utf-8")
        part.replace(done)
        return reading, False

    def _measure(self, task: str, retention: float, folder: Path) -> Reading:
        log = folder / "lmms-eval.log"
        with relay(self.url, self.setup.model, retention, self.timeout_s) as (address, told):
            code = self._evaluate(task, address, folder / "told", log)
        if code or not told.kept:
            end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
            why = f"it ended with {code}" if code else "it has asked nothing that was answered"
            raise UnusableError(
                f"{task} at {retention:g}: lmms-eval: {why}; {told.problem or 'its own words'} ({log}):\n{end}"
            )
        try:
            metrics, documents = read_task(folder / "told", task)
        except UnusableError as error:
            raise UnusableError(f"{task} at {retention:g}: {error} {told.problem} ({log})") from error
        count = len(told.kept)
        return Reading(metrics, documents, sum(told.kept) / count, sum(told.total) / count)

    def _evaluate(self, task: str, address: str, told: Path, log: Path) -> int:
        """Its exit status."""
        model = f"model=heroserve,num_concurrent={self.concurrency},max_retries=3,timeout={self.timeout_s:g}"
        limit = () if self.setup.limit is None else ("--limit", str(self.setup.limit))
        command = [
            *(self.python, "-m", "lmms_eval", "--model", "openai", "--model_args", model, "--batch_size", "1"),
            *("--tasks", task, "--output_path", str(told), "--log_samples", *limit, *self.setup.arguments),
        ]
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603 - what its user names
                command, env=environment(address, self.key), stdout=out, stderr=out, start_new_session=True
            )
            try:
                return process.wait()
            finally:
                # Whatever else it has started.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def environment(address: str, key: str) -> dict[str, str]:
    """Of lmms-eval: nothing of ours, and no answers that it keeps from other retentions."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HEROSERVE_", "PYTHON")) and name != "LMMS_EVAL_USE_CACHE"
    }
    return kept | {"OPENAI_API_BASE": address, "OPENAI_BASE_URL": address, "OPENAI_API_KEY": key or "none"}
