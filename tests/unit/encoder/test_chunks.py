"""Visual tokens in pieces: whole rows, of one tile each, none of them large; together what they were."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest

import heroserve
from heroserve.v1.encoder_pb2 import EncodeChunk, EncodeRequest, Features, Tile, VisualTokens
from heroserve.v1.encoder_pb2_grpc import VisionEncoderServicer, VisionEncoderStub, add_VisionEncoderServicer_to_server
from services.encoder.chunks import CHUNK_BYTES, chunks

GRPC_DEFAULT = 4 << 20


def tokens(kept: list[int], row: int) -> VisualTokens:
    """Tiles that keep so many rows of ``row`` bytes each."""
    data = b"".join(index.to_bytes(4, "little") * (row // 4) for index in range(sum(kept)))
    return VisualTokens(
        image_digest="ab" * 32,
        tiles=[Tile(index=index, positions=range(count)) for index, count in enumerate(kept)],
        features=Features(dtype=Features.FLOAT32, rows=sum(kept), cols=row // 4, data=data),
    )


def joined(pieces: list[EncodeChunk]) -> VisualTokens:
    whole = VisualTokens()
    whole.CopyFrom(pieces[0].tokens)
    whole.features.data = b"".join(piece.data for piece in pieces[1:])
    return whole


@pytest.mark.parametrize(
    ("kept", "row", "sizes"),
    [
        ([3, 2], 8, [(0, 24), (1, 16)]),
        # A tile that keeps nothing has no message.
        ([3, 0, 2], 8, [(0, 24), (2, 16)]),
        # 341 rows of 3072 bytes fit into a MiB.
        ([341, 342, 700], 3072, [(0, 341), (1, 341), (1, 1), (2, 341), (2, 341), (2, 18)]),
        # One that is wider than that goes alone.
        ([2], CHUNK_BYTES + 4, [(0, 1), (0, 1)]),
    ],
)
def test_tile_after_tile(kept: list[int], row: int, sizes: list[tuple[int, int]]):
    wanted = tokens(kept, row)
    pieces = list(chunks(tokens(kept, row)))
    if row > 8:
        sizes = [(tile, count * row) for tile, count in sizes]
    assert [(piece.tile, len(piece.data)) for piece in pieces[1:]] == sizes
    assert joined(pieces) == wanted
    assert [piece.HasField("tokens") for piece in pieces] == [True] + [False] * len(sizes)
    assert max(piece.ByteSize() for piece in pieces) < GRPC_DEFAULT


@pytest.mark.parametrize("empty", [VisualTokens(), tokens([0, 0], 8)], ids=["a plan", "nothing kept"])
def test_without_rows_one_message(empty: VisualTokens):
    (piece,) = chunks(empty)
    assert piece.HasField("tokens")


def test_the_largest_head_is_no_large_message():
    """Of 13 tiles of 1024 tokens, all kept, with everything that can be told of them."""
    every = VisualTokens(
        tiles=[Tile(index=index, positions=range(1024), base=range(1024)) for index in range(13)],
        features=Features(rows=13 * 1024, cols=4),
    )
    (piece,) = chunks(every)
    assert piece.ByteSize() < GRPC_DEFAULT / 50


class Large(VisionEncoderServicer):
    """Answers with 6 MB of rows, all tokens of a LLaVA-NeXT in bfloat16."""

    def Encode(self, request, context):
        return tokens([576] * 5, 2048)

    def EncodeStream(self, request, context):
        yield from chunks(tokens([576] * 5, 2048))


@pytest.fixture
def target() -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])
    add_VisionEncoderServicer_to_server(Large(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_who_is_told_nothing_of_sizes_gets_all_of_it_in_pieces(target: str):
    with grpc.insecure_channel(target) as channel:
        stub = VisionEncoderStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Encode(EncodeRequest())
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "message larger than max" in refused.value.details()
        assert joined(list(stub.EncodeStream(EncodeRequest()))) == tokens([576] * 5, 2048)
    with heroserve.Client(encoder_target=target) as client:
        whole = client.encode(b"image", "What?")
        assert whole == client.encode_stream(b"image", "What?").read()
        assert len(whole.features.data) > GRPC_DEFAULT
