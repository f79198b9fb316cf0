"""The bundled checkpoint is a LLaVA-NeXT to others too: a stock vLLM loads all of it, and is asked the raw image."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import openai
import pytest

from scripts.stack import ROOT
from scripts.vllm_server import TORCHVISION, VllmServer, reads_pictures, vllm_server
from services.common.settings import BUNDLED_MODEL
from tests.support.remote_parts import BOTH, STAR, Asked

QUESTIONS = [
    STAR,
    BOTH,
    "what character is on the green square?",
    "what characters are on the black star and the black cross?",
]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    if not TORCHVISION.is_dir():
        pytest.skip("there is no torchvision, which vLLM's LLaVA needs")
    logs = tmp_path_factory.mktemp("logs")
    with vllm_server(BUNDLED_MODEL, logs, "--served-model-name", "llava", **reads_pictures()) as server:
        yield server


@pytest.mark.parametrize("name", ["scene.png", "world.png"])
async def test_it_answers_as_we_do_with_all_visual_tokens(here: Asked, llava: VllmServer, name: str):
    data = (ROOT / "examples" / name).read_bytes()
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    async with openai.AsyncOpenAI(base_url=f"{llava.url}/v1", api_key="none", max_retries=0) as client:
        for question in QUESTIONS:
            content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
            completion = await client.chat.completions.create(
                model="llava",
                messages=[{"role": "user", "content": content}],  # type: ignore[misc,list-item]
                temperature=0,
                max_tokens=32,
                # The template leaves that to the tokenizer, and vLLM does not.
                extra_body={"add_special_tokens": True},
            )
            ours = await here(question, data, retention=1.0, max_tokens=32)
            usage = ours.bill.usage
            tokens = usage.prompt_text_tokens + usage.prompt_visual_tokens + usage.prompt_newline_tokens
            assert completion.usage is not None
            assert completion.usage.prompt_tokens == tokens
            assert completion.choices[0].message.content == ours.text
