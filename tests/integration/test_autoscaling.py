"""Encoder and LLM scale each on its own: load on one adds and retires its replicas, and the other's stay."""

from __future__ import annotations

import itertools
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from ray import serve
from ray.serve.config import AutoscalingConfig

import heroserve
from heroserve import ray_serve
from scripts.redis_server import free_port
from services.common import deployment
from services.encoder.app import build as build_encoder
from services.llm.app import build as build_llm
from services.llm.settings import LlmSettings
from tests.support.pictures import encoded, picture
from tests.support.services import Services
from tests.support.waiting import until

# The same for both services.
SCALING = {
    "HEROSERVE_MIN_REPLICAS": "1",
    "HEROSERVE_MAX_REPLICAS": "2",
    "HEROSERVE_MAX_ONGOING_REQUESTS": "6",
    "HEROSERVE_UPSCALE_DELAY_S": "1",
    "HEROSERVE_DOWNSCALE_DELAY_S": "3",
    "HEROSERVE_REPLICA_CPUS": "0.1",
    "HEROSERVE_DTYPE": "float32",
}
# Requests at once. Three a replica are aimed at: many ask for another, and one is enough for few.
MANY, FEW = 8, 2
PATIENCE_S = 120.0

Counts = dict[str, int]
Ask = Callable[[heroserve.Client, int], object]


class Replicas:
    """How many replicas of which state each deployment of both services was seen to have, one after the other."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.seen: dict[str, list[Counts]] = {}
        self._lines: list[str] = []

    def look(self) -> None:
        applications = serve.status().applications
        for application in ("scaled-encoder", "scaled-llm"):
            for name, each in applications[application].deployments.items():
                counts = {str(getattr(state, "value", state)): count for state, count in each.replica_states.items()}
                seen = self.seen.setdefault(name, [])
                if not seen or seen[-1] != counts:
                    seen.append(counts)
                    self._lines.append(f"{time.monotonic() - self._started:6.1f} s  {name} {counts}")

    def wait(self, replicas: int, *names: str) -> None:
        """Until each of the deployments has so many, all of them running."""

        def there() -> bool:
            self.look()
            return all(self.seen[name][-1] == {"RUNNING": replicas} for name in names)

        assert until(there, PATIENCE_S, pause_s=0.2), f"not {replicas} of {names} after {PATIENCE_S:g} s:\n{self}"

    def running(self, name: str) -> list[int]:
        """How many ran, without repeats."""
        return [count for count, _ in itertools.groupby(counts.get("RUNNING", 0) for counts in self.seen[name])]

    def __str__(self) -> str:
        return "\n".join(self._lines)


class Load:
    """Requests that follow one another without a pause, ``width`` at once, for as long as it is more than 0."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self.width = MANY
        self.answered = 0
        self.errors: list[str] = []

    def run(self, client: heroserve.Client, worker: int) -> None:
        while worker < self.width:
            try:
                self._ask(client, next(self._numbers))
            except heroserve.HeroserveError as error:
                with self._lock:
                    self.errors.append(repr(error))
            else:
                with self._lock:
                    self.answered += 1


@contextmanager
def load(services: Services, ask: Ask) -> Iterator[Load]:
    """Many requests at once from here on; none at the end."""
    load = Load(ask)
    # Slow is not wrong here, but a lost request is, even if another try would be answered.
    once = heroserve.RetryPolicy(attempts=1)
    client = heroserve.Client(services.grpc, encoder_target=services.grpc, timeout_s=PATIENCE_S, retry=once)
    with client, ThreadPoolExecutor(MANY) as pool:
        workers = [pool.submit(load.run, client, worker) for worker in range(MANY)]
        try:
            yield load
        finally:
            load.width = 0
        for worker in workers:
            worker.result()


