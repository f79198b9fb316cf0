"""Our part of Ray Serve's gRPC proxy, around the server that Serve makes and the handlers that it would."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import pickle
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from unittest.mock import Mock

import grpc
import pytest
from ray.exceptions import RayActorError
from ray.serve._private.common import gRPCRequest
from ray.serve._private.grpc_util import (
    get_grpc_response_status,
    gRPCGenericServer,
    set_grpc_code_and_details,
    start_grpc_server,
)
from ray.serve._private.proxy_request_response import gRPCProxyRequest
from ray.serve._private.utils import DEFAULT
from ray.serve.config import gRPCOptions
from ray.serve.exceptions import BackPressureError, gRPCStatusError

from heroserve import methods
from heroserve.v1.chat_pb2 import GenerateRequest, GenerateResponse
from heroserve.v1.encoder_pb2 import DescribeEncoderRequest, EncoderDescription, EncodeRequest, VisualTokens
from heroserve.v1.tokens_pb2 import Image
from scripts.redis_server import free_port
from services.common import errors, ingress, node
from services.common.grpc_call import GrpcCall
from services.common.ingress import readiness

CHAT = methods.GENERATE.service
STUBS = (
    "heroserve.v1.encoder_pb2_grpc.add_VisionEncoderServicer_to_server",
    "heroserve.v1.chat_pb2_grpc.add_VisionChatServicer_to_server",
)


@dataclass
class Proxy:
    """Serve's gRPC server with handlers that tell what a replica would be told."""

    port: int
    seen: list[GrpcCall]
    requests: list[gRPCProxyRequest]
    cancelled: asyncio.Event
    callers: list[str] = field(default_factory=list)
    failure: Exception | None = None

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"localhost:{self.port}")


@asynccontextmanager
async def proxy(servicers) -> AsyncIterator[Proxy]:
    here = Proxy(free_port(), [], [], asyncio.Event())

    def factory(service_method: str, streaming_type: str):
        def take_up(request, context) -> gRPCProxyRequest:
            made = gRPCProxyRequest(request, context, service_method, stream=streaming_type == "unary_stream")
            # As Serve sends it to a replica.
            told = pickle.loads(pickle.dumps(made.ray_serve_grpc_context))
            assert isinstance(pickle.loads(made.serialized_replica_arg()), gRPCRequest)
            made.send_request_id(made.request_id or "rays")
            here.seen.append(GrpcCall(service_method, told, request))
            here.requests.append(made)
            return made

        def fails(context) -> bool:
            if here.failure:
                set_grpc_code_and_details(context, get_grpc_response_status(here.failure, None, "id"))
            return here.failure is not None

        async def unary(request, context):
            made = take_up(request, context)
            if fails(context):
                return b""
            made.ray_serve_grpc_context.set_code(grpc.StatusCode.NOT_FOUND)
            made.ray_serve_grpc_context.set_details("gone")
            made.ray_serve_grpc_context._set_on_grpc_context(context)
            return b""

        async def stream(request, context):
            made = take_up(request, context)
            made.ray_serve_grpc_context._set_on_grpc_context(context)
            if fails(context):
                return
            yield GenerateResponse(delta="a").SerializeToString()
            for message in request.messages:
                try:
                    # A wait, as for Serve's next result: only a cancelled one cancels the replica's work.
                    await asyncio.sleep(0.001 if message.parts else 60)
                except asyncio.CancelledError:
                    # As Serve's log does.
                    here.callers.append(made.client)
                    here.cancelled.set()
                    break
                yield GenerateResponse(delta="a" * len(message.parts[0].image.data)).SerializeToString()

        return {"unary_unary": unary, "unary_stream": stream}.get(streaming_type, unary)

    options = gRPCOptions(port=here.port, grpc_servicer_functions=list(servicers))
    task, server = await start_grpc_server(factory, options, event_loop=asyncio.get_running_loop())
    try:
        yield here
    finally:
        await server.stop(None)
        await task
        # What is given up for callers that went away ends by itself, and not with the loop.
        if rest := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(rest, timeout=30)


def describe(channel, **call):
    rpc = channel.unary_unary(
        methods.DESCRIBE_ENCODER.path, DescribeEncoderRequest.SerializeToString, EncoderDescription.FromString
    )
    return rpc(DescribeEncoderRequest(), **call)


def generate(channel, request=None, **call):
    rpc = channel.unary_stream(methods.GENERATE.path, GenerateRequest.SerializeToString, GenerateResponse.FromString)
    return rpc(request or GenerateRequest(), **call)


