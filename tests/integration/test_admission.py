"""Who is let in: API keys, and no more requests than fit. One LLM application of its own, narrow and locked."""

from __future__ import annotations

import hashlib
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from ray import serve

from heroserve.v1.chat_pb2 import DescribeChatRequest, GenerateRequest, Message, Part, Sampling
from heroserve.v1.chat_pb2_grpc import VisionChatStub
from heroserve.v1.tokens_pb2 import Image
from scripts.redis_server import free_port
from services.llm.app import build
from tests.support.pictures import encoded, picture
from tests.support.services import Services
from tests.support.waiting import until

KEY = "narrow-key"
APPLICATION = ("application", "narrow")


@pytest.fixture(scope="module")
def narrow_metrics() -> int:
    return free_port()


@pytest.fixture(scope="module")
def narrow(
    services: Services, untrained: str, narrow_metrics: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VisionChatStub]:
    folder = str(tmp_path_factory.mktemp("narrow"))
    application = build(
        {
            "HEROSERVE_MODEL": untrained,
            "HEROSERVE_API_KEYS": f"other,{KEY}",
            "HEROSERVE_MAX_ONGOING_REQUESTS": "1",
            "HEROSERVE_MAX_QUEUED_REQUESTS": "1",
            "HEROSERVE_REPLICA_CPUS": "0.1",
            "HEROSERVE_ENCODER_TARGET": services.grpc,
            "HEROSERVE_METRICS_PORT": str(narrow_metrics),
            "HEROSERVE_METRICS_DIR": folder,
        }
    )
    serve.run(application, name="narrow", route_prefix="/narrow")
    with grpc.insecure_channel(services.grpc) as channel:
        yield VisionChatStub(channel)
    serve.delete("narrow")


def long_request() -> GenerateRequest:
    message = Message(role=Message.USER, parts=[Part(text="Go on")])
    return GenerateRequest(messages=[message], sampling=Sampling(max_tokens=2000, temperature=2.0, seed=3))


@pytest.mark.parametrize("sent", [None, "Bearer wrong", KEY, f"Basic {KEY}", "Bearer "])
def test_without_a_valid_key(narrow: VisionChatStub, sent: str | None):
    metadata = [APPLICATION] + ([("authorization", sent)] if sent else [])
    for call in (
        lambda: narrow.Describe(DescribeChatRequest(), metadata=metadata, timeout=20),
        lambda: list(narrow.Generate(long_request(), metadata=metadata, timeout=20)),
    ):
        with pytest.raises(grpc.RpcError) as refusal:
            call()
        assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "authorization" in refusal.value.details()
        assert KEY not in refusal.value.details()


def test_with_a_key(narrow: VisionChatStub):
    metadata = [APPLICATION, ("authorization", f"Bearer {KEY}")]
    assert narrow.Describe(DescribeChatRequest(), metadata=metadata, timeout=20).engine == "transformers"


def test_another_key_finds_nothing_of_a_picture_by_its_digest(narrow: VisionChatStub):
    data = encoded(picture(310, 190, seed=77))
    digest = Image(digest=hashlib.sha256(data).hexdigest())

    def ask(key: str, image: Image) -> grpc.StatusCode:
        message = Message(role=Message.USER, parts=[Part(image=image), Part(text="Which one?")])
        request = GenerateRequest(messages=[message], sampling=Sampling(max_tokens=2))
        try:
            list(narrow.Generate(request, metadata=[APPLICATION, ("authorization", f"Bearer {key}")], timeout=60))
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    assert ask(KEY, Image(data=data)) is grpc.StatusCode.OK
    assert ask("other", digest) is grpc.StatusCode.NOT_FOUND
    assert ask(KEY, digest) is grpc.StatusCode.OK
    # Who has the picture may ask about it, and from then on by its digest too.
    assert ask("other", Image(data=data)) is grpc.StatusCode.OK
    assert ask("other", digest) is grpc.StatusCode.OK


def test_too_many_requests_are_refused_and_the_rest_served(narrow: VisionChatStub):
    metadata = [APPLICATION, ("authorization", f"Bearer {KEY}")]
    go = threading.Event()

    def ask(_: int) -> grpc.StatusCode:
        go.wait()
        try:
            list(narrow.Generate(long_request(), metadata=metadata, timeout=110))
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    with ThreadPoolExecutor(8) as pool:
        outcomes = [pool.submit(ask, i) for i in range(8)]
        time.sleep(0.2)
        go.set()
        codes = [outcome.result() for outcome in outcomes]
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert codes.count(grpc.StatusCode.OK) >= 2


def test_an_overload_is_counted_for_what_it_is(narrow: VisionChatStub, narrow_metrics: int):
    metadata = [APPLICATION, ("authorization", f"Bearer {KEY}")]

    def counted() -> Counter[str]:
        with urllib.request.urlopen(f"http://localhost:{narrow_metrics}/metrics", timeout=10) as page:
            families = text_string_to_metric_families(page.read().decode())
        return Counter(
            {
                sample.labels["code"]: int(sample.value)
                for family in families
                for sample in family.samples
                if sample.name == "heroserve_chat_requests_total"
            }
        )

    def ask(timeout: float) -> str:
        try:
            list(narrow.Generate(long_request(), metadata=metadata, timeout=timeout))
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    def told_with_the_next() -> None:
        narrow.Generate(GenerateRequest(), metadata=metadata, timeout=20).code()

    # Of the test before.
    told_with_the_next()
    time.sleep(1.0)
    before = counted()
    with ThreadPoolExecutor(40) as pool:
        # Too short for such an answer: what is begun is not ended in time, and no caller has broken off. Long enough
        # for a busy machine to get to all of them while somebody waits.
        told = Counter(pool.map(ask, [2.0] * 40))
    assert set(told) == {"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
    told_with_the_next()
    told["INVALID_ARGUMENT"] += 1

    def all_counted() -> bool:
        return counted() - before == told

    assert until(all_counted, 30), (counted() - before, told)
