"""Visual tokens tile by tile, and what must not pass for all of them."""

from __future__ import annotations

import grpc
import pytest

import heroserve
from heroserve.v1.encoder_pb2 import EncodeChunk, Features, VisualTokens


def test_pieces_are_what_encode_answers(client, peer):
    whole = client.encode(b"image", "What?", rows="int8", retention=0.5)
    stream = client.encode_stream(b"image", "What?", rows="int8", retention=0.5)
    first, *rows = stream
    assert (first.tokens.tiles, first.tokens.features.data) == (whole.tiles, b"")
    assert [(chunk.tile, len(chunk.data)) for chunk in rows] == [(0, 400), (1, 480), (2, 160)]
    assert client.encode_stream(b"image", "What?").read() == whole
    one, other = (seen.request for seen in peer.seen[:2])
    assert one.rows == other.rows == Features.INT8
    # The second time it goes by its digest, whichever method was first.
    assert (one.image.WhichOneof("source"), other.image.WhichOneof("source")) == ("data", "digest")
    assert {seen.metadata["application"] for seen in peer.seen} == {"encoder"}
    assert stream.request_id == peer.seen[1].metadata["request_id"]


def test_a_read_goes_on_where_iteration_stopped(client):
    stream = client.encode_stream(b"image", "What?")
    for _ in stream:
        break
    assert stream.read() == client.encode(b"image", "What?")


def test_an_image_that_went_by_the_cache_is_sent_whole_again(client, peer):
    def bypass(request, context):
        yield EncodeChunk(tokens=VisualTokens(cache=VisualTokens.BYPASS, features=Features(dtype=Features.INT8)))

    peer.script.append(bypass)
    for _ in range(2):
        client.encode_stream(b"image", "What?").read()
    assert [seen.image_bytes for seen in peer.seen] == [5, 5]


def test_a_digest_that_is_not_cached_is_followed_by_the_image(client, peer):
    client.encode(b"image", "What?")
    peer.stored.clear()
    assert client.encode_stream(b"image", "What?").read().features.rows == 260
    assert [seen.image_bytes for seen in peer.seen] == [5, 0, 5]


HEAD = EncodeChunk(tokens=VisualTokens(features=Features(dtype=Features.BFLOAT16, rows=2, cols=3)))


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [EncodeChunk(data=b"x")],
        [HEAD],
        [HEAD, EncodeChunk(data=bytes(11))],
        [HEAD, EncodeChunk(data=bytes(13))],
        [EncodeChunk(tokens=VisualTokens(features=Features(dtype=99, rows=2, cols=3)))],
    ],
    ids=["nothing", "rows first", "no rows", "short", "long", "a dtype of a later version"],
)
@pytest.mark.parametrize("read", [lambda stream: stream.read(), list], ids=["read", "iterated"])
def test_half_an_answer_is_none(client, peer, pieces, read):
    peer.script.append(lambda request, context: iter(pieces))
    with pytest.raises(heroserve.Internal):
        read(client.encode_stream(b"image", "What?"))


def test_rows_that_come_whole_are_an_answer(client, peer):
    peer.script.append(lambda request, context: iter([HEAD, EncodeChunk(data=bytes(6)), EncodeChunk(data=bytes(6))]))
    assert client.encode_stream(b"image", "What?").read().features.data == bytes(12)


def test_an_older_encoder_says_that_it_cannot(client, peer):
    peer.script.append(grpc.StatusCode.UNIMPLEMENTED)
    with pytest.raises(heroserve.Unimplemented):
        client.encode_stream(b"image", "What?").read()
    assert len(peer.seen) == 1


@pytest.mark.parametrize("rows", ["int4", "INT8", "", b"int8", 4, True])
def test_what_is_no_dtype_is_refused_before_anything_is_sent(client, peer, rows):
    with pytest.raises(heroserve.ArgumentError, match=r"^rows: expected one of float32, float16, bfloat16, int8, got "):
        client.encode(b"image", "What?", rows=rows)
    assert not peer.seen
