"""Between a client and applications of other names than it knows: as if they were alone in their Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from heroserve.ray_serve import APPLICATIONS

_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class _Relay(grpc.GenericRpcHandler):
    def __init__(self, channel: grpc.Channel, names: Mapping[str, str]) -> None:
        self._channel = channel
        self._names = names

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        application = self._names[APPLICATIONS[details.method.split("/")[1]]]

        def relay(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            sent = [
                (key, value) for key, value in context.invocation_metadata() if key not in ("application", "user-agent")
            ]
            # On the wire an answer is a stream of one.
            answer: Any = self._channel.unary_stream(details.method)(
                request, metadata=[*sent, ("application", application)], timeout=context.time_remaining()
            )
            try:
                yield from answer
            except grpc.RpcError:
                context.set_trailing_metadata(answer.trailing_metadata())
                context.abort(answer.code(), answer.details())

        return grpc.unary_stream_rpc_method_handler(relay)


@contextmanager
def relay(target: str, names: Mapping[str, str]) -> Iterator[str]:
    """Where calls go to the applications ``names`` at ``target``, by the names that the SDK has."""
    with grpc.insecure_channel(target, _ANY_SIZE) as channel, ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, (_Relay(channel, names),), options=_ANY_SIZE)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()
