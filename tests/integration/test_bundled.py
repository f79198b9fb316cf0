"""The bundled checkpoint, which answers when nobody names another. Whatever it is; all other tests run without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from ray import serve

from heroserve.v1.chat_pb2 import DescribeChatRequest, GenerateRequest, Message, Part, Sampling
from heroserve.v1.chat_pb2_grpc import VisionChatStub
from heroserve.v1.encoder_pb2 import DescribeEncoderRequest, EncodeRequest
from heroserve.v1.encoder_pb2_grpc import VisionEncoderStub
from heroserve.v1.tokens_pb2 import Image
from scripts.redis_server import free_port
from scripts.stack import PICTURE, ROOT
from services.common.settings import BUNDLED_MODEL
from services.encoder.app import build as build_encoder
from services.llm.app import build as build_llm
from tests.support.services import Services


@pytest.fixture(scope="module")
def channel(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """To an encoder and an LLM service that were told of no model."""
    builders = {"bundled-encoder": build_encoder, "bundled-llm": build_llm}
    for name, build in builders.items():
        folder = str(tmp_path_factory.mktemp(name))
        application = build(
            {
                "HEROSERVE_REPLICA_CPUS": "0.1",
                "HEROSERVE_METRICS_PORT": str(free_port()),
                "HEROSERVE_METRICS_DIR": folder,
            }
        )
        serve.run(application, name=name, route_prefix=f"/{name}")
    with grpc.insecure_channel(services.grpc) as channel:
        yield channel
    for name in builders:
        serve.delete(name)


def options(application: str) -> dict[str, Any]:
    return {"metadata": [("application", application)], "timeout": 60}


def test_describe_says_what_its_config_says(channel: grpc.Channel):
    config = json.loads((Path(BUNDLED_MODEL) / "config.json").read_text())
    chat = VisionChatStub(channel).Describe(DescribeChatRequest(), **options("bundled-llm"))
    encoder = VisionEncoderStub(channel).Describe(DescribeEncoderRequest(), **options("bundled-encoder"))
    assert chat.model == encoder.model == BUNDLED_MODEL
    assert chat.trained == encoder.trained == config["heroserve"]["trained"]
    assert chat.context_length == config["text_config"]["max_position_embeddings"]
    assert "what character is on the black star?" in chat.examples
    tower = config["vision_config"]
    assert encoder.tile_size == tower["image_size"]
    assert encoder.patches_per_side == tower["image_size"] // tower["patch_size"]
    assert encoder.feature_width == tower["hidden_size"]
    # The CLIP that it is bundled with.
    assert encoder.relevance_model == f"{BUNDLED_MODEL}/clip"


def test_it_sees_and_it_answers(channel: grpc.Channel):
    request = EncodeRequest(image=Image(data=(ROOT / PICTURE).read_bytes()), question="What is the total?")
    tokens = VisionEncoderStub(channel).Encode(request, **options("bundled-encoder"))
    assert 0 < tokens.savings.kept < tokens.savings.total
    message = Message(role=Message.USER, parts=[Part(text="What is the total?")])
    question = GenerateRequest(messages=[message], sampling=Sampling(max_tokens=4))
    *_, last = VisionChatStub(channel).Generate(question, **options("bundled-llm"))
    assert last.usage.completion_tokens > 0