async def test_an_id_goes_to_the_replica_and_back_at_once():
    sent = (("request_id", "mine"), ("application", "encoder"), ("traceparent", "t"), ("blob-bin", b"\xff"))
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        call = describe(channel, metadata=sent)
        assert ("request_id", "mine") in list(await call.initial_metadata())
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        # What Serve itself sets still comes through.
        assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.NOT_FOUND, "gone")
        assert ("request_id", "mine") in list(failed.value.trailing_metadata())
    (seen,), (made,) = here.seen, here.requests
    assert (seen.method, seen.request_id, seen.header("traceparent")) == (
        "heroserve.v1.VisionEncoder/Describe",
        "mine",
        "t",
    )
    assert (made.app_name, made.request_id) == ("encoder", "mine")
    assert set(sent) <= set(made.ray_serve_grpc_context.invocation_metadata())


async def test_a_replica_is_told_which_service_was_meant():
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        async for _ in generate(channel, metadata=(("heroserve-method", "forged"),)):
            pass
    (seen,) = here.seen
    assert seen.asked == seen.method == methods.GENERATE.path.strip("/")


async def test_serve_is_told_of_a_requests_image_whatever_its_caller_says():
    """By what its router goes by; without an image by nothing."""
    data, forged = b"a picture", (("session_id", "forged"),)
    digest = hashlib.sha256(data).hexdigest()
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        rpc = channel.unary_unary(methods.ENCODE.path, EncodeRequest.SerializeToString, VisualTokens.FromString)
        for image in (Image(data=data), Image(digest=digest)):
            await rpc(EncodeRequest(image=image), metadata=forged).code()
        await describe(channel, metadata=forged).code()
    *images, other = (made.session_id for made in here.requests)
    assert images == [digest] * 2
    assert other is DEFAULT.VALUE


@pytest.mark.parametrize(
    ("raised", "status", "told"),
    [
        (
            AttributeError(
                "Traceback (most recent call last):\n ... Tried to call a method 'Encode' that does not exist."
            ),
            grpc.StatusCode.UNIMPLEMENTED,
            "not served here",
        ),
        (
            # The same, where the proxy asks the replica by gRPC.
            RuntimeError("Unexpected error (StatusCode.OK): ."),
            grpc.StatusCode.UNIMPLEMENTED,
            "not served here",
        ),
        (
            RuntimeError("\x1b[36mray::ServeReplica\x1b[39m Traceback (most recent call last):\n secret"),
            grpc.StatusCode.INTERNAL,
            "internal error; the service's log has the details",
        ),
        (
            RayActorError(),
            grpc.StatusCode.UNAVAILABLE,
            "a replica died while it served this; try again",
        ),
    ],
    ids=["no such method", "no such method, by gRPC", "traceback", "dead replica"],
)
async def test_no_traceback_of_rays_goes_to_a_caller(raised, status, told):
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        here.failure = raised
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await describe(channel)
    assert (failed.value.code(), failed.value.details()) == (status, told)


async def test_a_streams_id_comes_before_its_first_response():
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        call = generate(channel, metadata=(("request_id", "mine"),))
        assert ("request_id", "mine") in list(await call.initial_metadata())
        assert [response.delta async for response in call] == ["a"]
        assert ("request_id", "mine") in list(await call.trailing_metadata())


async def test_what_replicas_would_refuse_is_refused_here_with_a_hint_and_told_to_the_next_that_passes():
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        held = [generate(channel, GenerateRequest(messages=[{}])) for _ in range(5)]
        for call in held:
            await call.read()
        here.failure = BackPressureError(num_queued_requests=9, max_queued_requests=9)
        for _ in range(3):
            refused = generate(channel, metadata=(("request_id", "mine"),))
            assert await refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        # The last of them was not seen by any replica.
        assert len(here.seen) == 5 + 2
        trailing = dict(await refused.trailing_metadata())
        assert trailing["request_id"] == dict(await refused.initial_metadata())["request_id"] == "mine"
        assert trailing["grpc-retry-pushback-ms"] == "1000"
        here.failure = None
        held[0].cancel()
        await asyncio.wait_for(here.cancelled.wait(), 30)
        forged = (("heroserve-refused", "OK=1000"),)
        assert [response.delta async for response in generate(channel, metadata=forged)] == ["a"]
    # Two that Serve itself had no room for, and one that did not get so far.
    assert here.seen[-1].refused_before == {"RESOURCE_EXHAUSTED/serve": 2, "RESOURCE_EXHAUSTED/proxy": 1}


