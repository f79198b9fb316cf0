"""Images from a real web server: within their bounds, from where the list says, and never from anywhere else."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from aiohttp import web

from services.llm.web.error import FetchError
from services.llm.web.fetcher import ImageFetcher
from services.llm.web.hosts import Hosts, parse_hosts
from services.llm.web.networks import Networks
from tests.support.web import LOOPBACK, Names, server

FILE = b"\x89PNG and more"
SECRET = b"s3cret"


def page(body: bytes = FILE, **options: Any) -> Any:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, **options)

    return answer


def to(location: str, status: int = 302) -> Any:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"location": location}, body=SECRET)

    return answer


async def fetch(
    path: str,
    names: Names,
    *,
    host: str = "a.test",
    hosts: str = "a.test:{port},*.b.test:{port}",
    networks: tuple[str, ...] = ("127.0.0.0/8",),
    timeout_s: float = 20,
    max_bytes: int = 100,
    **pages: Any,
) -> bytes:
    async with server(**pages) as port:
        fetcher = ImageFetcher(
            Hosts(parse_hosts(hosts.format(port=port))),
            Networks(networks),
            max_bytes=max_bytes,
            timeout_s=timeout_s,
            resolver=names,
        )
        try:
            return await fetcher.get(fetcher.check(f"http://{host}:{port}{path}"))
        finally:
            await fetcher.close()


async def test_a_file_as_it_is():
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(body=FILE)

    assert await fetch("/x?key=1", Names(a_test=[LOOPBACK]), x=answer) == FILE
    (request,) = asked
    assert request.query_string == "key=1"
    assert request.headers["host"].startswith("a.test:")
    assert request.headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer"} & {name.lower() for name in request.headers}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_within_the_list(status: int):
    names = Names(a_test=[LOOPBACK], x_b_test=[LOOPBACK])
    async with server(x=page()) as port:
        there = f"http://x.b.test:{port}/x"
        hosts = f"a.test:{{port}},x.b.test:{port}"
        assert await fetch("/here", names, hosts=hosts, here=to(there, status)) == FILE
    assert await fetch("/here", Names(a_test=[LOOPBACK]), here=to("x", status), x=page()) == FILE


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("http://evil.test/x", "redirects to an address at evil.test, which HEROSERVE_IMAGE_HOSTS does not name"),
        ("http://127.0.0.1/x", "does not name"),
        ("http://169.254.169.254/latest/meta-data", "does not name"),
        ("//evil.test/x", "does not name"),
        ("http://user:pw@a.test/x", "a user's name or a password"),
        ("file:///etc/passwd", "none of http or https"),
        ("data:image/png;base64,AAAA", "none of http or https"),
        ("http://[", "none of http or https"),
        ("/" + "x" * 7000, "404"),
        ("here", "redirects more than 3 times"),
        ("", "redirects, and does not say where"),
    ],
)
async def test_redirects_out_of_it(location: str, problem: str):
    with pytest.raises(FetchError) as refused:
        await fetch("/here", Names(a_test=[LOOPBACK]), here=to(location))
    assert problem in refused.value.problem
    assert "s3cret" not in refused.value.problem


@pytest.mark.parametrize("answer", [["10.0.0.7"], [[LOOPBACK, "10.0.0.7"]], ["::ffff:169.254.169.254"], ["::1"]])
async def test_all_that_a_name_stands_for_must_be_allowed(answer: Any):
    with pytest.raises(FetchError, match="not public, nor within HEROSERVE_IMAGE_NETWORKS") as refused:
        await fetch("/x", Names(a_test=answer), x=page())
    assert "10.0" not in refused.value.problem


async def test_loopback_is_not_public():
    with pytest.raises(FetchError, match="IMAGE_NETWORKS"):
        await fetch("/x", Names(a_test=[LOOPBACK]), networks=(), x=page())


async def test_what_was_checked_is_what_is_connected_to():
    names = Names(a_test=[LOOPBACK, "10.0.0.7"])
    assert await fetch("/x", names, x=page()) == FILE
    # Asked once: a name that changes in between has nothing to change.
    assert names.asked == ["a.test"]


async def test_a_redirect_is_looked_up_anew_and_checked():
    names = Names(a_test=[LOOPBACK], x_b_test=["10.0.0.7"])
    async with server(x=page()) as port:
        with pytest.raises(FetchError, match="IMAGE_NETWORKS"):
            await fetch("/here", names, hosts=f"a.test:{{port}},x.b.test:{port}", here=to(f"http://x.b.test:{port}/x"))
    assert names.asked == ["a.test", "x.b.test"]


@pytest.mark.parametrize("said", [True, False])
async def test_a_file_that_is_too_large(said: bool):
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        if said:
            response.content_length = 1 << 40
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))
            sent += 1 << 16

    with pytest.raises(FetchError, match=r"more than 1000 bytes, which is the limit \(HEROSERVE_MAX_IMAGE_BYTES\)"):
        await fetch("/x", Names(a_test=[LOOPBACK]), max_bytes=1000, x=answer)
    # What sockets hold, and no more.
    assert sent < 64 << 20
    assert await fetch("/x", Names(a_test=[LOOPBACK]), max_bytes=1000, x=page(bytes(1000))) == bytes(1000)


async def test_a_host_that_says_nothing_or_drips():
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    for answer in (hang, drip):
        with pytest.raises(FetchError, match=r"has not come within 0.4 s, the limit \(HEROSERVE_IMAGE_TIMEOUT_S\)"):
            await fetch("/x", Names(a_test=[LOOPBACK]), timeout_s=0.4, max_bytes=1 << 20, x=answer)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (page(SECRET, status=404), "is answered with status 404"),
        (page(SECRET, status=500), "is answered with status 500"),
        (page(SECRET, status=204), "is answered with status 204"),
        (page(SECRET, status=304), "is answered with status 304"),
        (page(b""), "an empty file"),
        (page(SECRET, headers={"content-encoding": "gzip"}), "packed"),
    ],
)
async def test_what_is_no_file_is_refused_and_not_told(answer: Any, problem: str):
    with pytest.raises(FetchError) as refused:
        await fetch("/x", Names(a_test=[LOOPBACK]), x=answer)
    assert problem in refused.value.problem
    assert "s3cret" not in refused.value.problem


async def test_hosts_that_are_not_there():
    with pytest.raises(FetchError, match="its host's name is not known"):
        await fetch("/x", Names())
    with pytest.raises(FetchError, match="its host can't be reached"):
        # Nobody listens on port 9.
        await fetch("/x", Names(a_test=["127.0.0.9"]))


async def test_the_machines_own_names_need_no_thread_of_others():
    over = threading.Event()
    # More than there are, so that none is left for what asks asyncio for one.
    busy = [asyncio.ensure_future(asyncio.to_thread(over.wait, 60)) for _ in range(64)]
    try:
        async with server(x=page()) as port:
            fetcher = ImageFetcher(
                Hosts(parse_hosts(f"localhost:{port}")),
                Networks(["127.0.0.0/8", "::1/128"]),
                max_bytes=100,
                timeout_s=20,
            )
            try:
                assert await fetcher.get(fetcher.check(f"http://localhost:{port}/x")) == FILE
                with pytest.raises(FetchError, match="HEROSERVE_IMAGE_HOSTS does not name"):
                    fetcher.check(f"http://127.0.0.1:{port}/x")
            finally:
                await fetcher.close()
    finally:
        over.set()
        await asyncio.wait(busy)


async def test_what_breaks_off_or_is_no_http():
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n" + SECRET)
        writer.close()

    async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SECRET * 100 + b"\r\n\r\n")
        writer.close()

    for speak in (breaks, babbles):
        listener = await asyncio.start_server(speak, LOOPBACK, 0)
        port = listener.sockets[0].getsockname()[1]
        fetcher = ImageFetcher(
            Hosts(parse_hosts(f"127.0.0.1:{port}")), Networks(["127.0.0.0/8"]), max_bytes=100, timeout_s=20
        )
        with pytest.raises(FetchError, match="answer can't be read, or breaks off") as refused:
            await fetcher.get(fetcher.check(f"http://127.0.0.1:{port}/"))
        assert "s3cret" not in refused.value.problem
        await fetcher.close()
        listener.close()
        await listener.wait_closed()


async def test_no_proxy_of_the_environments(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.9:9")
    assert await fetch("/x", Names(a_test=[LOOPBACK]), x=page()) == FILE
