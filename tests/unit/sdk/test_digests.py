"""Digest first: what the service has seen is not sent again."""

import hashlib

import grpc
import pytest

import heroserve
from heroserve.digests import SentImages
from heroserve.v1 import encoder_pb2

PHOTO = b"\x89PNG" + b"p" * 50_000
OTHER = b"\x89PNG" + b"o" * 20_000


def sent(peer):
    return [seen.image_bytes for seen in peer.seen]


@pytest.fixture(params=["ask", "encode"])
def see(request, client):
    """A call that needs an image, through either service."""
    return lambda image, **kwargs: getattr(client, request.param)(image, "What?", **kwargs)


def test_an_image_is_sent_once(see, peer):
    see(PHOTO)
    see(PHOTO)
    see(OTHER)
    assert sent(peer) == [len(PHOTO), 0, len(OTHER)]
    assert heroserve.image_digest(PHOTO) == hashlib.sha256(PHOTO).hexdigest()


def test_an_image_the_service_lost_is_sent_again_and_remembered(see, peer):
    see(PHOTO)
    peer.stored.clear()
    see(PHOTO)
    see(PHOTO)
    assert sent(peer) == [len(PHOTO), 0, len(PHOTO), 0]
    assert peer.seen[1].metadata["request_id"] == peer.seen[2].metadata["request_id"]


def test_the_fallback_costs_no_attempt_and_keeps_the_retries(connect, peer):
    client = connect(peer, retry=heroserve.RetryPolicy(attempts=1))
    client.ask(PHOTO, "What?")
    peer.stored.clear()
    client.ask(PHOTO, "What?")
    client = connect(peer, retry=heroserve.RetryPolicy(attempts=2, initial_backoff_s=0.01))
    client.ask(PHOTO, "What?")
    peer.script.extend([grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE])
    peer.seen.clear()
    client.ask(PHOTO, "What?")
    assert sent(peer) == [0, len(PHOTO), len(PHOTO)]


def test_not_found_falls_back_only_once_and_forgets(see, peer):
    see(PHOTO)
    peer.script.extend([grpc.StatusCode.NOT_FOUND] * 9)
    with pytest.raises(heroserve.NotFound):
        see(PHOTO)
    assert sent(peer) == [len(PHOTO), 0, len(PHOTO)]
    peer.script.clear()
    see(PHOTO)
    assert sent(peer)[3:] == [len(PHOTO)]


def test_a_failed_call_remembers_nothing(see, peer):
    peer.script.append(grpc.StatusCode.INVALID_ARGUMENT)
    with pytest.raises(heroserve.InvalidArgument):
        see(PHOTO)
    see(PHOTO)
    assert sent(peer) == [len(PHOTO)] * 2


def test_a_stream_falls_back_before_its_first_piece(client, peer):
    client.ask(PHOTO, "What?")
    peer.stored.clear()
    assert list(client.stream(PHOTO, "What?")) == peer.deltas
    assert sent(peer) == [len(PHOTO), 0, len(PHOTO)]


def test_each_service_is_remembered_by_itself(client, peer):
    client.ask(PHOTO, "What?")
    client.encode(PHOTO, "What?")
    assert sent(peer) == [len(PHOTO)] * 2


def test_only_the_new_image_of_a_conversation_travels(client, peer):
    client.ask(PHOTO, "What?")
    turns = [
        heroserve.user("This?", PHOTO),
        heroserve.assistant("A bus."),
        heroserve.user("And?", PHOTO, OTHER),
    ]
    answer = client.generate(heroserve.generate_request(turns)).read()
    assert answer.text == "A red [bold]bus"
    assert sent(peer) == [len(PHOTO), len(OTHER)]
    assert [len(message.parts) for message in peer.seen[-1].request.messages] == [2, 1, 3]


def test_a_digest_alone_has_nothing_to_fall_back_to(see, peer):
    image = heroserve.Image(digest=heroserve.image_digest(PHOTO))
    for _ in range(2):
        with pytest.raises(heroserve.NotFound):
            see(image)
    assert len(peer.seen) == 2
    see(PHOTO)
    see(image)
    assert sent(peer)[2:] == [len(PHOTO), 0]


def test_memory_is_bounded_and_the_least_recently_used_goes_first():
    images = SentImages(capacity=2)
    images.remember(["a", "b"])
    images.remember(["a"])
    images.remember(["c"])
    assert [digest in images for digest in "abc"] == [True, False, True]
    images.forget(["a", "unknown"])
    assert "a" not in images


def test_what_went_by_the_cache_is_sent_whole_again(client, peer):
    """While the cache is down a digest would only cost a round trip."""
    bypass = encoder_pb2.VisualTokens(cache=encoder_pb2.VisualTokens.BYPASS)
    peer.script.extend([lambda request, context: bypass] * 2)
    for _ in range(2):
        client.encode(b"image", "What?")
    assert [seen.image_bytes for seen in peer.seen] == [5, 5]
    client.encode(b"image", "What?")
    client.encode(b"image", "What?")
    assert [seen.image_bytes for seen in peer.seen[2:]] == [5, 0]
