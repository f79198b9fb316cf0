"""The protos stand alone: everything in them has its comment, and no limit in a comment is another than the code's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from typing import get_args

import pytest
import torch
from transformers import CLIPTextConfig

from heroserve import MAX_MESSAGE_BYTES, RetryPolicy, terms
from heroserve.ray_serve import APPLICATIONS
from heroserve.rows import row_bytes
from heroserve.v1.encoder_pb2 import Features
from scripts.protos import PROTOS, descriptors
from services.common import admission, grpc_call, scope, tracing
from services.common.errors import ServiceError
from services.common.ingress import sizes
from services.common.known import VARIABLES
from services.common.proxy import SERVER_OPTIONS
from services.common.wire import MAX_QUESTION_CHARS
from services.encoder import plan
from services.encoder.chunks import CHUNK_BYTES
from services.encoder.identity import identity
from services.encoder.images.formats import FORMATS
from services.encoder.settings import EncoderSettings
from services.families.grid import Newlines
from services.llm import encoder_client, job
from services.llm.settings import EngineName, LlmSettings, PositionIds

# gRPC's own, of every client that is told nothing.
GRPC_DEFAULT = 4 << 20
PROXY = dict(SERVER_OPTIONS)
ENCODER, LLM = EncoderSettings(), LlmSettings()
SHA = f"SHA-{8 * hashlib.sha256().digest_size}"
# LLaVA-NeXT with CLIP-L.
TOKENS, WIDTH = 5 * 576, 1024
RULES, ENCODE, REQUEST = "tokens.proto", "VisionEncoder.Encode", "EncodeRequest"


def mib(size: int) -> str:
    whole, rest = divmod(size, 1 << 20)
    assert not rest
    return f"{whole} MiB"


def both(size: int) -> str:
    return f"{mib(size)} ({size} bytes"


def mb(dtype: Features.DType) -> str:
    size = TOKENS * row_bytes(Features(dtype=dtype, cols=WIDTH))
    return f"{size / 1e6:.1f} MB in {Features.DType.Name(dtype)}"


def seconds(name: str) -> str:
    return f"{PROXY[name] // 1000} s"


# What is told where, made of what holds.
HELD: dict[str, list[str]] = {
    RULES: [
        f"at most {both(MAX_MESSAGE_BYTES)})",
        f"the {both(GRPC_DEFAULT)})",
        f"idle for {seconds('grpc.max_connection_idle_ms')} or {seconds('grpc.max_connection_age_ms')} old",
        f"every {seconds('grpc.http2.min_recv_ping_interval_without_data_ms')}.",
        f"{terms._REQUEST_ID.pattern.partition('{')[2].rstrip('}').replace(',', ' to ')} characters",
        f"at most {ENCODER.max_wait_s:.0f} s (HEROSERVE_MAX_WAIT_S)",
        f"than {ENCODER.request_timeout_s:.0f} s (HEROSERVE_REQUEST_TIMEOUT_S)",
    ],
    "Image.data": [
        f"at most {both(ENCODER.max_image_bytes)}, HEROSERVE_MAX_IMAGE_BYTES)",
        f"{ENCODER.max_image_pixels} pixels (HEROSERVE_MAX_IMAGE_PIXELS)",
    ],
    "Image.digest": [SHA, f"{2 * hashlib.sha256().digest_size} lower-case hex digits"],
    "VisionEncoder": [f"port is {ENCODER.grpc_port}."],
    "VisionChat": [f"port is {LLM.grpc_port}."],
    "VisionChat.Describe": [f"at most {encoder_client._DESCRIBE_TIMEOUT_S:.0f} s"],
    ENCODE: [
        f"the {mib(GRPC_DEFAULT)} that",
        f"all {TOKENS} tokens",
        f"({WIDTH} wide)",
        f"{mb(Features.FLOAT32)}, {mb(Features.BFLOAT16)} and {mb(Features.INT8)}.",
        f"limit to {mib(MAX_MESSAGE_BYTES)},",
        f"more than {mib(plan._MAX_ROW_BYTES)} of rows",
    ],
    "VisionEncoder.EncodeStream": [f"below {mib(GRPC_DEFAULT)},"],
    "EncodeRequest.question": [
        f"at most {MAX_QUESTION_CHARS} characters",
        f"first {CLIPTextConfig().max_position_embeddings} tokens",
    ],
    "EncodeChunk.data": [f"into {both(CHUNK_BYTES)})"],
    "VisualTokens.encoder_id": [f"{len(identity({}))} hex digits"],
    "Features.data": [
        f"FLOAT32 has {torch.float32.itemsize} bytes a value, FLOAT16 and BFLOAT16 {torch.bfloat16.itemsize}.",
        f"cols + {row_bytes(Features(dtype=Features.INT8))} bytes a row",
        f"over {torch.iinfo(torch.int8).max}, at least 2^{torch.tensor(torch.finfo(torch.float32).tiny).log2():.0f},",
        "from -127 to 127",
    ],
    "Features.DType.FLOAT32": ["IEEE 754", "32 bits"],
    "Features.DType.FLOAT16": ["IEEE 754", "16 bits"],
    "Features.DType.BFLOAT16": ["16 bits", "by 16"],
    "Features.DType.INT8": ["from -127 to 127"],
    "EncoderDescription.version": ['"1.2.3"'],
    "ChatDescription.version": ['"1.2.3"'],
    "GenerateRequest": [f"{both(sizes.MAX_TEXT_BYTES)}) and {sizes.MAX_FIELDS} messages"],
    "GenerateRequest.messages": [f"at most {job.MAX_TEXT_CHARS} characters"],
    "Sampling.temperature": [f"From 0 to {job.MAX_TEMPERATURE:g}."],
    "Sampling.stop": [f"Up to {job.MAX_STOPS} strings of 1 to {job.MAX_STOP_CHARS} characters"],
    "Sampling.json_schema": [f"{job.MAX_SCHEMA_CHARS} characters and {job.MAX_SCHEMA_DEPTH} levels"],
}
# Of these all that there are, and no others.
WORDS: dict[str, list[str]] = {
    "ChatDescription.engine": list(get_args(EngineName)),
    "ChatDescription.newlines": list(get_args(Newlines)),
    "ChatDescription.position_ids": list(get_args(PositionIds)),
}
_INNER = {"message": ((8, "oneof", "oneof_decl"), (2, "field", "field"), (3, "message", "nested_type"))}
_ENUMS = (5, 4)


@cache
def comments() -> dict[str, str]:
    """What is said of each thing, on one line; of a file, at its head."""
    return dict(pair for file in descriptors() for pair in _of_file(file))


def _of_file(file) -> Iterator[tuple[str, str]]:
    said = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}

    def words(*path: int) -> str:
        return " ".join(said.get(path, "").split())

    def enum(name: str, enum, *path: int) -> Iterator[tuple[str, str]]:
        yield name, words(*path)
        for at, value in enumerate(enum.value):
            yield f"{name}.{value.name}", words(*path, 2, at)

    def message(name: str, message, *path: int) -> Iterator[tuple[str, str]]:
        if message.options.map_entry:
            return
        yield name, words(*path)
        optional = {field.oneof_index for field in message.field if field.proto3_optional}
        for at, choice in enumerate(message.oneof_decl):
            # Those of "optional" are protoc's.
            if at not in optional or not choice.name.startswith("_"):
                yield f"{name}.{choice.name}", words(*path, 8, at)
        for at, field in enumerate(message.field):
            yield f"{name}.{field.name}", words(*path, 2, at)
        for at, inner in enumerate(message.enum_type):
            yield from enum(f"{name}.{inner.name}", inner, *path, 4, at)
        for inner in message.nested_type:
            assert inner.options.map_entry, f"{name}.{inner.name}: not looked at here"

    yield file.name.rpartition("/")[2], f"{words(12)} {words(2)}".strip()
    assert not file.enum_type
    for at, each in enumerate(file.message_type):
        yield from message(each.name, each, 4, at)
    for at, service in enumerate(file.service):
        yield service.name, words(6, at)
        for index, method in enumerate(service.method):
            yield f"{service.name}.{method.name}", words(6, at, 2, index)


def test_everything_has_its_comment():
    assert len(comments()) > 150
    assert not [name for name, words in comments().items() if not words]
    # A sentence each, that ends.
    assert not [name for name, words in comments().items() if not words.endswith(".")]


@pytest.mark.parametrize("name", HELD)
def test_limits_are_the_codes(name: str):
    for words in HELD[name]:
        assert words in comments()[name]


def test_no_number_is_held_by_nobody():
    """Above 2: those below say how many there are of something."""
    loose = {}
    for name, words in comments().items():
        for held in HELD.get(name, []):
            words = words.replace(held, "")
        if numbers := [number for number in re.findall(r"(?<![\w.])\d[\d.]*", words) if float(number.rstrip(".")) > 2]:
            loose[name] = numbers
    assert not loose


@pytest.mark.parametrize("name", WORDS)
def test_words_are_those_there_are(name: str):
    assert sorted(re.findall(r'"([\w-]+)"', comments()[name])) == sorted(WORDS[name])


def test_the_settings_named_are_there():
    named = {variable for words in comments().values() for variable in re.findall(r"HEROSERVE_[A-Z_]+\b(?!\.)", words)}
    assert len(named) >= 5
    assert named - {"HEROSERVE_"} <= set(VARIABLES)


def test_what_one_comment_names_of_another_is_there():
    every = comments().keys() | {f"{name}.{name}" for name in comments()}
    named = {match for words in comments().values() for match in re.findall(r"\b[A-Z]\w+\.[A-Za-z_]+\b", words)}
    assert len(named) >= 15
    assert not named - every


def test_every_status_is_told_and_no_other():
    def kinds(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
        yield kind
        for inner in kind.__subclasses__():
            yield from kinds(inner)

    listed = re.findall(r"- ([A-Z_]{5,}): ", comments()[RULES])
    assert sorted(listed) == sorted({kind.code.name for kind in kinds(ServiceError)} | {"CANCELLED"})


def test_metadata_is_what_the_services_read():
    rules = comments()[RULES]
    keys = re.findall(r"- ([a-z_-]+(?:, [a-z_-]+)*): ", rules)
    assert [key for each in keys for key in each.split(", ")] == [
        "application",
        "authorization",
        grpc_call.REQUEST_ID,
        *tracing.Trace("parent", "state").headers,
        scope.HEADER,
    ]
    assert grpc_call.PUSHBACK in rules
    for service, application in APPLICATIONS.items():
        assert f'"{application}" for {service.rpartition(".")[2]}' in rules
    # Half of what is left; a tenth of all calls.
    assert admission._SHARE_IN_LINE == 0.5
    assert "at most half of what its deadline leaves" in rules
    assert RetryPolicy().overload_share == 0.1
    assert "few of all calls (a tenth, say)" in rules


def test_formats_and_stages_are_those_there_are():
    listed = re.search(r"\(([\w, ]+)\)", comments()["Image.data"])
    assert listed is not None
    assert {name.upper() for name in re.split(", | or ", listed[1])} == {name.upper() for name in FORMATS}
    stages = re.search(r"by stage: ([\w, ]+)\.", comments()["EncodeTimings.stages"])
    assert stages is not None
    assert set(stages[1].split(", ")) == {
        *("queue", "decode", "tile", "tower", "rank", "cache_read", "cache_write", "plan")
    }


def test_no_line_is_longer_than_ours():
    assert not [line for file in PROTOS.rglob("*.proto") for line in file.read_text().splitlines() if len(line) > 120]
