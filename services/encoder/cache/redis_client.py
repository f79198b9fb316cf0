"""redis-py's clients: of one server, of a cluster, of whoever is master."""

from __future__ import annotations

from typing import Any

from redis import asyncio as aioredis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from services.encoder.cache.address import RedisAddress


def connect(address: RedisAddress, timeout_s: float) -> Any:
    """A client; nothing is sent yet.

    Args:
        address: where to.
        timeout_s: for connecting, and for each command.
    """
    reached: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        # Nothing that a later one has is used here, and what old servers and proxies speak is this.
        "protocol": 2,
        # One retry replaces a connection that died while idle. A time-out is not tried again: it is the limit.
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        **address.options,
    }
    login: dict[str, Any] = {"username": address.username or None, "password": address.password or None}
    tls: dict[str, Any] = {"ssl": True} if address.tls else {}
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        # Of a cluster that lost a node the others still have their entries, if it lets them.
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **reached, **login, **tls)
    if address.kind == "sentinel":
        own = {**reached, **tls, "password": address.sentinel_password or None}
        sentinels: Any = Sentinel(  # type: ignore[no-untyped-call]
            address.hosts, sentinel_kwargs=own, db=address.db, **reached, **login, **tls
        )
        return sentinels.master_for(address.master)
    if address.socket:
        return aioredis.Redis(unix_socket_path=address.socket, db=address.db, **reached, **login)
    ((host, port),) = address.hosts
    return aioredis.Redis(host=host, port=port, db=address.db, **reached, **login, **tls)


async def drop(client: Any) -> None:
    """Let go of connections that are not in use, and of what is known of nodes: the next ones resolve names anew."""
    if isinstance(client, RedisCluster):
        await client.nodes_manager.initialize()
    else:
        await client.connection_pool.disconnect(inuse_connections=False)


def node_of(client: RedisCluster, name: str) -> str:
    """Which node of a cluster has this string, as far as is known; empty before anything is."""
    nodes = client.nodes_manager.slots_cache.get(client.keyslot(name))
    return nodes[0].name if nodes else ""


def sentinels_of(client: Any) -> list[Any]:
    """Clients of the Sentinels that this one asks for its master, if it does."""
    pool = getattr(client, "connection_pool", None)
    return list(pool.sentinel_manager.sentinels) if isinstance(pool, SentinelConnectionPool) else []


async def close(client: Any) -> None:
    """Give its connections back, those to Sentinels too."""
    for one in (client, *sentinels_of(client)):
        await one.aclose()
