"""What to do with a stack that is ready."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from scripts.stack.paths import PICTURE, QUESTION, ROOT
from scripts.stack.shell import Shell
from scripts.stack.stack import Stack
from services.common.ingress.pages import wanted
from services.llm.engines.remote.urls import VARIABLE as URLS


def page(stack: Stack, shell: Shell) -> str:
    """Where everything is, and a command to paste."""
    ports = stack.ports
    rows = [
        (
            name,
            f"gRPC localhost:{ports.of(name)['GRPC']}",
            f"health http://{shell.host}:{ports.of(name)['HTTP']}/readyz",
            f"metrics http://localhost:{ports.of(name)['METRICS']}/metrics",
        )
        for name in ("llm", "encoder")
    ]
    cache = f"{shell.shown_cache} (HEROSERVE_CACHE_URL)" if shell.cache_url else stack.redis.url
    lines = ["   ".join([f"{name:8}", *rest]) for name, *rest in rows]
    if urls := shell.variables.get(URLS, "").strip():
        lines += [f"vLLM       {urls}"]
    http = f"http://{shell.host}:{ports.of('llm')['HTTP']}"
    lines += [f"OpenAI     {http}/v1"]
    if wanted(shell.variables):
        lines += [f"Playground {http}/"]
    lines += [f"cache      {cache}", f"logs       {stack.folder}", "", *_first(ports.llm, shell), ""]
    return "\n".join([*lines, "Ctrl-C stops everything."])


def _first(port: int, shell: Shell) -> list[str]:
    # What the models in the box can be asked says nothing of others.
    question = QUESTION if shell.bundled else "what is in this picture?"
    ask = [program(), "ask", PICTURE, question, "--retention", "0.2", "--target", f"localhost:{port}"]
    command = shlex.join(ask)
    if not shell.api_key:
        return [f"try        {command}"]
    # A key is a secret, and a terminal is read by many.
    return [f"try        HEROSERVE_API_KEY=KEY {command}", "           KEY is one of your HEROSERVE_API_KEYS"]


def program() -> str:
    """Our command, as short as it can be typed from where this process was started."""
    path = Path(sys.executable).parent / "heroserve"
    return os.path.relpath(path) if Path.cwd() == ROOT and path.is_relative_to(ROOT) else str(path)
