"""langchain-openai, with the blocks that LangChain's messages have for images, and as a part of a chain."""

import asyncio
import base64
import json
import os

import openai
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

QUESTION = "what character is on the black star?"
with open(os.environ["PICTURE"], "rb") as file:
    DATA = file.read()
BASE64 = base64.b64encode(DATA).decode()
URL = f"data:image/png;base64,{BASE64}"
BLOCKS = {
    "image_url": {"type": "image_url", "image_url": {"url": URL}},
    "image, base64": {"type": "image", "base64": BASE64, "mime_type": "image/png"},
    "image, base64, as it was": {"type": "image", "source_type": "base64", "data": BASE64, "mime_type": "image/png"},
    "image, data URL": {"type": "image", "url": URL},
    "image, address": {"type": "image", "url": os.environ["ADDRESS"]},
    "file, base64": {"type": "file", "base64": BASE64, "mime_type": "image/png", "filename": "scene.png"},
    "file, id": {
        "type": "file",
        "file_id": openai.OpenAI().files.create(file=("scene.png", DATA), purpose="vision").id,
    },
}
model = ChatOpenAI(model=os.environ["MODEL"], max_tokens=16, max_retries=0, stream_usage=True)


def message(block):
    return HumanMessage([block, {"type": "text", "text": QUESTION}])


def refused(asked):
    try:
        asked.invoke([message(BLOCKS["image_url"])])
    except openai.APIStatusError as error:
        ours = next(kind for kind in type(error).__mro__ if kind.__module__.partition(".")[0] == "openai")
        return [ours.__name__, error.status_code]
    return None


whole = model.invoke([SystemMessage("Be brief."), message(BLOCKS["image_url"])])
pieces = list(model.stream([message(BLOCKS["image_url"])]))
template = ChatPromptTemplate.from_messages(
    [("user", [{"type": "text", "text": "{question}"}, {"type": "image_url", "image_url": {"url": "{picture}"}}])]
)
chain = template | model | StrOutputParser()
print(
    json.dumps(
        {
            "blocks": {name: model.invoke([message(block)]).content for name, block in BLOCKS.items()},
            "usage": [whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]],
            "pieces": "".join(piece.content for piece in pieces),
            "streamed usage": sum(piece.usage_metadata["input_tokens"] for piece in pieces if piece.usage_metadata),
            "async": asyncio.run(model.ainvoke([message(BLOCKS["image_url"])])).content,
            "chain": chain.batch([{"question": QUESTION, "picture": URL}] * 3),
            "no key": refused(ChatOpenAI(model=os.environ["MODEL"], api_key="wrong", max_retries=0)),
            "no model": refused(ChatOpenAI(model="gpt-4o", max_retries=0)),
            "logprobs": refused(model.bind(logprobs=True)),
        }
    )
)
