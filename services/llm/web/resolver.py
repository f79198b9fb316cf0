"""Names to addresses, of which none may be one that is not allowed."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

from services.llm.web.error import FetchError
from services.llm.web.networks import Networks

# Names that are looked up at once; who wants another one waits, within his time.
_LOOKUPS = 8


class Lookup(AbstractResolver):
    """The machine's own, in threads of its own: names that nobody answers for hold up no other work's threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, "names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=protocol, flags=0
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedResolver(AbstractResolver):
    """Names to addresses that may be connected to, all of them or none."""

    def __init__(self, resolver: AbstractResolver, networks: Networks) -> None:
        self._resolver = resolver
        self._networks = networks

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        check_addresses([each["host"] for each in found], self._networks)
        return found

    async def close(self) -> None:
        await self._resolver.close()


def check_addresses(addresses: list[str], networks: Networks) -> None:
    """Raises:
    FetchError: one of them may not be connected to.
    """
    if not all(networks.admits(address) for address in addresses):
        # Which one is nobody's business outside.
        raise FetchError("is at a host with an address that is not public, nor within HEROSERVE_IMAGE_NETWORKS")
