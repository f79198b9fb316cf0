"""Where a service is, or why it can't be there: before gRPC takes it for another place."""

from __future__ import annotations

import pytest

import heroserve
from heroserve.target import address


@pytest.mark.parametrize(
    "target",
    ["localhost:9001", "10.0.0.1:1", "[::1]:9001", "[fe80::1%eth0]:9001", "llm_1.example.:65535", "dns:9001", "a-b:80"],
)
def test_a_host_and_a_port(target: str):
    assert address(target) == f"dns:///{target}"


@pytest.mark.parametrize(
    "target",
    [
        "dns:///llm:9001",
        "dns://8.8.8.8/llm:9001",
        "dns:llm:9001",
        "ipv4:10.0.0.1:9001,10.0.0.2:9001",
        "ipv6:[::1]:9001",
        "unix:/run/llm.sock",
        "unix:///run/a b.sock",
        "unix-abstract:llm",
        "xds:///llm",
    ],
)
def test_grpcs_own_names(target: str):
    assert address(target) == target


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("", "it is empty"),
        ("localhost", "it has no port"),
        ("localhost:", "it has no port"),
        ("[::1]", "it has no port"),
        ("dns:///localhost", "it has no port"),
        ("ipv4:10.0.0.1:9001,10.0.0.2", "it has no port"),
        ("localhost:99999", "a port is 1 to 65535"),
        ("localhost:0", "a port is 1 to 65535"),
        ("localhost:" + "9" * 5000, "a port is 1 to 65535"),
        ("localhost:-1", "its port is no number"),
        ("localhost:http", "its port is no number"),
        ("localhost:9001/", "its port is no number"),
        ("localhost: 9001", "its port is no number"),
        ("localhost:\u0663", "its port is no number"),
        (":9001", "it has no host"),
        ("a b:9001", "a host has letters"),
        (" localhost:9001", "a host has letters"),
        ("me@llm:9001", "a host has letters"),
        ("l\u00e4m:9001", "a host has letters"),
        ("-llm:9001", "a host has letters"),
        ("http://llm:9001", "it is a URL"),
        ("::1", "an IPv6 address stands in brackets"),
        ("::1:9001", "an IPv6 address stands in brackets"),
        ("[::g]:9001", "in brackets is no IPv6 address"),
        ("[::1]9001", "behind the bracket stands no port"),
        ("a:b:9001", "two colons"),
        ("unix:", "it has no path"),
        ("unix:///", "it has no path"),
        (9001, "it is int"),
    ],
)
def test_what_is_none(target, problem: str):
    for make in (address, heroserve.Client, heroserve.AsyncClient, lambda it: heroserve.Client(encoder_target=it)):
        with pytest.raises(ValueError, match="expected HOST:PORT, such as localhost:9001") as caught:
            make(target)
        assert problem in str(caught.value)
        assert len(str(caught.value)) < 250