async def test_at_the_limit_another_keys_callers_get_through(monkeypatch):
    monkeypatch.setenv("HEROSERVE_API_KEYS", "greedy,polite")

    def of(key, scope="", **call):
        return generate(channel, metadata=(("authorization", f"Bearer {key}"), ("heroserve-scope", scope)), **call)

    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        endless = GenerateRequest(messages=[{}])
        held = [of("greedy", request=endless) for _ in range(6)]
        for call in held:
            await call.read()
        here.failure = BackPressureError(num_queued_requests=9, max_queued_requests=9)
        for _ in range(2):
            assert await of("greedy").code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        here.failure = None
        assert await of("greedy").code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert [response.delta async for response in of("polite")] == ["a"]
        # Another of the greedy key's own tenants does too.
        assert [response.delta async for response in of("greedy", "another")] == ["a"]
        for call in held:
            call.cancel()


async def test_a_keys_quotas_are_counted_before_a_request_is_read_and_told_as_quotas(monkeypatch):
    monkeypatch.setenv("HEROSERVE_API_KEYS", "first,second")
    monkeypatch.setenv("HEROSERVE_KEY_RATE", "0.01")
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        first, second = ((("authorization", f"Bearer {key}"),) for key in ("first", "second"))
        assert [response.delta async for response in generate(channel, metadata=first)] == ["a"]
        # Nothing of this one's request was sent.
        call = channel.stream_stream(methods.GENERATE.path, None, None)(metadata=first)
        assert await call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await call.details() == "this API key's quota is 0.01 requests a second; try again in 100 s"
        assert 90_000 < int(dict(await call.trailing_metadata())["grpc-retry-pushback-ms"]) <= 100_000
        assert [response.delta async for response in generate(channel, metadata=second)] == ["a"]
    assert here.seen[-1].refused_before == {"RESOURCE_EXHAUSTED/rate": 1}


