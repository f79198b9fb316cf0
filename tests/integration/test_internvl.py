"""At R = 1 the services answer what Hugging Face's InternVL answers, token for token; and with fewer, from Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from PIL.Image import Image as PictureImage
from ray import serve

import heroserve
from heroserve.v1.chat_pb2 import Message, Part
from heroserve.v1.encoder_pb2 import VisualTokens
from heroserve.v1.tokens_pb2 import Image
from models.untrained_internvl import build
from scripts.redis_server import free_port
from services.encoder.app import build as build_encoder
from services.llm.app import build as build_llm
from tests.integration.test_parity import SIZES, rows
from tests.reference_internvl import InternVLReference, Turns
from tests.support.pictures import encoded, picture
from tests.support.relay import relay
from tests.support.services import Services

QUESTION = "What number is on the sign?"
NAMES = {"encoder": "internvl-encoder", "llm": "internvl-llm"}


class Served(NamedTuple):
    client: heroserve.Client
    reference: InternVLReference


# One whose queries and keys are normed, and one whose aren't.
@pytest.fixture(scope="module", params=["38b", "8b"])
def served(
    services: Services, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Served]:
    """Both services on an InternVL, beside the session's."""
    folder = tmp_path_factory.mktemp("internvl")
    build(folder, 0, request.param)
    with relay(services.grpc, NAMES) as target:
        for name, make, settings in (
            ("encoder", build_encoder, {"HEROSERVE_CACHE_URL": services.redis.url}),
            ("llm", build_llm, {"HEROSERVE_ENCODER_TARGET": target, "HEROSERVE_MAX_IMAGES": "4"}),
        ):
            settings |= {
                "HEROSERVE_MODEL": str(folder),
                "HEROSERVE_DTYPE": "float32",
                "HEROSERVE_REPLICA_CPUS": "0.1",
                "HEROSERVE_METRICS_PORT": str(free_port()),
                "HEROSERVE_METRICS_DIR": str(tmp_path_factory.mktemp(name)),
            }
            serve.run(make(settings), name=NAMES[name], route_prefix=f"/{NAMES[name]}")
        with heroserve.Client(target, encoder_target=target, timeout_s=60) as client:
            yield Served(client, InternVLReference(folder))
        for name in NAMES.values():
            serve.delete(name)


def _message(role: str, parts: list[str | PictureImage]) -> Message:
    said = [Part(text=part) if isinstance(part, str) else Part(image=Image(data=encoded(part))) for part in parts]
    return Message(role=Message.Role.Value(role.upper()), parts=said)


def test_greedy_answers_equal_hugging_face(served: Served) -> None:
    for size in SIZES:
        image = picture(*size)
        turns: Turns = [("user", [image, QUESTION])]
        expected, tokens = served.reference.answer(turns, 8)
        answer = served.client.ask(encoded(image), QUESTION, retention=1.0, max_tokens=8)
        assert (size, answer.text) == (size, expected)
        usage = answer.usage
        assert (usage.completion_tokens, answer.savings.dropped, usage.prompt_newline_tokens) == (tokens, 0, 0)
        prompt = served.reference.inputs(turns).input_ids.shape[1]
        assert usage.prompt_text_tokens + usage.prompt_visual_tokens == prompt


def test_images_and_turns_equal_hugging_face(served: Served) -> None:
    first, second, third = picture(640, 480), picture(50, 40), picture(97, 401)
    turns: Turns = [
        ("user", ["a sign", first, "and a page", second, QUESTION]),
        ("assistant", ["seven"]),
        ("user", [third, "Is it red?"]),
    ]
    messages = [_message(role, parts) for role, parts in turns]
    for length in (1, 3):
        expected, _ = served.reference.answer(turns[:length], 8)
        request = heroserve.generate_request(messages[:length], retention=1.0, max_tokens=8)
        assert served.client.generate(request).read().text == expected


def test_fewer_tokens_come_from_the_cache(served: Served) -> None:
    """The same rows, first from the tower and then from Redis; of one tile as of several."""
    for image in (picture(500, 333), picture(60, 60)):
        data = encoded(image)
        first = served.client.encode(data, QUESTION, max_visual_tokens=9)
        second = served.client.encode(data, "Is it red?", max_visual_tokens=9)
        third = served.client.encode(data, QUESTION, max_visual_tokens=9, explain=True)
        assert [each.cache for each in (first, second, third)] == [
            VisualTokens.MISS,
            VisualTokens.HIT,
            VisualTokens.HIT,
        ]
        assert first.features == third.features
        assert [list(tile.positions) for tile in first.tiles] == [list(tile.positions) for tile in third.tiles]
        assert rows(first).shape == (9, first.features.cols)
        answer = served.client.ask(data, QUESTION, max_visual_tokens=9, max_tokens=2)
        assert (answer.savings.kept, answer.usage.prompt_visual_tokens) == (9, 9)


def test_one_budget_for_several_images(served: Served) -> None:
    """One of them a single tile, which has a fit of its own."""
    message = heroserve.user(QUESTION, encoded(picture(500, 333)), encoded(picture(60, 60)))
    request = heroserve.generate_request([message], max_visual_tokens=20, share_budget=True, max_tokens=2)
    assert served.client.generate(request).read().savings.kept == 20
