"""litellm, by the provider that is for servers with OpenAI's API."""

import asyncio
import base64
import json
import os

import litellm

MODEL = f"openai/{os.environ['MODEL']}"
PLACE = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"], "num_retries": 0}
QUESTION = "what character is on the black star?"
with open(os.environ["PICTURE"], "rb") as file:
    DATA = file.read()
URL = "data:image/png;base64," + base64.b64encode(DATA).decode()


def messages(*parts):
    return [{"role": "user", "content": [{"type": "text", "text": QUESTION}, *parts]}]


def image(url):
    return {"type": "image_url", "image_url": {"url": url, "format": "image/png"}}


def said(answer):
    return answer.choices[0].message.content


def refused(**options):
    try:
        litellm.completion(**{"model": MODEL, "messages": messages(image(URL)), **PLACE, **options})
    except Exception as error:  # noqa: BLE001 - which it is, is what is asked
        return [type(error).__name__, getattr(error, "status_code", None)]
    return None


whole = litellm.completion(model=MODEL, messages=messages(image(URL)), **PLACE)
pieces = list(
    litellm.completion(
        model=MODEL, messages=messages(image(URL)), stream=True, stream_options={"include_usage": True}, **PLACE
    )
)
uploaded = litellm.create_file(
    file=("scene.png", DATA),
    purpose="vision",
    custom_llm_provider="openai",
    **{k: PLACE[k] for k in ("api_base", "api_key")},
)
print(
    json.dumps(
        {
            "whole": said(whole),
            "usage": [whole.usage.prompt_tokens, whole.usage.completion_tokens],
            "pieces": "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices),
            "streamed usage": litellm.stream_chunk_builder(pieces).usage.prompt_tokens,
            "async": said(asyncio.run(litellm.acompletion(model=MODEL, messages=messages(image(URL)), **PLACE))),
            "bare": said(
                litellm.completion(model=MODEL, messages=messages({"type": "image_url", "image_url": URL}), **PLACE)
            ),
            "file data": said(
                litellm.completion(
                    model=MODEL, messages=messages({"type": "file", "file": {"file_data": URL}}), **PLACE
                )
            ),
            "file": said(
                litellm.completion(
                    model=MODEL, messages=messages({"type": "file", "file": {"file_id": uploaded.id}}), **PLACE
                )
            ),
            "knobs": said(
                litellm.completion(
                    model=MODEL, messages=messages(image(URL)), extra_body={"heroserve": {"retention": 0.5}}, **PLACE
                )
            ),
            "fetched": said(litellm.completion(model=MODEL, messages=messages(image(os.environ["ADDRESS"])), **PLACE)),
            "no key": refused(api_key="wrong"),
            "no model": refused(model="openai/gpt-4o"),
            "no temperature": refused(temperature=5),
            "no file": refused(messages=messages({"type": "file", "file": {"file_id": "0" * 64}})),
        }
    )
)
