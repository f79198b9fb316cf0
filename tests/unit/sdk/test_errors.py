"""Every status has its exception, and the exception says what happened."""

import grpc
import pytest

import heroserve
from heroserve import errors

FAILURES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def classes(base=errors.HeroserveError):
    return [base, *(c for child in base.__subclasses__() for c in classes(child))]


def test_every_status_but_ok_is_mapped():
    assert set(errors.EXCEPTIONS) == set(FAILURES)


def test_a_status_with_a_class_of_its_name_maps_to_it():
    found_here = (heroserve.HeroserveError, heroserve.ArgumentError, heroserve.ImageError)
    named = {cls.default_code: cls for cls in classes() if cls not in found_here}
    for code, cls in named.items():
        assert errors.EXCEPTIONS[code] is cls
        assert cls.__name__.upper() == code.name.replace("_", "")


def test_the_tree_is_drawn_and_exported_whole():
    for cls in classes():
        assert cls.__name__ in errors.__doc__
        assert getattr(heroserve, cls.__name__) is cls


@pytest.mark.parametrize("code", FAILURES, ids=lambda code: code.name)
def test_a_failure_keeps_code_details_and_request_id(connect, peer, code):
    client = connect(peer, retry=heroserve.RetryPolicy(attempts=1))
    for call in (client.describe, client.stream(None, "Why?").read):
        peer.script.append(code)
        with pytest.raises(errors.EXCEPTIONS[code]) as caught:
            call()
        assert caught.value.code is code
        assert caught.value.details == str(caught.value) == f"scripted {code.name}"
        assert caught.value.request_id == peer.seen[-1].metadata["request_id"]


def test_nobody_there_is_unavailable(connect, peer):
    peer.target = "127.0.0.1:1"
    with pytest.raises(heroserve.Unavailable):
        connect(peer).describe(timeout_s=0.5)
