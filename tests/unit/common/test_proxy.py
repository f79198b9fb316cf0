"""What Serve's proxies are set up with, as gRPC's own server takes it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from ray.serve._private import constants, grpc_util
from ray.serve._private.http_util import _apply_middlewares, validate_http_proxy_callback_return

from services.common import node, proxy
from services.common.ingress.front import Front
from services.common.ingress.http_door import HttpDoor


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Serve's own, as the module that starts the server sees them."""
    fresh = list(constants.DEFAULT_GRPC_SERVER_OPTIONS)
    monkeypatch.setattr(constants, "DEFAULT_GRPC_SERVER_OPTIONS", fresh)
    monkeypatch.setattr(grpc_util, "DEFAULT_GRPC_SERVER_OPTIONS", fresh)
    return fresh


def test_serve_starts_its_server_with_them(options: list[tuple[str, object]]) -> None:
    before = list(options)
    for _ in range(2):
        assert len(proxy.configure()) == 2
    assert options == [*before, *proxy.SERVER_OPTIONS]
    assert grpc_util.DEFAULT_GRPC_SERVER_OPTIONS is options


def test_serve_puts_what_stands_before_it_before_it(options: list[tuple[str, object]]) -> None:
    middlewares = validate_http_proxy_callback_return(proxy.configure())

    async def serves(*_: object) -> None:
        """Serve's proxy."""

    app: Any = _apply_middlewares(serves, middlewares)
    # Paths first, then keys, then Serve.
    assert isinstance(app, Front)
    assert isinstance(app._app, HttpDoor)


def test_another_serve_is_told_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delattr(constants, "DEFAULT_GRPC_SERVER_OPTIONS")
    assert len(proxy.configure()) == 2
    assert "idle connections stay open" in caplog.text


def test_node_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.os, "environ", {})
    node.set_environment()
    name = node.os.environ["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"]
    assert name == f"{proxy.configure.__module__}.{proxy.configure.__name__}"


async def test_a_connection_without_a_call_ends_and_one_with_a_call_does_not() -> None:
    """With their times made short: names that gRPC does not know it would pass over in silence."""
    short = [(name, value // 200 if "age" not in name else value) for name, value in proxy.SERVER_OPTIONS]

    async def echo(request: bytes, context: object) -> bytes:
        await asyncio.sleep(float(request))
        return request

    server = grpc.aio.server(options=short)
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.Service", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/a.Service/Echo")
        assert await call(b"2.0") == b"2.0"
        while channel.get_state() is grpc.ChannelConnectivity.READY:
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), 30)
        assert await call(b"0.01") == b"0.01"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while await asyncio.wait_for(reader.read(1 << 16), 30):
        pass
    writer.close()
    await server.stop(None)
