"""Servers of one model on this machine: a stock vLLM, and ours."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.untrained_shapes import make
from scripts.stack import Ports, running
from scripts.vllm_server import reads_pictures, vllm_server
from services.common.settings import BUNDLED_MODEL

_PATIENCE = ("HEROSERVE_REQUEST_TIMEOUT_S", "HEROSERVE_ENCODER_TIMEOUT_S", "HEROSERVE_MAX_WAIT_S")


@dataclass(frozen=True)
class Serving:
    """How models are served, whoever does it.

    Attributes:
        model: a folder; it is of what both sides answer with.
        relevance: as HEROSERVE_RELEVANCE_MODEL has it.
        dtype: of all models.
        threads: that each computes with.
        images: in a request, at most.
        block: tokens of a block of each vLLM's KV cache.
        kv_bytes: of each such cache; None as each has it by itself.
        context: tokens of a request at most; None as many as the model reads.
        folder: for what is made of the model.
    """

    model: str = BUNDLED_MODEL
    relevance: str = ""
    dtype: str = "float32"
    threads: int = 1
    images: int = 1
    block: int = 128
    kv_bytes: int | None = None
    context: int | None = None
    folder: str = ""

    @classmethod
    def of_shape(cls, shape: str, folder: Path, **others: Any) -> Serving:
        """Of an untrained model of a real shape, which is made in ``folder`` where it is not there; bfloat16, and a
        thread a core unless ``others`` say so."""
        folder.mkdir(parents=True, exist_ok=True)
        model, relevance = make(shape, folder.resolve())
        usual = {"dtype": "bfloat16", "threads": os.cpu_count() or 1}
        return cls(str(model), str(relevance), folder=str(folder.resolve()), **{**usual, **others})

    @property
    def flags(self) -> list[str]:
        """Of a vLLM."""
        found = ["--block-size", str(self.block)]
        found += ["--kv-cache-memory-bytes", str(self.kv_bytes)] if self.kv_bytes else []
        found += ["--max-model-len", str(self.context)] if self.context else []
        return found


@contextmanager
def stock(serving: Serving, *flags: str, **variables: str) -> Iterator[str]:
    """The URL of a stock vLLM over a whole checkpoint, that is sent pictures; or with ``flags`` and another ``model``
    one that is sent what these let it take."""
    with (
        tempfile.TemporaryDirectory() as folder,
        vllm_server(
            serving.model,
            Path(folder),
            *("--dtype", serving.dtype, "--enable-prompt-tokens-details", *serving.flags, *flags),
            OMP_NUM_THREADS=str(serving.threads),
            **variables,
        ) as server,
    ):
        yield server.url


def raw(serving: Serving, *flags: str) -> AbstractContextManager[str]:
    """The URL of a stock vLLM that is sent pictures; ``flags`` are others of it."""
    limit = f'{{"image": {serving.images}}}'
    usual = ("--served-model-name", "stock", "--limit-mm-per-prompt", limit)
    return stock(serving, *usual, *flags, **reads_pictures())


@contextmanager
def ours(serving: Serving, engine: str, **variables: str) -> Iterator[str]:
    """The URL of ours, with this engine; ``variables`` are settings beside those of ``serving``."""
    settings = {
        "HEROSERVE_MODEL": serving.model,
        "HEROSERVE_RELEVANCE_MODEL": serving.relevance,
        "HEROSERVE_ENGINE": engine,
        "HEROSERVE_VLLM_ARGS": shlex.join(serving.flags) if engine == "vllm" else "",
        "HEROSERVE_DTYPE": serving.dtype,
        "HEROSERVE_REPLICA_CPUS": str(serving.threads),
        "HEROSERVE_MAX_IMAGES": str(serving.images),
        "HEROSERVE_EXPORT_DIR": serving.folder,
        # A request may wait for all others.
        **dict.fromkeys(_PATIENCE, "3600"),
        **variables,
    }
    before = dict(os.environ)
    os.environ |= settings
    try:
        with running(ports := Ports.free()):
            yield f"http://localhost:{ports.llm_http}"
    finally:
        for name in settings:
            os.environ.pop(name)
        os.environ |= before


@contextmanager
def started(retentions: Sequence[float], serving: Serving) -> Iterator[list[str]]:
    """Names of sides, all of them on this machine: a stock vLLM, and ours with vLLM at each retention."""
    with raw(serving) as one, ours(serving, "vllm") as other:
        yield [f"{one}/v1", *(f"{other}/v1@{retention:g}" for retention in retentions)]