async def test_a_keys_requests_at_once_are_bounded_and_free_when_they_end(monkeypatch):
    monkeypatch.setenv("HEROSERVE_API_KEYS", "first,second")
    monkeypatch.setenv("HEROSERVE_KEY_CONCURRENCY", "1")
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        first, second = ((("authorization", f"Bearer {key}"),) for key in ("first", "second"))
        held = generate(channel, GenerateRequest(messages=[{}]), metadata=first)
        await held.read()
        refused = generate(channel, metadata=first)
        assert await refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "this API key's quota is 1 requests at once" in await refused.details()
        assert dict(await refused.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        assert [response.delta async for response in generate(channel, metadata=second)] == ["a"]
        assert here.seen[-1].refused_before == {"RESOURCE_EXHAUSTED/concurrency": 1}
        held.cancel()
        await asyncio.wait_for(here.cancelled.wait(), 30)
        # What can't be parsed, and what is refused, holds none.
        broken = channel.unary_stream(methods.GENERATE.path, None, None)
        for _ in range(3):
            assert await broken(b"\xff", metadata=first).code() == grpc.StatusCode.INVALID_ARGUMENT
        assert [response.delta async for response in generate(channel, metadata=first)] == ["a"]


async def test_who_is_refused_in_a_hurry_keeps_no_patient_caller_away():
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        held = [generate(channel, GenerateRequest(messages=[{}]), timeout=60) for _ in range(5)]
        for call in held:
            await call.read()
        here.failure = BackPressureError(num_queued_requests=9, max_queued_requests=9)
        for _ in range(10):
            assert await generate(channel, timeout=7).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        here.failure = None
        assert await generate(channel, timeout=7).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert [response.delta async for response in generate(channel, timeout=60)] == ["a"]
        for call in held:
            call.cancel()


@pytest.mark.parametrize("sent", [[], ["two words"], ["x" * 200]], ids=str)
async def test_a_missing_or_unusable_id_is_replaced_by_one(sent):
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        call = generate(channel, metadata=[("request_id", name) for name in sent])
        (told,) = [value for name, value in await call.initial_metadata() if name == "request_id"]
        assert [response.delta async for response in call] == ["a"]
    assert len(told) == 32
    assert (here.seen[0].request_id, here.requests[0].request_id) == (told, told)


async def test_a_deadline_goes_to_the_replica_and_none_can_be_forged():
    forged = (("heroserve-deadline", str(time.time() + 9999)),)
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        async for _ in generate(channel, metadata=forged, timeout=20):
            pass
        async for _ in generate(channel, metadata=forged):
            pass
    # gRPC rounds what it sends up.
    assert 15 < here.seen[0].remaining_s <= 21
    assert here.seen[1].remaining_s == math.inf


async def test_a_caller_that_goes_away_cancels_serves_handler():
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        call = generate(channel, GenerateRequest(messages=[{}]))
        await call.read()
        assert not here.cancelled.is_set()
        call.cancel()
        await asyncio.wait_for(here.cancelled.wait(), 30)


async def test_a_caller_that_goes_away_while_a_response_is_written_cancels_it_too():
    large = GenerateRequest(messages=[{"parts": [{"image": {"data": b"x" * 500_000}}]}] * 20)
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        call = generate(channel, large)
        await call.read()
        await asyncio.sleep(0.5)
        # What nobody reads fills gRPC's window: the handler is not waited for, but stands behind a write.
        assert not here.cancelled.is_set()
        call.cancel()
        await asyncio.wait_for(here.cancelled.wait(), 30)


async def test_with_the_stubs_own_functions_a_replica_still_has_the_callers_id():
    async with proxy(STUBS) as here, here.channel() as channel:
        call = generate(channel, metadata=(("request_id", "mine"),), timeout=20)
        assert ("request_id", "mine") not in list(await call.initial_metadata())
        assert [response.delta async for response in call] == ["a"]
    assert (here.seen[0].request_id, here.seen[0].remaining_s) == ("mine", math.inf)


@pytest.mark.parametrize(
    ("sent", "let_in"),
    [
        ("Bearer right", True),
        ("bearer second", True),
        ("Bearer wrong", False),
        ("right", False),
        ("Basic right", False),
        ("", False),
        (None, False),
    ],
)
async def test_a_key_is_checked_before_the_request_is_read(sent, let_in, monkeypatch):
    monkeypatch.setenv("HEROSERVE_API_KEYS", "right, second")
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        metadata = [("request_id", "mine")] + ([] if sent is None else [("authorization", sent)])
        call = channel.stream_stream(methods.GENERATE.path, None, None)(metadata=metadata)
        if let_in:
            await call.write(b"")
            await call.done_writing()
            assert len([response async for response in call]) == 1
            assert await call.code() == grpc.StatusCode.OK
        else:
            # Nothing was sent yet.
            assert await call.code() == grpc.StatusCode.UNAUTHENTICATED
            assert "authorization" in await call.details()
            for _ in range(20):
                if await call.initial_metadata():
                    break
                # gRPC's client forgets it where it hears of the end first: both come at once.
                call = channel.stream_stream(methods.GENERATE.path, None, None)(metadata=metadata)
                assert await call.code() == grpc.StatusCode.UNAUTHENTICATED
            assert dict(await call.initial_metadata())["request_id"] == "mine"
        assert len(here.seen) == let_in


async def test_who_has_no_key_is_counted_by_the_next_that_has(monkeypatch):
    monkeypatch.setenv("HEROSERVE_API_KEYS", "right")
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        for _ in range(3):
            assert await generate(channel).code() == grpc.StatusCode.UNAUTHENTICATED
        let_in = generate(channel, metadata=(("authorization", "Bearer right"),))
        assert [response.delta async for response in let_in] == ["a"]
    assert here.seen[0].refused_before == {"UNAUTHENTICATED": 3}


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [
        (methods.ENCODE.path, "UNIMPLEMENTED", f"{methods.ENCODE.path[1:]} is not served here, {CHAT} is"),
        (f"/{CHAT}/Think", "UNIMPLEMENTED", f"{CHAT}/Think is not served here, {CHAT} is"),
        ("/nonsense", "UNIMPLEMENTED", f"nonsense is not served here, {CHAT} is"),
        ("", "UNIMPLEMENTED", f"'' names no method; served here are {CHAT}/Generate, {CHAT}/Describe"),
        ("/", "UNIMPLEMENTED", f"'/' names no method; served here are {CHAT}/Generate, {CHAT}/Describe"),
        (f"/{CHAT}/", "UNIMPLEMENTED", f"'/{CHAT}/' names no method; served here are {CHAT}/Generate, {CHAT}/Describe"),
        (f"/{CHAT}", "UNIMPLEMENTED", f"'/{CHAT}' names no method; served here are {CHAT}/Generate, {CHAT}/Describe"),
        ("/x/" + "y" * 5000, "UNIMPLEMENTED", f"'x/{'y' * 55}...{'y' * 58}' is not served here, {CHAT} is"),
        (methods.GENERATE.path, "INVALID_ARGUMENT", "request: is no heroserve.v1.GenerateRequest"),
        (methods.DESCRIBE.path, "INVALID_ARGUMENT", "request: is no heroserve.v1.DescribeChatRequest"),
    ],
)
async def test_bytes_and_names_that_are_none_of_ours(path, code, told):
    async with proxy([node.SERVICERS["llm"]]) as here, here.channel() as channel:
        call = channel.unary_stream(path, None, None)(b"\xff\xff\xff")
        assert (await call.code()).name == code
        assert await call.details() == told
    assert not here.seen


