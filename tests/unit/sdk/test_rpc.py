"""Every RPC of the wire contract has its wrapper, and all go out the same way."""

import inspect
import itertools
import math
import pathlib

import grpc
import pytest
from google.protobuf import message_factory

import heroserve
from heroserve import call, methods
from heroserve.transport import channel
from heroserve.v1 import chat_pb2, encoder_pb2

RPCS = {
    f"/{service.full_name}/{rpc.name}": rpc
    for file in (chat_pb2, encoder_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for rpc in service.methods
}
METHODS = {m.path: m for m in vars(methods).values() if isinstance(m, methods.Method)}


def use_everything(client):
    client.ask(b"image", "What?")
    client.encode(b"image", "What?")
    client.encode_stream(b"image", "What?").read()
    client.describe()
    client.describe_encoder()


def test_the_method_table_is_the_proto():
    assert METHODS.keys() == RPCS.keys()
    for path, rpc in RPCS.items():
        assert METHODS[path].request is message_factory.GetMessageClass(rpc.input_type)
        assert METHODS[path].response is message_factory.GetMessageClass(rpc.output_type)
        assert METHODS[path].streams == rpc.server_streaming


def test_every_rpc_has_a_wrapper_that_uses_the_choke_point(client, peer, monkeypatch):
    ids = []
    init = call.Call.__init__

    def spy(self, *args, **kwargs):
        init(self, *args, **kwargs)
        ids.append(self.request_id)

    monkeypatch.setattr(call.Call, "__init__", spy)
    use_everything(client)
    assert {seen.rpc for seen in peer.seen} == RPCS.keys()
    assert [seen.metadata["request_id"] for seen in peer.seen] == ids


def test_no_other_file_makes_an_rpc():
    sources = [path for path in pathlib.Path(heroserve.__file__).parent.rglob("*.py") if path.parent.name != "v1"]
    makers = {s.name for s in sources if any(f".{kind}(" in s.read_text() for kind in ("unary_unary", "unary_stream"))}
    assert makers == {"rpc.py", "aio_rpc.py"}


def test_metadata(connect, peer):
    use_everything(connect(peer))
    assert all("authorization" not in seen.metadata for seen in peer.seen)
    use_everything(connect(peer, api_key="s3cret"))
    assert all(seen.metadata["authorization"] == "Bearer s3cret" for seen in peer.seen[5:])
    for seen in peer.seen:
        assert seen.metadata["application"] == ("llm" if "VisionChat" in seen.rpc else "encoder")


TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=1,b=2"}


def test_a_caller_names_the_request_and_its_trace(client, peer):
    given = {"request_id": "ours-7", "trace": TRACE}
    peer.script.append(grpc.StatusCode.UNAVAILABLE)  # every attempt carries them
    client.encode(b"image", "What?", **given)
    client.describe(**given)
    client.describe_encoder(**given)
    request = heroserve.generate_request([heroserve.user("What?")])
    streams = [client.stream(None, "What?", **given), client.generate(request, **given)]
    answers = [client.ask(None, "What?", **given), *(stream.read() for stream in streams)]
    assert len(peer.seen) == 7
    for seen in peer.seen:
        assert seen.metadata["request_id"] == "ours-7"
        assert TRACE.items() <= seen.metadata.items()
    assert {named.request_id for named in (*streams, *answers)} == {"ours-7"}


def test_a_request_without_a_name_gets_one_that_its_answer_tells(client, peer):
    streams = [client.stream(None, "What?") for _ in range(2)]
    ids = [stream.request_id for stream in streams]  # before anything was sent
    answers = [stream.read() for stream in streams]
    assert len(set(ids)) == 2
    assert ids == [answer.request_id for answer in answers] == [seen.metadata["request_id"] for seen in peer.seen]


def test_our_name_stands_whatever_the_service_says(client, peer):
    def renamed(request, context):
        context.send_initial_metadata((("request_id", "theirs"),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")

    peer.script.append(renamed)
    with pytest.raises(heroserve.InvalidArgument) as caught:
        client.encode(b"image", "What?", request_id="ours")
    assert caught.value.request_id == "ours"


@pytest.mark.parametrize("request_id", ["", "two words", "line\nbreak", "umläut", "x" * 129])
def test_a_name_that_cannot_be_sent_is_refused(client, peer, request_id):
    with pytest.raises(ValueError, match="request_id"):
        client.stream(None, "What?", request_id=request_id)
    with pytest.raises(ValueError, match="request_id"):
        client.encode(b"image", "What?", request_id=request_id)
    assert peer.seen == []


@pytest.mark.parametrize(
    "trace",
    [
        {"authorization": "Bearer x"},
        {"Application": "llm"},
        {"request_id": "x"},
        {"grpc-timeout": "1S"},
        {"trace-bin": "x"},
        {"a b": "c"},
        {"traceparent": "line\nbreak"},
    ],
    ids=str,
)
def test_a_trace_brings_nothing_but_its_own_headers(client, peer, trace):
    with pytest.raises(ValueError, match="trace"):
        client.describe(trace=trace)
    assert peer.seen == []


def test_each_service_has_its_target(connect, serve):
    llm, encoder = serve(), serve()
    use_everything(connect(llm, encoder_target=encoder.target))
    assert all("VisionChat" in seen.rpc for seen in llm.seen)
    assert all("VisionEncoder" in seen.rpc for seen in encoder.seen)
    assert (len(llm.seen), len(encoder.seen)) == (2, 3)


def test_timeouts(connect, peer):
    client = connect(peer, timeout_s=50)
    client.describe()
    client.describe(timeout_s=7)
    assert 40 < peer.seen[0].remaining_s < 50.5
    assert 5 < peer.seen[1].remaining_s < 7.5


def test_calls_are_spread_over_the_addresses_of_a_name(connect, serve):
    one, other = serve(), serve()
    whole = serve()
    whole.target = f"ipv4:{one.target},{other.target}"
    client = connect(whole)
    for _ in itertools.repeat(None, 20):
        client.describe()
    assert len(one.seen) + len(other.seen) == 20
    assert min(len(one.seen), len(other.seen)) >= 5


def test_large_messages_pass_both_ways(connect, peer):
    def large(request, context):
        return encoder_pb2.VisualTokens(features=encoder_pb2.Features(data=b"\0" * (8 << 20)))

    peer.script.append(large)
    tokens = connect(peer).encode(b"i" * (6 << 20), "What?")  # gRPC's default limit is 4 MiB
    assert len(tokens.features.data) == 8 << 20


def test_a_reply_over_the_limit_is_not_asked_for_again(connect, peer, monkeypatch):
    monkeypatch.setattr(channel, "OPTIONS", (("grpc.max_receive_message_length", 100),))
    with pytest.raises(heroserve.ResourceExhausted, match="100"):
        connect(peer).encode(b"image", "What?")
    assert len(peer.seen) == 1


@pytest.mark.parametrize(
    ("target", "resolved"),
    [
        ("llm.example:9001", "dns:///llm.example:9001"),
        ("[::1]:9001", "dns:///[::1]:9001"),
        ("dns:9001", "dns:///dns:9001"),
        ("dns:///llm:9001", "dns:///llm:9001"),
        ("unix:/run/llm.sock", "unix:/run/llm.sock"),
        ("ipv4:1.2.3.4:5,6.7.8.9:5", "ipv4:1.2.3.4:5,6.7.8.9:5"),
    ],
)
def test_targets(target, resolved):
    assert channel.address(target) == resolved


@pytest.mark.parametrize("target", ["http://llm:8001", "https://llm", ""])
def test_a_target_that_is_none_is_refused_at_once(target):
    for client in (heroserve.Client, heroserve.AsyncClient):
        with pytest.raises(ValueError, match="HOST:PORT"):
            client(target)
        with pytest.raises(ValueError, match="HOST:PORT"):
            client(encoder_target=target)


def test_tls():
    assert channel.credentials(False) is None
    assert isinstance(channel.credentials(True), grpc.ChannelCredentials)
    own = grpc.ssl_channel_credentials(b"")
    assert channel.credentials(own) is own


def test_tls_is_spoken(connect, peer):
    with pytest.raises(heroserve.Unavailable):  # the peer speaks plaintext
        connect(peer, tls=True, timeout_s=5).describe()
    assert peer.seen == []


def test_a_closed_client_says_so(connect, peer):
    client = connect(peer)
    client.describe()
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.describe()
    with pytest.raises(RuntimeError, match="closed"):
        client.ask(None, "What?")


def test_the_key_is_not_shown():
    from heroserve.transport.peer import Peer

    assert "s3cret" not in repr(Peer("a:1", "s3cret", False, 1.0, heroserve.RetryPolicy(), 60.0))


@pytest.mark.parametrize("kind", [heroserve.Client, heroserve.AsyncClient])
@pytest.mark.parametrize("key", ["s3cret\n", "s3cr\u00e9t", "s3\0cret", b"s3cret"])
def test_a_key_that_no_header_holds(kind, key):
    with pytest.raises(ValueError, match="api_key must be printable ASCII") as caught:
        kind(api_key=key)
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize("kind", [heroserve.Client, heroserve.AsyncClient])
def test_ages_of_connections(kind):
    assert inspect.signature(kind).parameters["max_connection_age_s"].default == 60
    for age in (0, -1, math.nan, -math.inf):
        with pytest.raises(ValueError, match="max_connection_age_s"):
            kind(max_connection_age_s=age)
    kind(max_connection_age_s=math.inf)


@pytest.mark.parametrize("forever", [math.inf, 1e300])
def test_a_call_without_end_is_one_with_the_services_own(peer, forever):
    with heroserve.Client(peer.target, timeout_s=forever) as client:
        assert client.ask(b"image", "What?", timeout_s=forever).text
        assert peer.seen[-1].remaining_s > 86_400
    with heroserve.Client(peer.target) as client, pytest.raises(ValueError, match="timeout_s must be a number"):
        client.describe(timeout_s=math.nan)
