"""Names to addresses, of which none may be one that is not allowed."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from services.llm.web.error import FetchError
from services.llm.web.networks import Networks


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