async def test_what_serve_itself_answers_is_answered_still():
    async with proxy(node.SERVICERS.values()) as here, here.channel() as channel:
        reflection = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", None, None
        )()
        # list_services, with any text.
        await reflection.write(b"\x3a\x01*")
        assert CHAT.encode() in await reflection.read()
        reflection.cancel()


async def test_serves_server_is_left_as_it_was():
    def factory(service_method, streaming_type):
        return None

    server = gRPCGenericServer(factory)
    ingress.add_chat(Mock(), server)
    ingress.add_encoder(Mock(), server)
    assert server.service_handler_factory is factory
    assert len(server.generic_rpc_handlers) == 1


def test_another_make_of_server_is_served_as_it_is(caplog):
    server = Mock(spec=["add_generic_rpc_handlers", "add_registered_method_handlers"])
    with caplog.at_level(logging.WARNING):
        ingress.add_encoder(Mock(), server)
    assert server.add_generic_rpc_handlers.called
    assert "another way" in caplog.text


@pytest.mark.parametrize(("error", "kept"), [(errors.NotFound("x"), False), (errors.Internal("bug"), True)])
async def test_what_serve_raises_for_a_refusal_is_filtered_in_its_proxy(error, kept, monkeypatch):
    monkeypatch.setattr(logging.getLogger("ray.serve"), "filters", [])
    ingress.add_chat(Mock(), gRPCGenericServer(Mock()))
    raised = gRPCStatusError(original_exception=error, code=error.code, details=error.message)
    record = logging.LogRecord("ray.serve", logging.ERROR, __file__, 1, "x", (), (type(raised), raised, None))
    assert bool(logging.getLogger("ray.serve").filter(record)) is kept


SERVES = "/ray.serve.RayServeAPIService/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/"
# What needs no key: it tells nothing that a caller could not see, and costs nothing.
FOR_ALL = {f"{HEALTH}Check", f"{HEALTH}Watch", f"{SERVES}Healthz", REFLECTION}
FOR_SOME = {f"{SERVES}ListApplications"} | {
    method.path
    for method in (
        methods.ENCODE,
        methods.ENCODE_STREAM,
        methods.DESCRIBE_ENCODER,
        methods.GENERATE,
        methods.DESCRIBE,
    )
}
UNKNOWN = {f"{HEALTH}List", f"{SERVES}Shutdown", "/grpc.channelz.v1.Channelz/GetServers", "/", "/x/y/z"}


@pytest.mark.parametrize("port", node.SERVICERS)
@pytest.mark.parametrize("key", [None, "Bearer wrong", "Bearer right"])
async def test_every_rpc_ends_with_a_status_of_our_own(port: str, key: str | None, monkeypatch: pytest.MonkeyPatch):
    """Bytes that are no message, to everything that a port might serve."""
    monkeypatch.setenv("HEROSERVE_API_KEYS", "right")
    monkeypatch.setattr(ingress, "HERE", readiness.Readiness())
    metadata = [("authorization", key)] if key else []
    served = {path for path in FOR_SOME if (methods.GENERATE.service in path) == (port == "llm")}
    served.add(f"{SERVES}ListApplications")
    async with proxy([node.SERVICERS[port]]) as here, here.channel() as channel:
        for path in FOR_ALL | FOR_SOME | UNKNOWN:
            call = channel.unary_stream(path, None, None)(b"\xff\xff\xff", metadata=metadata, timeout=30)
            if path in FOR_ALL:
                expected = "INVALID_ARGUMENT"
            elif key != "Bearer right":
                expected = "UNAUTHENTICATED"
            else:
                expected = "INVALID_ARGUMENT" if path in served else "UNIMPLEMENTED"
            details = await call.details()
            assert ((await call.code()).name, path) == (expected, path), details
            assert details
            assert not any(word in details for word in ("Traceback", "class", "Error", "!"))
    assert not here.requests


async def test_who_has_no_key_may_ask_for_health_and_for_what_there_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEROSERVE_API_KEYS", "right")
    async with proxy([node.SERVICERS["llm"]]) as here, here.channel() as channel:
        assert await channel.unary_unary(f"{HEALTH}Check", None, None)(b"")
        # Of the two of Serve's own it answers the one.
        for name in ("Healthz", "ListApplications"):
            await channel.unary_unary(f"{SERVES}{name}", None, None)(b"").code()
        assert [made.is_health_request for made in here.requests] == [True]
