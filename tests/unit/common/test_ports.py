"""Where a service can listen is found before anything starts."""

from __future__ import annotations

import socket

import pytest

from services.common.ports import check_host, check_port
from services.common.settings import SettingError


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost", "127.0.0.2"])
def test_an_address_of_this_machine(host):
    check_host(host)


# Of documentation, nobody's; not an address; a name that nothing resolves; a URL; a port behind it; too long a label.
@pytest.mark.parametrize(
    "host", ["198.51.100.1", "300.1.2.3", "no.such.host.invalid", "http://localhost", "0.0.0.0:80", "a" * 70, "a..b"]
)
def test_one_of_nobody_or_elsewhere_is_told_by_its_variable(host):
    with pytest.raises(SettingError, match=r"^HEROSERVE_HTTP_HOST='.*': it can't be listened on [^\n]*$"):
        check_host(host)


def test_a_port_that_somebody_has():
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.listen()
        number = other.getsockname()[1]
        for host in ("0.0.0.0", "127.0.0.2"):
            with pytest.raises(SettingError, match=rf"^HEROSERVE_HTTP_PORT={number}: the port can't be used"):
                check_port("HEROSERVE_HTTP_PORT", number, host)
        # On another address it is nobody's.
        check_port("HEROSERVE_HTTP_PORT", number, "127.0.0.1")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_a_port_that_somebody_has_where_localhost_is_looked_for_first():
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(SettingError, match=rf"^HEROSERVE_GRPC_PORT={number}: the port can't be used"):
            check_port("HEROSERVE_GRPC_PORT", number)
