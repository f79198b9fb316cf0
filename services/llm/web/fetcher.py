"""Images by their addresses, from hosts that the operator names: what is fetched is bounded, and never told."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from services.common.shown import one_line
from services.llm.web.error import FetchError
from services.llm.web.hosts import Hosts, is_address
from services.llm.web.networks import Networks
from services.llm.web.resolver import CheckedResolver, Lookup, check_addresses

MAX_URL_CHARS = 8192
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
_PIECE = 64 << 10
# Of all requests that a replica has under way; others wait, within their time.
_CONNECTIONS = 64
# Packed ones are not asked for, since a small one may become any size.
_HEADERS = {"accept": "image/*", "accept-encoding": "identity", "user-agent": "heroserve"}


class ImageFetcher:
    """Asks for images, with neither cookies nor a proxy of the environment's.

    A name is looked up once a connection, all that it stands for must be allowed, and one of these very addresses is
    connected to: whoever owns the name can't have another one be checked than is used.

    Args:
        hosts: that may be asked; also those that redirect, and that are redirected to.
        networks: within which their addresses must be.
        max_bytes: of an image.
        timeout_s: longest to wait for one, redirects included.
        resolver: looks names up; the machine's own if not given.
    """

    def __init__(
        self,
        hosts: Hosts,
        networks: Networks,
        *,
        max_bytes: int,
        timeout_s: float,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._hosts = hosts
        self._networks = networks
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._resolver = CheckedResolver(resolver or Lookup(), networks)
        self._session: aiohttp.ClientSession | None = None

    def check(self, text: str) -> URL:
        """What a caller wrote, as a URL that may be asked for.

        Raises:
            FetchError: it is none.
        """
        if not self._hosts:
            raise FetchError(
                "is an address, and nothing is fetched here unless HEROSERVE_IMAGE_HOSTS names its host; send "
                "data:image/png;base64,... with the picture's file, or upload it to /v1/files"
            )
        if len(text) > MAX_URL_CHARS:
            raise FetchError(f"is an address of {len(text)} characters; the limit is {MAX_URL_CHARS}")
        try:
            url = URL(text)
        except ValueError:
            raise FetchError("is an address that can't be read; write https://HOST/PATH") from None
        self._check(url, "is an address")
        return url

    async def get(self, url: URL) -> bytes:
        """The image's file.

        Raises:
            FetchError: it can't be had, is too large or takes too long.
        """
        try:
            return await asyncio.wait_for(self._follow(url), self._timeout_s)
        except asyncio.TimeoutError:
            raise FetchError(
                f"has not come within {self._timeout_s:g} s, the limit (HEROSERVE_IMAGE_TIMEOUT_S)"
            ) from None
        except aiohttp.ClientError as error:
            # Their words may hold what was asked for, and what came.
            raise FetchError(f"can't be fetched: {_reason(error)}") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    async def _follow(self, url: URL) -> bytes:
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._open().get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await self._read(response)
                there = self._redirected(url, response.headers.get("location", ""))
            url = there
        raise FetchError(f"redirects more than {_MOST_REDIRECTS} times, which is the limit")

    def _redirected(self, url: URL, location: str) -> URL:
        if not location:
            raise FetchError("redirects, and does not say where")
        try:
            there = url.join(URL(location)) if len(location) <= MAX_URL_CHARS else URL()
        except ValueError:
            there = URL()
        if url.scheme == "https" and there.scheme == "http":
            raise FetchError("redirects from https to http, which is not followed")
        self._check(there, "redirects to an address")
        return there

    def _check(self, url: URL, what: str) -> None:
        host, port = url.raw_host, url.port
        if url.scheme not in ("http", "https") or not host or not port:
            raise FetchError(f"{what} that is none of http or https with a host")
        if "@" in url.raw_authority:
            raise FetchError(f"{what} with a user's name or a password in it, which are not sent")
        if not self._hosts.admits(url.scheme, host.lower(), port):
            shown = one_line(url.host_port_subcomponent or host, 120)
            raise FetchError(f"{what} at {shown}, which HEROSERVE_IMAGE_HOSTS does not name")
        if is_address(host):
            check_addresses([host], self._networks)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status != 200:
            raise FetchError(f"is answered with status {response.status}")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise FetchError("is answered with a packed file, which was not asked for")
        size = response.content_length or 0
        data = bytearray()
        if size <= self._max_bytes:
            async for piece in response.content.iter_chunked(_PIECE):
                data += piece
                if len(data) > self._max_bytes:
                    break
        if max(size, len(data)) > self._max_bytes:
            # What is still to come is not read.
            response.close()
            raise FetchError(
                f"is a file of more than {self._max_bytes} bytes, which is the limit (HEROSERVE_MAX_IMAGE_BYTES)"
            )
        if not data:
            raise FetchError("is an empty file")
        return bytes(data)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self._resolver, use_dns_cache=False, limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def _reason(error: Any) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its host's name is not known"
        case aiohttp.ClientSSLError():
            return "its host's certificate can't be trusted"
        case aiohttp.ClientConnectorError():
            return "its host can't be reached"
        case _:
            return "its host's answer can't be read, or breaks off"
