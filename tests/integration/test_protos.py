"""The protos and their comments suffice: who has nothing else gets answers, rows, and refusals that can be told."""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Iterator

import grpc
import numpy as np
import pytest

from scripts.protos import descriptors
from tests.support.alone import Alone
from tests.support.pictures import encoded, picture
from tests.support.services import Services

CHAT, ENCODER = (("application", "llm"),), (("application", "encoder"),)


@pytest.fixture(scope="module")
def alone(services: Services) -> Iterator[Alone]:
    with grpc.insecure_channel(services.grpc) as channel:
        yield Alone(descriptors(), channel)


@pytest.fixture(scope="module")
def image() -> bytes:
    """One that nobody has sent."""
    return encoded(picture(300, 200, seed=uuid.uuid4().int % 2**31))


def test_digest_then_data_then_an_answer(alone: Alone, image: bytes) -> None:
    digest = hashlib.sha256(image).hexdigest()

    def ask(picture: object) -> object:
        parts = [alone.make("Part", image=picture), alone.make("Part", text="What is the total?")]
        message = alone.make("Message", role="USER", parts=parts)
        sampling = alone.make("Sampling", max_tokens=3)
        request = alone.make("GenerateRequest", messages=[message], sampling=sampling)
        return alone.call("VisionChat", "Generate", request, metadata=(*CHAT, ("request_id", "alone-1")))

    with pytest.raises(grpc.RpcError) as absent:
        list(ask(alone.make("Image", digest=digest)))
    assert absent.value.code() is grpc.StatusCode.NOT_FOUND
    assert absent.value.details().startswith("messages[0].parts[0].image.digest: ")
    answers = []
    for source in ({"data": image}, {"digest": digest}):
        call = ask(alone.make("Image", **source))
        assert ("request_id", "alone-1") in call.initial_metadata()
        *pieces, last = call
        assert all(piece.delta and not piece.finish_reason for piece in pieces)
        assert last.finish_reason in (1, 2)
        assert 1 <= last.usage.completion_tokens <= 3
        assert 0 < last.savings.kept < last.savings.total
        answers.append("".join(piece.delta for piece in pieces))
    assert answers[0] == answers[1]


def test_rows_in_every_dtype_that_is_offered_in_one_message_and_in_many(alone: Alone, image: bytes) -> None:
    told = alone.call("VisionEncoder", "Describe", alone.make("DescribeEncoderRequest"), metadata=ENCODER)
    assert list(told.row_dtypes) == [1, 3, 4]
    assert told.dtype == 1

    def request(rows: int) -> object:
        budget = alone.make("Budget", retention=0.5)
        source = alone.make("Image", data=image)
        return alone.make("EncodeRequest", image=source, question="What?", budget=budget, rows=rows)

    exact = alone.call("VisionEncoder", "Encode", request(0), metadata=ENCODER)
    shape = exact.features.rows, exact.features.cols
    assert shape == (sum(len(tile.positions) for tile in exact.tiles), told.feature_width)
    values = np.array(struct.unpack(f"<{shape[0] * shape[1]}f", exact.features.data)).reshape(shape)
    for rows in told.row_dtypes:
        whole = alone.call("VisionEncoder", "Encode", request(rows), metadata=ENCODER)
        assert (whole.features.dtype, whole.tiles, whole.encoder_id) == (rows, exact.tiles, exact.encoder_id)
        first, *pieces = alone.call("VisionEncoder", "EncodeStream", request(rows), metadata=ENCODER)
        assert first.tokens.tiles == exact.tiles
        assert b"".join(piece.data for piece in pieces) == whole.features.data
        assert [piece.tile for piece in pieces] == [tile.index for tile in exact.tiles if tile.positions]
        largest = np.abs(values).max(axis=1, keepdims=True)
        data = whole.features.data
        if rows == 1:
            assert data == exact.features.data
        elif rows == 3:
            upper = np.frombuffer(data, "<u2").astype("<u4") << 16
            assert np.allclose(upper.view("<f4").reshape(shape), values, rtol=2**-8, atol=0)
        else:
            read = [struct.unpack_from(f"<f{shape[1]}b", data, at) for at in range(0, len(data), shape[1] + 4)]
            found = np.array([[scale * value for value in row] for scale, *row in read])
            assert (np.abs(found - values) <= largest / 127 * 0.501).all()


@pytest.mark.parametrize("method", ["Encode", "EncodeStream"])
def test_a_refusal_names_its_field(alone: Alone, image: bytes, method: str) -> None:
    source = alone.make("Image", data=image)
    request = alone.make("EncodeRequest", image=source, question="What?", rows=2)
    with pytest.raises(grpc.RpcError) as refused:
        _encode(alone, method, request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == "rows: is FLOAT16; it must be FLOAT32, BFLOAT16 or INT8, or left out"


def _encode(alone: Alone, method: str, request: object) -> list[object]:
    answer = alone.call("VisionEncoder", method, request, metadata=ENCODER)
    return list(answer) if method == "EncodeStream" else [answer]
