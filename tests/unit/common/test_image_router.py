"""Which replica an image's requests go to."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID, RequestMetadata
from ray.serve._private.config import DeploymentConfig
from ray.serve._private.request_router.common import PendingRequest
from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

from heroserve.v1.chat_pb2 import GenerateRequest
from heroserve.v1.encoder_pb2 import DescribeEncoderRequest, EncodeRequest
from heroserve.v1.tokens_pb2 import Image
from services.common import deployment, image_router
from services.common.image_router import ImageRouter, in_turn
from services.common.ingress.session import session_of
from services.common.settings import Settings

DEPLOYMENT = DeploymentID("Encoder", "encoder")


def replica(name: str, queue: int = 0) -> Any:
    """What Serve knows of one that runs."""

    async def queue_len(deadline_s: float) -> int:
        return queue

    return SimpleNamespace(
        replica_id=ReplicaID(name, DEPLOYMENT), max_ongoing_requests=300, get_queue_len=queue_len, node_id="here"
    )


def router(*names: str) -> ImageRouter:
    # As Serve does.
    made = ImageRouter(
        deployment_id=DEPLOYMENT,
        handle_source=DeploymentHandleSource.REPLICA,
        self_node_id="here",
        self_actor_id="proxy",
        self_actor_handle=None,
        use_replica_queue_len_cache=True,
        create_replica_wrapper_func=lambda info: info,
        prefer_local_node_routing=True,
        prefer_local_az_routing=True,
        self_availability_zone=None,
        initial_backoff_s=0.01,
    )
    made.initialize_state()
    made.update_replicas([replica(name) for name in names])
    return made


def pending(session: str) -> PendingRequest:
    metadata = RequestMetadata(request_id="", internal_request_id=uuid.uuid4().hex, session_id=session)
    return PendingRequest(args=[], kwargs={}, metadata=metadata)


async def ranked(made: ImageRouter, session: str) -> list[str]:
    ranks = await made.choose_replicas(list(made.curr_replicas.values()), pending(session))
    return [each.replica_id.unique_id for (each,) in ranks]


IMAGES = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(300)]


async def test_an_image_has_one_replica_wherever_it_is_asked_about():
    one, other = router("a", "b", "c"), router("c", "a", "b")
    found = {image: await ranked(one, image) for image in IMAGES}
    assert found == {image: await ranked(other, image) for image in IMAGES}
    firsts = Counter(order[0] for order in found.values())
    assert min(firsts.values()) > 50, firsts
    # Serve asks the next where one is full: none is left out.
    assert all(sorted(order) == ["a", "b", "c"] for order in found.values())


async def test_of_replicas_that_come_and_go_only_their_own_images_move():
    before = {image: (await ranked(router("a", "b", "c"), image))[0] for image in IMAGES}
    without = {image: (await ranked(router("a", "b"), image))[0] for image in IMAGES}
    assert {image for image in IMAGES if before[image] != without[image]} == {
        image for image in IMAGES if before[image] == "c"
    }


async def test_an_image_that_everybody_asks_about_spreads_over_all():
    made = router("a", "b", "c")
    home, second, third = await ranked(made, IMAGES[0])
    got: Counter[str] = Counter()
    for _ in range(60):
        first, *_ = await ranked(made, IMAGES[0])
        got[first] += 1
        made.on_send_request(ReplicaID(first, DEPLOYMENT))
        made.on_new_queue_len_info(ReplicaID(first, DEPLOYMENT), got[first])
    # At home as long as it is a few, and then never more than a quarter above everybody's share.
    assert got[home] == 25
    assert got[second] >= got[third] > 0
    # They are done: it is at home again.
    for name in (home, second, third):
        made.on_new_queue_len_info(ReplicaID(name, DEPLOYMENT), 0)
    assert await ranked(made, IMAGES[0]) == [home, second, third]


@pytest.mark.parametrize(
    ("loads", "order"),
    [
        ({"a": 3, "b": 0, "c": 0}, "abc"),
        ({"a": 4, "b": 0, "c": 0}, "bca"),
        ({"a": 9, "b": 9, "c": 9}, "abc"),
        ({"a": 14, "b": 9, "c": 9}, "bca"),
        ({"a": 300, "b": 300, "c": 0}, "cab"),
    ],
)
def test_no_replica_gets_much_more_than_its_share(loads: dict[str, int], order: str):
    assert "".join(in_turn("abc", loads)) == order


async def test_a_replica_that_takes_nothing_up_comes_last_for_a_while(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(image_router, "time", SimpleNamespace(monotonic=lambda: now))
    made = router("a", "b")
    home, other = await ranked(made, IMAGES[0])
    made.on_send_request(ReplicaID(home, DEPLOYMENT))
    now += 0.5
    assert await ranked(made, IMAGES[0]) == [home, other]
    now += 1
    assert await ranked(made, IMAGES[0]) == [other, home]
    # It hung for a moment.
    made.on_new_queue_len_info(ReplicaID(home, DEPLOYMENT), 1)
    assert await ranked(made, IMAGES[0]) == [home, other]
    # One that says nothing for good is tried now and then.
    made.on_send_request(ReplicaID(home, DEPLOYMENT))
    now += 2
    assert (await ranked(made, IMAGES[0]))[0] == other
    now += 5
    assert (await ranked(made, IMAGES[0]))[0] == home


async def test_a_replica_that_died_is_passed_over():
    made = router("a", "b", "c")
    home, *others = await ranked(made, IMAGES[0])
    made.on_replica_actor_died(ReplicaID(home, DEPLOYMENT))
    assert await ranked(made, IMAGES[0]) == others


async def test_requests_find_their_replica_under_way():
    """Through all of Serve's router, many at once."""
    made = router("a", "b")
    asked = [made._choose_replica_for_request(pending(image)) for image in IMAGES[:40] for _ in range(2)]
    chosen = await asyncio.wait_for(asyncio.gather(*asked), 60)
    names = [each.replica_id.unique_id for each in chosen]
    assert names[::2] == names[1::2]
    assert set(names) == {"a", "b"}


def test_proxies_are_told_of_it_as_of_any_setting():
    """By value, in what Serve's controller sends around."""
    told = deployment.deploy(object, "Encoder", Settings(), router=image_router.PATH)._deployment_config
    found = DeploymentConfig.from_proto_bytes(told.to_proto_bytes()).request_router_config
    assert found.request_router_class == image_router.PATH
    assert issubclass(found.get_request_router_class(), ConsistentHashRouter)
    assert found.get_request_router_class().__name__ == "ImageRouter"


async def test_a_session_is_the_image_however_it_is_sent():
    small, large = b"a picture", bytes(1 << 20)
    for data in (small, large):
        digest = hashlib.sha256(data).hexdigest()
        assert await session_of(EncodeRequest(image=Image(data=data))) == digest
        assert await session_of(EncodeRequest(image=Image(digest=digest))) == digest
    # What is no digest is refused later, and none of it travels in a header.
    for other in ("", "x", "a" * 65, "a" * 1_000_000):
        assert await session_of(EncodeRequest(image=Image(digest=other))) == ""
    assert await session_of(EncodeRequest()) == ""
    assert await session_of(DescribeEncoderRequest()) == ""
    assert await session_of(GenerateRequest()) == ""
