"""Two stock vLLMs beside: an image has one of them, and where that is killed the other answers."""

from __future__ import annotations

import asyncio

from scripts.stack import ROOT
from scripts.vllm_server import VllmServer
from tests.support.llm_parts import InProcessEncoder, picture, png
from tests.support.remote_parts import STAR, Asked, asking

SCENE = (ROOT / "examples" / "scene.png").read_bytes()
RECEIVED = "vllm:request_success_total"


async def test_an_image_stays_with_one_and_images_are_spread(
    encoder: InProcessEncoder, server: VllmServer, second: VllmServer
):
    both = (server, second)
    async with asking(encoder, server.url, second.url) as asked:
        before = [each.metric(RECEIVED) for each in both]
        for retention in (0.1, 0.2, 0.3, 0.4, 0.5):
            await asked(STAR, SCENE, retention=retention)
        more = [each.metric(RECEIVED) - was for each, was in zip(both, before, strict=True)]
        assert sorted(more) == [0, 5]
        for width in range(100, 116):
            await asked("x", png(picture(width, 60)), max_tokens=1)
        more = [each.metric(RECEIVED) - was for each, was in zip(both, before, strict=True)]
        assert min(more) > 0
        assert sum(more) == 21


async def test_one_is_killed_under_requests_and_all_that_begin_are_answered(
    encoder: InProcessEncoder, server: VllmServer, second: VllmServer, here: Asked
):
    """Last, for the second is gone behind it."""
    pictures = [png(picture(width, 60)) for width in range(100, 112)]
    async with asking(encoder, server.url, second.url) as asked:
        rounds = []
        for number in range(4):
            under_way = [asyncio.create_task(asked("x", data, max_tokens=48, ignore_eos=True)) for data in pictures]
            if number == 1:
                await asyncio.sleep(0.05)
                second.kill()
            rounds.append(await asyncio.gather(*under_way, return_exceptions=True))
        for number in (0, 2, 3):
            assert [answer for answer in rounds[number] if isinstance(answer, Exception)] == []
        # Those that had begun to be told are broken off; the others went elsewhere.
        for answer in rounds[1]:
            assert not isinstance(answer, Exception) or "vLLM at" in str(answer)
        assert asked.engine.problem is None
        (left,) = asked.engine._servers.up
        assert left.url == server.url
