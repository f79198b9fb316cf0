"""The whole service on vLLM, by both doors of a real Ray; and what becomes of an engine that is killed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.common import node

node.set_environment()

import ray  # noqa: E402
from ray import serve  # noqa: E402

import heroserve  # noqa: E402
from scripts.redis_server import free_port  # noqa: E402
from services.common.settings import BUNDLED_MODEL  # noqa: E402
from services.encoder.app import build as build_encoder  # noqa: E402
from services.llm.app import build as build_llm  # noqa: E402
from tests.support.llm_parts import InProcessEncoder, collect, job  # noqa: E402
from tests.support.pictures import encoded, picture  # noqa: E402
from tests.support.vllm_parts import ARGS  # noqa: E402
from tests.support.waiting import until  # noqa: E402

QUESTION = "What is at the left?"
SCHEMA = {
    "type": "object",
    "properties": {"color": {"enum": ["red", "blue"]}},
    "required": ["color"],
    "additionalProperties": False,
}


class Stack:
    """Both services on a Ray of this session's, with vLLM in one of them."""

    def __init__(self, exports: Path, folder: Path, model: str = BUNDLED_MODEL) -> None:
        self.ports = {name: free_port() for name in ("grpc", "http", "encoder", "llm")}
        common = {"HEROSERVE_MODEL": model, "HEROSERVE_REPLICA_CPUS": "1", "HEROSERVE_DTYPE": "float32"}
        ray.init(address="local", num_cpus=8, include_dashboard=False, object_store_memory=100 << 20)
        serve.start(
            http_options={"host": "127.0.0.1", "port": self.ports["http"]},
            grpc_options={
                "port": self.ports["grpc"],
                "grpc_servicer_functions": list(node.SERVICERS.values()),
                "request_timeout_s": 120,
            },
        )
        encoder = {
            "HEROSERVE_METRICS_PORT": str(self.ports["encoder"]),
            "HEROSERVE_METRICS_DIR": str(folder / "encoder"),
        }
        llm = {
            "HEROSERVE_METRICS_PORT": str(self.ports["llm"]),
            "HEROSERVE_METRICS_DIR": str(folder / "llm"),
            "HEROSERVE_ENCODER_TARGET": f"localhost:{self.ports['grpc']}",
            "HEROSERVE_ENGINE": "vllm",
            "HEROSERVE_EXPORT_DIR": str(exports),
            "HEROSERVE_VLLM_ARGS": ARGS,
        }
        serve.run(build_encoder({**common, **encoder}), name="encoder", route_prefix="/encoder")
        serve.run(build_llm({**common, **llm}), name="llm", route_prefix="/llm")

    def close(self) -> None:
        serve.shutdown()
        ray.shutdown()

    def client(self) -> heroserve.Client:
        return heroserve.Client(f"localhost:{self.ports['grpc']}", timeout_s=120)

    def sample(self, name: str, **labels: str) -> float:
        with urllib.request.urlopen(f"http://localhost:{self.ports['llm']}/metrics", timeout=10) as page:
            families = text_string_to_metric_families(page.read().decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def engines() -> list[psutil.Process]:
    """vLLM's processes below this one, but for those of stock servers', which other tests' are."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            name = (process.cmdline() or [""])[0]
            stock = any("vllm.entrypoints" in word for above in process.parents() for word in above.cmdline())
            if name.startswith("VLLM::") and not stock:
                found.append(process)
    return found


@pytest.fixture(scope="module")
def stack(exports: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(exports, tmp_path_factory.mktemp("services"))
    yield stack
    stack.close()
    # Nothing of vLLM is left behind, though its replica was killed.
    assert until(lambda: not engines(), 60)


def test_the_embedded_engines_answers_for_many_at_once_over_both_doors(stack: Stack):
    images = [encoded(picture(200 + 30 * i, 150 + 20 * (i % 3), seed=i)) for i in range(8)]
    expected = asyncio.run(_embedded(images))
    with stack.client() as client, ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(client.ask, image, QUESTION, max_tokens=12) for image in images]
        again = [pool.submit(client.ask, image, QUESTION, max_tokens=12) for image in images]
        answers = [each.result() for each in asked]
        assert [answer.text for answer in answers] == [each.result().text for each in again]
        described = client.describe()
    # A near tie may fall either way.
    assert sum(answer.text == text for answer, text in zip(answers, expected, strict=True)) >= 7
    assert described.engine == "vllm"
    api = openai.OpenAI(base_url=f"http://127.0.0.1:{stack.ports['http']}/v1", api_key="none", max_retries=0)
    with api:
        url = "data:image/png;base64," + base64.b64encode(images[0]).decode()
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]
        asked = {"model": "", "messages": [{"role": "user", "content": content}], "max_tokens": 12}
        assert api.chat.completions.create(**asked).choices[0].message.content == answers[0].text
        # Of more tokens than a block has.
        whole = {"extra_body": {"heroserve": {"retention": 1.0}}}
        first, second = (api.chat.completions.create(**asked, **whole) for _ in range(2))
        assert first.usage.prompt_tokens_details.cached_tokens == 0
        assert second.usage.prompt_tokens_details.cached_tokens >= 128
        held = api.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": content}],
            max_tokens=60,
            response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
        )
        assert json.loads(held.choices[0].message.content)["color"] in ("red", "blue")
        assert held.choices[0].finish_reason == "stop"


async def _embedded(images: list[bytes]) -> list[str]:
    """What the same heart answers over the embedded engine."""
    from services.llm import parts
    from services.llm.engines.registry import open_engine
    from services.llm.settings import LlmSettings

    settings = LlmSettings(model=BUNDLED_MODEL)
    source = parts.model(settings)
    encoder = InProcessEncoder(BUNDLED_MODEL, relevance_model="")
    splicer, prompts = parts.open_splicer(settings, source), parts.open_prompts(settings, source)
    chat = parts.open_chat(settings, encoder, prompts, splicer, open_engine(settings, source), source)
    answers = []
    for image in images:
        *deltas, _ = await collect(chat.generate(job(QUESTION, image, max_tokens=12)))
        answers.append("".join(delta.text for delta in deltas))
    return answers


def test_its_counts_are_scraped(stack: Stack):
    with stack.client() as client:
        image = encoded(picture(260, 190, seed=40))
        client.ask(image, QUESTION, max_tokens=3, retention=1.0)
        hits = stack.sample("heroserve_engine_prefix_tokens_total", outcome="hit")
        answer = client.ask(image, QUESTION, max_tokens=3, retention=1.0)
    assert answer.usage.prompt_cached_tokens > 0
    assert stack.sample("heroserve_engine_prefix_tokens_total", outcome="hit") > hits
    assert stack.sample("heroserve_engine_running") == 0
    with urllib.request.urlopen(f"http://localhost:{stack.ports['llm']}/metrics", timeout=10) as page:
        # Its own are there beside ours.
        assert b"vllm:num_requests_running" in page.read()


def test_an_engine_that_is_killed_is_told_of_and_replaced(stack: Stack):
    (victim, *_) = [process for process in engines() if process.cmdline()[0] == "VLLM::EngineCore"]
    workers = [process for process in engines() if process.pid != victim.pid]
    image = encoded(picture(240, 180, seed=50))
    url = "data:image/png;base64," + base64.b64encode(image).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]
    api = openai.OpenAI(base_url=f"http://127.0.0.1:{stack.ports['http']}/v1", api_key="none", max_retries=0)
    with api, stack.client() as client:
        expected = client.ask(image, QUESTION, max_tokens=6).text
        stream = api.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": content}],
            max_tokens=3000,
            # Words all along: behind its end the model would say nothing that is text.
            temperature=2.0,
            seed=1,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        next(iter(stream))
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(openai.APIError, match="the engine has died"):
            for _ in stream:
                pass

        def answers() -> bool:
            try:
                return client.ask(image, QUESTION, max_tokens=6).text == expected
            except heroserve.HeroserveError:
                return False

        assert until(answers, 180)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in workers)


ALONE = """
import asyncio, os, signal, sys
from services.llm import parts
from services.llm.engines.registry import open_engine
from services.llm.settings import LlmSettings

async def main():
    settings = LlmSettings(engine="vllm", export_dir=sys.argv[1])
    engine = open_engine(settings, parts.model(settings))
    print("up", flush=True)
    await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_killed_process_takes_its_engine_along(exports: Path, tmp_path: Path):
    script = tmp_path / "alone.py"
    script.write_text(ALONE)
    alone = subprocess.Popen(
        [sys.executable, str(script), str(exports)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        assert alone.stdout.readline() == b"up\n"
        started = psutil.Process(alone.pid).children(recursive=True)
        assert any(process.cmdline()[0].startswith("VLLM::") for process in started)
    finally:
        alone.kill()
        alone.wait()
        alone.stdout.close()
    assert until(lambda: not psutil.wait_procs(started, timeout=0)[1], 60)
