"""What people write programs with: each gets the right answer, in every way it has of asking."""

from __future__ import annotations

import hashlib

from scripts.stack import PICTURE, ROOT
from tests.clients.conftest import Door

# The character on the black star, and on the black cross, of the example's picture.
STAR, CROSS = "T", "7"


def test_openai(door: Door):
    told = door.told("sdks", "openai_package.py")
    assert told["models"] == [door.model]
    assert (told["whole"], told["finish"]) == (STAR, "stop")
    assert told["pieces"] == told["helped"] == told["asked of a file"] == told["fetched"] == STAR
    assert told["async"] == [STAR] * 9
    assert told["second turn"] == CROSS
    usage = told["usage"]
    details = usage["prompt_tokens_details"]
    assert details["image_tokens"] + details["text_tokens"] == usage["prompt_tokens"] == usage["total_tokens"] - 2
    assert usage["heroserve"]["visual_tokens"]["dropped"] > 0
    assert told["streamed usage"]["prompt_tokens"] == usage["prompt_tokens"]
    assert told["file"] == [hashlib.sha256((ROOT / PICTURE).read_bytes()).hexdigest(), "processed"]
    url = "messages[0].content[0].image_url.url"
    assert told["no key"] == ["AuthenticationError", 401, None, "invalid_api_key", True]
    assert told["no model"] == ["NotFoundError", 404, "model", "model_not_found", True]
    assert told["no image"] == ["BadRequestError", 400, url, None, True]
    assert told["no file"] == ["NotFoundError", 404, url, "file_not_found", True]
    assert told["no host"] == ["BadRequestError", 400, url, "invalid_image_url", True]
    assert told["tools"] == ["BadRequestError", 400, "tools", "unsupported_parameter", True]


def test_litellm(door: Door):
    told = door.told("sdks", "litellm_package.py")
    for name in ("whole", "pieces", "async", "bare", "file data", "file", "knobs", "fetched"):
        assert told[name] == STAR, name
    prompt, completion = told["usage"]
    assert prompt == told["streamed usage"] > 10
    assert completion == 2
    assert told["no key"] == ["AuthenticationError", 401]
    assert told["no model"] == ["NotFoundError", 404]
    assert told["no temperature"] == ["BadRequestError", 400]
    assert told["no file"] == ["NotFoundError", 404]


def test_langchain(door: Door):
    told = door.told("sdks", "langchain_package.py")
    assert set(told["blocks"].values()) == {STAR}, told["blocks"]
    assert told["pieces"] == told["async"] == STAR
    assert told["chain"] == [STAR] * 3
    assert told["usage"][1] == 2
    assert 10 < told["streamed usage"] < told["usage"][0]
    assert told["no key"] == ["AuthenticationError", 401]
    assert told["no model"] == ["NotFoundError", 404]
    assert told["logprobs"] == ["BadRequestError", 400]
