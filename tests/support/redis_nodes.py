"""Real Redises in company: a cluster, a master with a replica and a Sentinel, one behind TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from scripts.redis_server import RedisServer, executable, free_port
from tests.support.waiting import until

_SLOTS = 16384


def _await(condition: Callable[[], object], what: str) -> None:
    if not until(condition, 30, 0.02):
        raise AssertionError(f"not so after 30 s: {what}")


def _cluster_port() -> int:
    """One whose neighbour 10,000 above, where a cluster's nodes talk, is free too, and not for the kernel to give."""
    while (port := free_port()) + 10_000 > 32_767 or not _free(port + 10_000):
        pass
    return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def servers(
    folder: Path, count: int, options: dict[str, str] | None = None, port: Callable[[], int] = free_port
) -> Iterator[list[RedisServer]]:
    """So many, each in a folder of its own."""
    started: list[RedisServer] = []
    try:
        for index in range(count):
            own = folder / f"node-{index}"
            own.mkdir()
            started.append(RedisServer(port(), own, options))
            started[-1].start()
        yield started
    finally:
        for server in started:
            server.kill()


@contextmanager
def cluster(folder: Path, nodes: int = 3, more: dict[str, str] | None = None) -> Iterator[list[RedisServer]]:
    """Masters without replicas, each with its share of the slots."""
    options = {
        "cluster-enabled": "yes",
        "cluster-node-timeout": "2000",
        "cluster-config-file": "nodes.conf",
        **(more or {}),
    }
    with servers(folder, nodes, options, _cluster_port) as members, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Redis(port=member.port)) for member in members]
        for index, client in enumerate(clients):
            first, last = index * _SLOTS // nodes, (index + 1) * _SLOTS // nodes
            client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last))
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", members[0].port)
        for client in clients:
            _await(lambda client=client: _whole(client, nodes), "the cluster is whole")
        yield members


def _whole(client: Redis, nodes: int) -> bool:
    info = client.execute_command("CLUSTER INFO")
    told = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    return told["cluster_state"] == "ok" and int(told["cluster_known_nodes"]) == nodes


@contextmanager
def sentinel(folder: Path, master: RedisServer, name: str, password: str = "") -> Iterator[int]:
    """A Sentinel that watches this master and, alone, decides when another takes its place; its port."""
    port = free_port()
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {name} 127.0.0.1 {master.port} 1\n"
        f"sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 2000\n"
        + (f"requirepass {password}\n" if password else "")
    )
    with (folder / "sentinel.log").open("wb") as log:
        process = subprocess.Popen([executable(), str(configuration), "--sentinel"], stdout=log, stderr=log)
    try:
        with Redis(port=port, password=password or None) as client:
            _await(lambda: _ready(client, name), "the Sentinel knows its master")
            yield port
    finally:
        process.kill()
        process.wait()


def _ready(client: Redis, name: str) -> bool:
    try:
        state = client.sentinel_master(name)
    except OSError:
        return False
    except Exception as error:
        if "Connection" in type(error).__name__:
            return False
        raise
    return bool(state["is_master"])


def follow(replica: RedisServer, master: RedisServer) -> None:
    """Make one the other's replica; returns when it is in step."""
    with Redis(port=replica.port) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", str(master.port))
        _await(lambda: client.info("replication")["master_link_status"] == "up", "the replica is in step")


@asynccontextmanager
async def forwarded(target: list[int], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port whose new connections go to whichever port ``target`` holds: a name that leads elsewhere after a failover,
    or a Redis behind TLS."""

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target[0])
        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            back.close()

    async with listening(forward, tls) as port:
        yield port


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A port whose connections are served so, and are closed in the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    port = free_port()
    server = await asyncio.start_server(accepted, "127.0.0.1", port, ssl=tls)
    try:
        yield port
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """For localhost, signed by itself: its file, and a server's context with it."""
    key, own = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", own, "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    return own, context


def wait_for_replica(sentinel_port: int, name: str, password: str = "") -> None:
    """Until the Sentinel has found the master's replica, whom it would promote."""
    with Redis(port=sentinel_port, password=password or None) as client:
        # It looks at each of them every ten seconds, or every one where a master is down.
        def known() -> bool:
            return [one["master-link-status"] for one in client.sentinel_slaves(name)] == ["ok"]

        _await(known, "the Sentinel knows the replica, and that it is in step")
