"""The sides that are compared, each started by itself."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.serving import Serving, ours, raw, stock
from scripts.bound import start_bound
from scripts.free_port import free_port
from services.families.registry import language_half
from services.llm import parts
from services.llm.export.folder import export
from services.llm.settings import LlmSettings

_PATIENCE_S = 300.0


@contextmanager
def plain(serving: Serving) -> Iterator[str]:
    """The URL of ``generate`` alone."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.answers.plain", serving.model, str(port)]
    command += ["--dtype", serving.dtype, "--threads", str(serving.threads)]
    with tempfile.TemporaryFile() as log:
        process = start_bound(command, stdout=log, stderr=log)
        try:
            _await(port, process)
            yield f"http://127.0.0.1:{port}"
        except RuntimeError:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-4000:])
            raise
        finally:
            process.terminate()
            process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("generate alone did not start") from None
            time.sleep(0.2)
        else:
            return


@contextmanager
def remote(serving: Serving) -> Iterator[str]:
    """The URL of ours beside a stock vLLM that has the language model alone."""
    folder = Path(serving.folder, f"{Path(serving.model).name}-language")
    if not folder.exists():
        source = parts.model(LlmSettings(model=serving.model))
        export(language_half(source), source, folder, "FOLDER")
    with (
        stock(replace(serving, model=str(folder)), "--enable-prompt-embeds", "--served-model-name", "lm") as url,
        ours(serving, "vllm-remote", HEROSERVE_VLLM_URL=url, HEROSERVE_VLLM_TIMEOUT_S="3600") as service,
    ):
        yield service


# Tokens of a step, and with it of what a vLLM keeps of its tower's rows: five pictures of 2 x 2 tiles. By default it
# keeps one.
_ROOM = "16384"

# Those before "transformers" read every visual token, whatever is asked.
SIDES: dict[str, Callable[[Serving], AbstractContextManager[str]]] = {
    "plain": plain,
    "stock": raw,
    "stock-roomy": lambda serving: raw(serving, "--max-num-batched-tokens", _ROOM),
    "transformers": lambda serving: ours(serving, "transformers"),
    "vllm": lambda serving: ours(serving, "vllm"),
    "vllm-remote": remote,
}
OURS = ("transformers", "vllm", "vllm-remote")