@pytest.fixture(scope="module")
def scaled(services: Services, untrained: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Both services once more in the session's Ray, with one replica of each deployment, or two."""

    def arguments(service: str) -> dict[str, str]:
        folder = str(tmp_path_factory.mktemp(f"scaled-{service}"))
        port = str(free_port())
        return {
            **SCALING,
            "HEROSERVE_MODEL": untrained,
            "HEROSERVE_METRICS_PORT": port,
            "HEROSERVE_METRICS_DIR": folder,
        }

    encoder = build_encoder(
        {
            **arguments("encoder"),
            "HEROSERVE_CACHE_URL": services.redis.url,
            # The small tower is done at once: it has to be waiting for company that requests are with it.
            "HEROSERVE_BATCH_WAIT_S": "1",
            # Of three pictures of `encode`.
            "HEROSERVE_TARGET_TILES": "9",
        }
    )
    # One answer at a time, so that the others wait and cost no processor what the new replica starts with.
    llm = build_llm({**arguments("llm"), "HEROSERVE_ENGINE_THREADS": "1", "HEROSERVE_ENCODER_TARGET": services.grpc})
    with pytest.MonkeyPatch.context() as patch:
        # The SDK asks for the session's two by their names.
        for service, application in ray_serve.APPLICATIONS.items():
            patch.setitem(ray_serve.APPLICATIONS, service, f"scaled-{application}")
        try:
            serve.run(encoder, name="scaled-encoder", route_prefix="/scaled-encoder")
            serve.run(llm, name="scaled-llm", route_prefix="/scaled-llm")
            yield
        finally:
            serve.delete("scaled-encoder")
            serve.delete("scaled-llm")


def encode(client: heroserve.Client, number: int) -> object:
    """An image never seen before, so that ingress and tower both work."""
    return client.encode(encoded(picture(150, 100, seed=number)), "What is it?")


def generate(client: heroserve.Client, number: int) -> object:
    """An answer, drawn hot so that it does not stop early, without an image: no encoder is asked."""
    return client.ask(None, "Go on", max_tokens=100, temperature=2.0, seed=number)


# Two waits, after the session's services and these have started.
@pytest.mark.timeout(2 * PATIENCE_S + 240)
@pytest.mark.parametrize(
    ("ask", "scaling", "staying"),
    [
        pytest.param(encode, ("Encoder", "VisionTower"), ("Chat",), id="encode"),
        pytest.param(generate, ("Chat",), ("Encoder", "VisionTower"), id="generate"),
    ],
)
def test_a_service_scales_alone(
    scaled: None, services: Services, ask: Ask, scaling: tuple[str, ...], staying: tuple[str, ...]
):
    replicas = Replicas()
    replicas.wait(1, *scaling, *staying)
    with load(services, ask) as sent:
        replicas.wait(2, *scaling)
        # One for each, so that there is a request to lose when a replica is retired.
        sent.width = FEW
        answered = sent.answered
        replicas.wait(1, *scaling)
        assert sent.answered > answered
    replicas.look()
    assert sent.errors == [], f"{sent.errors}\n{replicas}"
    for name in scaling:
        assert replicas.running(name) == [1, 2, 1], f"{name}:\n{replicas}"
    for name in staying:
        # Not even one that started and was given up.
        assert replicas.seen[name] == [{"RUNNING": 1}], f"{name}:\n{replicas}"


@pytest.mark.parametrize("up", [0.0, 0.5, 5.0, 30.0, 86400.0])
@pytest.mark.parametrize("down", [0.0, 2.0, 600.0, 86400.0])
def test_any_delays_are_good_for_ray(up: float, down: float):
    settings = LlmSettings(upscale_delay_s=up, downscale_delay_s=down)
    with warnings.catch_warnings():
        # Ray says so, and no more than that, if its look-back period is too short for its interval.
        warnings.simplefilter("error", FutureWarning)
        config = deployment.deploy(object, "Any", settings)._deployment_config.autoscaling_config
    assert (config.upscale_delay_s, config.downscale_delay_s) == (up, down)
    # It must not look back further than the delays.
    assert config.look_back_period_s <= max(3, min(up, down))


def test_what_is_not_set_is_as_in_ray():
    config = deployment.deploy(object, "Any", LlmSettings())._deployment_config.autoscaling_config
    for name in ("upscale_delay_s", "downscale_delay_s", "look_back_period_s", "metrics_interval_s"):
        assert getattr(config, name) == AutoscalingConfig.model_fields[name].default
