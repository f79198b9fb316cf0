"""docs/explained.png: which visual tokens of the demo's scene a question keeps, as `heroserve ask --explain` draws it.

python -m scripts.explained docs/explained.png

Both services' own parts answer, in this process: no Ray, no Redis.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from PIL import Image as Pillow

from benchmarks.in_process import InProcessEncoder
from heroserve import Explanation
from services.common import context
from services.common.budget import Retention
from services.common.context import RequestContext
from services.common.settings import BUNDLED_MODEL
from services.llm import parts
from services.llm.answer import Bill
from services.llm.doors import grpc as door
from services.llm.engines.registry import open_engine
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.settings import LlmSettings

SCENE = Path(__file__).resolve().parents[1] / "examples" / "scene.png"
QUESTION = "what character is on the black star?"
RETENTION = 0.2
_WIDTH = 1200


async def explain(
    picture: bytes, question: str, retention: float, model: str = BUNDLED_MODEL
) -> tuple[str, Explanation]:
    """The answer, and what was kept for it."""
    settings = LlmSettings(model=model)
    engine = open_engine(settings, parts.model(settings))
    encoder = InProcessEncoder(settings.model, relevance_model="")
    chat = parts.open_chat(settings, encoder, parts.open_prompts(settings), parts.open_splicer(settings), engine)
    turn = Turn("user", (ImagePart(data=picture), question))
    job = ChatJob((turn,), Retention(retention), Sampling(max_tokens=16), explain=True)
    text = ""
    with context.serving(RequestContext()):
        async for piece in chat.generate(job):
            if isinstance(piece, Bill):
                return text, Explanation.from_response(door.response(piece))[0]
            text += piece.text
    raise RuntimeError("the answer has no end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--image", type=Path, default=SCENE)
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--retention", type=float, default=RETENTION)
    options = parser.parse_args()
    image = options.image.read_bytes()
    answer, explanation = asyncio.run(explain(image, options.question, options.retention))
    page = explanation.draw(image, answer=answer.strip())
    # A repository keeps every version of it.
    small = page.resize((_WIDTH, round(page.height * _WIDTH / page.width)), Pillow.Resampling.LANCZOS)
    small.quantize(256, Pillow.Quantize.FASTOCTREE, dither=Pillow.Dither.NONE).save(options.picture, optimize=True)


if __name__ == "__main__":
    main()
