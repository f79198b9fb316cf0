"""OpenAI's own package: asked at once, in pieces and asynchronously, with a file, and in ways that are refused."""

import asyncio
import base64
import json
import os

import openai

MODEL, PICTURE = os.environ["MODEL"], os.environ["PICTURE"]
QUESTION = "what character is on the black star?"
with open(PICTURE, "rb") as file:
    URL = "data:image/png;base64," + base64.b64encode(file.read()).decode()


def content(part):
    return [{"role": "user", "content": [part, {"type": "text", "text": QUESTION}]}]


def image(url):
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}


def refused(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.param, error.code, bool(error.request_id)]
    return None


async def asynchronously():
    async with openai.AsyncOpenAI() as client:
        answers = await asyncio.gather(
            *(client.chat.completions.create(model=MODEL, messages=content(image(URL))) for _ in range(8))
        )
        pieces = await client.chat.completions.create(model=MODEL, messages=content(image(URL)), stream=True)
        text = "".join([piece.choices[0].delta.content or "" async for piece in pieces])
    return [answer.choices[0].message.content for answer in answers] + [text]


client = openai.OpenAI()
whole = client.chat.completions.create(model=MODEL, messages=content(image(URL)), max_completion_tokens=8)
*pieces, last = client.chat.completions.create(
    model=MODEL, messages=content(image(URL)), stream=True, stream_options={"include_usage": True}
)
with open(PICTURE, "rb") as file:
    uploaded = client.files.create(file=file, purpose="vision")
named = {"type": "file", "file": {"file_id": uploaded.id}}
asked = client.chat.completions.create(model=MODEL, messages=content(named))
turns = [
    *content(named),
    {"role": "assistant", "content": asked.choices[0].message.content},
    {"role": "user", "content": "what character is on the black cross?"},
]
with client.chat.completions.stream(model=MODEL, messages=content(image(URL))) as stream:
    helped = stream.get_final_completion()
print(
    json.dumps(
        {
            "models": [model.id for model in client.models.list()],
            "whole": whole.choices[0].message.content,
            "finish": whole.choices[0].finish_reason,
            "usage": whole.usage.to_dict(),
            "pieces": "".join(piece.choices[0].delta.content or "" for piece in pieces),
            "streamed usage": last.usage.to_dict(),
            "async": asyncio.run(asynchronously()),
            "helped": helped.choices[0].message.content,
            "file": [uploaded.id, client.files.retrieve(uploaded.id).status],
            "asked of a file": asked.choices[0].message.content,
            "second turn": client.chat.completions.create(model=MODEL, messages=turns).choices[0].message.content,
            "fetched": client.chat.completions.create(model=MODEL, messages=content(image(os.environ["ADDRESS"])))
            .choices[0]
            .message.content,
            "no key": refused(lambda: openai.OpenAI(api_key="wrong").models.list()),
            "no model": refused(lambda: client.chat.completions.create(model="gpt-4o", messages=content(image(URL)))),
            "no image": refused(
                lambda: client.chat.completions.create(
                    model=MODEL, messages=content(image("data:image/png;base64,AAAA"))
                )
            ),
            "no file": refused(lambda: client.chat.completions.create(model=MODEL, messages=content(image("0" * 64)))),
            "no host": refused(
                lambda: client.chat.completions.create(model=MODEL, messages=content(image("http://localhost:1/x.png")))
            ),
            "tools": refused(
                lambda: client.chat.completions.create(
                    model=MODEL,
                    messages=content(image(URL)),
                    tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
                )
            ),
        }
    )
)
