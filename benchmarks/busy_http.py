"""What HTTP costs beside a busy engine: small requests, and large ones, are timed while answers are streamed.

    python -m models.untrained build/untrained && HEROSERVE_MODEL=build/untrained make up
    python -m benchmarks.busy_http [--url http://localhost:8001] [--streams 4] [--seconds 8]

Prints how long it takes to ask for the models, to be refused for a field, and to be refused for one in 6.7 MB with a
picture; and, as what the proxy alone takes, /readyz: first without, then with so many answers under way. Then how far
apart the pieces of these come, alone and with the large requests beside them. Of a service with API keys:
HEROSERVE_API_KEY.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import statistics
import time

import aiohttp

# Of a picture; base64 makes a third more of it.
_PICTURE_BYTES = 5_000_000
_CALLS, _LARGE_CALLS = 60, 10
_COMPLETIONS = "/v1/chat/completions"
_QUESTION = {"role": "user", "content": "Go on"}
# Refused when all of it has been read, and before anything is done for it.
_REFUSED = {"messages": [_QUESTION], "model": "none of these"}
_STREAM = {"messages": [_QUESTION], "max_tokens": 2000, "ignore_eos": True, "stream": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8001")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8, help="how long pieces are looked at")
    arguments = parser.parse_args()
    asyncio.run(_measure(arguments.url, arguments.streams, arguments.seconds))


async def _measure(url: str, streams: int, seconds: float) -> None:
    key = os.environ.get("HEROSERVE_API_KEY", "none")
    async with aiohttp.ClientSession(
        url, headers={"authorization": f"Bearer {key}", "content-type": "application/json"}
    ) as session:
        await _table(session, "alone")
        gaps: list[float] = []
        work = [asyncio.ensure_future(_stream(session, gaps)) for _ in range(streams)]
        await asyncio.sleep(2)
        await _table(session, f"{streams} streams")
        gaps.clear()
        begun = time.perf_counter()
        await asyncio.sleep(seconds)
        print(f"{len(gaps) / (time.perf_counter() - begun):.0f} pieces a second, apart: {_shown(gaps)}")
        gaps.clear()
        await _times(session, "POST", _COMPLETIONS, _large(), 2 * _LARGE_CALLS, pause_s=0.1)
        print(f"with large requests beside them: {_shown(gaps)}")
        for each in work:
            each.cancel()
        await asyncio.wait(work)


async def _table(session: aiohttp.ClientSession, when: str) -> None:
    for name, method, path, body, calls in (
        ("models", "GET", "/v1/models", None, _CALLS),
        ("refused", "POST", _COMPLETIONS, json.dumps(_REFUSED).encode(), _CALLS),
        ("refused, 6.7 MB", "POST", _COMPLETIONS, _large(), _LARGE_CALLS),
        ("readyz", "GET", "/readyz", None, _CALLS),
    ):
        print(f"{when}: {name}: {_shown(await _times(session, method, path, body, calls))}")


async def _times(
    session: aiohttp.ClientSession, method: str, path: str, body: bytes | None, calls: int, pause_s: float = 0.03
) -> list[float]:
    found = []
    for _ in range(calls):
        begun = time.perf_counter()
        async with session.request(method, path, data=body) as response:
            await response.read()
        found.append(time.perf_counter() - begun)
        await asyncio.sleep(pause_s)
    return found


async def _stream(session: aiohttp.ClientSession, gaps: list[float]) -> None:
    while True:
        async with session.post(_COMPLETIONS, data=json.dumps(_STREAM).encode()) as response:
            response.raise_for_status()
            before = 0.0
            async for line in response.content:
                if line.startswith(b"data: {"):
                    now = time.perf_counter()
                    if before:
                        gaps.append(now - before)
                    before = now


def _large() -> bytes:
    url = "data:image/png;base64," + base64.b64encode(os.urandom(_PICTURE_BYTES)).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what?"}]
    return json.dumps({**_REFUSED, "messages": [{"role": "user", "content": content}]}).encode()


def _shown(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "too few"
    tenths = statistics.quantiles(seconds, n=10)
    return f"median {tenths[4] * 1e3:.1f}, p90 {tenths[8] * 1e3:.1f}, max {max(seconds) * 1e3:.1f} ms of {len(seconds)}"


if __name__ == "__main__":
    main()
