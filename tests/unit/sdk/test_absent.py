"""Where nobody is there yet, a call waits for its service: to its deadline, and no longer."""

import socket
import threading
import time
from contextlib import contextmanager

import grpc
import pytest

import heroserve
from heroserve import RetryPolicy
from heroserve.failure import setback_of

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def nobody(peer):
    """A peer that has left its port."""
    peer.stop()
    return peer


@pytest.mark.parametrize(
    ("policy", "absent_s"),
    [(RetryPolicy(attempts=2, initial_backoff_s=0.01, max_backoff_s=0.1), 1.0), (RetryPolicy(), 4.0)],
    ids=["quick", "default"],
)
def test_a_port_on_which_nobody_listens_for_longer_than_all_pauses_together(connect, nobody, serve, policy, absent_s):
    client = connect(nobody, retry=policy)
    back = []
    timer = threading.Timer(absent_s, lambda: back.append(serve(address=nobody.target)))
    timer.start()
    assert client.ask(None, "What?", timeout_s=30).text == "A red [bold]bus"
    timer.join()
    assert len(back[0].seen) == 1


def test_it_waits_to_the_deadline_and_tells_the_cause(connect, nobody):
    client = connect(nobody)
    for call in (client.describe, lambda **options: client.ask(None, "What?", **options)):
        start = time.monotonic()
        with pytest.raises((heroserve.Unavailable, heroserve.DeadlineExceeded), match="refused"):
            call(timeout_s=1.0)
        assert 0.8 < time.monotonic() - start < 3


def test_where_nobody_was_is_told(connect, nobody):
    client = connect(nobody, retry=RetryPolicy(attempts=1))
    for call, option in (
        (client.describe, ""),
        (lambda: client.ask(None, "What?"), ""),
        (client.describe_encoder, " (encoder_target)"),
        (lambda: client.encode(b"image", "What?"), " (encoder_target)"),
    ):
        with pytest.raises(heroserve.Unavailable) as failed:
            call()
        told = str(failed.value)
        assert told.startswith(f"nobody answers at {nobody.target}{option}: ")
        assert "last error" not in told
        assert setback_of(failed.value.code, failed.value.details) == "absent"


@pytest.mark.parametrize("policy", [RetryPolicy(attempts=1), RetryPolicy(attempts=3, wait_for_service=False)], ids=str)
def test_who_does_not_want_to_wait_does_not(connect, nobody, policy):
    start = time.monotonic()
    with pytest.raises(heroserve.Unavailable, match="refused"):
        connect(nobody, retry=policy).describe(timeout_s=60)
    assert time.monotonic() - start < 20


def test_a_name_that_is_not_known_yet(connect, peer):
    peer.target = "heroserve-of-nowhere.invalid:9001"
    start = time.monotonic()
    with pytest.raises((heroserve.Unavailable, heroserve.DeadlineExceeded)):
        connect(peer).describe(timeout_s=1.0)
    assert time.monotonic() - start > 0.8


def test_absence_does_not_use_up_attempts(connect, peer, serve):
    """Neither before it nor after: a service that comes back may still lose a call or two."""
    client = connect(peer, retry=RetryPolicy(attempts=3, initial_backoff_s=0.01, max_backoff_s=0.05))
    peer.script.append(UNAVAILABLE)

    def leave():
        while not peer.seen:
            time.sleep(0.005)
        peer.stop()
        time.sleep(0.5)
        back.append(serve(address=peer.target))

    back = []
    leaving = threading.Thread(target=leave)
    leaving.start()
    client.describe(timeout_s=30)
    leaving.join()
    assert len(peer.seen) + len(back[0].seen) in (2, 3)


@contextmanager
def listening(answer: bytes):
    """Takes connections, says this, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1)
                    connection.sendall(answer)

        threading.Thread(target=talk, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_who_speaks_something_else_is_not_waited_for(connect, peer):
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as peer.target:
        start = time.monotonic()
        with pytest.raises(heroserve.Unavailable, match=r"http1\.x"):
            connect(peer).describe(timeout_s=60)
        assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("details", "setback"),
    [
        ("failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: connection refused", "absent"),
        ("DNS resolution failed for llm:9001: C-ares status is not ARES_SUCCESS", "absent"),
        ("no healthy upstream", "absent"),
        ("Received http2 header with status: 503", "absent"),
        ("Received http2 header with status: 429", "away"),
        ("Socket closed", "away"),
        # The LLM service's words about its encoder, which it has waited for itself.
        ("encoder at e:9000: connections to all backends failing; last error: refused", "away"),
        ("connections to all backends failing; last error: UNKNOWN: Tls handshake failed (TSI)", "away"),
        ("connections to all backends failing; last error: Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", "away"),
    ],
)
def test_what_unavailable_means(details, setback):
    assert setback_of(UNAVAILABLE, details) == setback
    assert setback_of(grpc.StatusCode.INTERNAL, details) is None
