"""Which hosts are asked for images, and at which addresses: what is not named is not asked, whatever it is called."""

from __future__ import annotations

import pytest

from services.common.settings import SettingError
from services.llm import parts
from services.llm.settings import LlmSettings
from services.llm.web.error import FetchError
from services.llm.web.fetcher import ImageFetcher
from services.llm.web.hosts import Hosts, parse_hosts
from services.llm.web.networks import Networks, parse_networks
from services.llm.web.reachable import check_reachable

HOSTS = Hosts(parse_hosts("a.com,*.b.com,c.com:8443,127.0.0.1,8.8.8.8,[::1],[2606:4700::1111]"))


def fetcher(*networks: str) -> ImageFetcher:
    return ImageFetcher(HOSTS, Networks(networks), max_bytes=10, timeout_s=1)


ASKED = [
    *("http://a.com/x.png", "https://A.com./x", "https://a.com:443", "HTTP://a.com:80/?a=b#c", "https://x.b.com/"),
    *("http://y.x.B.com", "https://c.com:8443/x", "http://c.com:8443", "http://8.8.8.8/", "https://[2606:4700::1111]/"),
]
NOT_ASKED = {
    # Another port, another name.
    "http://a.com:443/": "at a.com:443, which HEROSERVE_IMAGE_HOSTS does not name",
    "http://a.com:8080/": "does not name",
    "https://c.com/": "does not name",
    "http://b.com/": "does not name",
    "http://xb.com/": "does not name",
    "http://.b.com/": "",
    "http://x.a.com/": "does not name",
    "http://a.com.evil.com/": "does not name",
    "http://localhost/": "does not name",
    "http://evil.com#@a.com/": "at evil.com, which",
    "http://evil.com?@a.com/": "at evil.com, which",
    "http://evil%00.b.com/": "does not name",
    "http://a%2ecom/": "does not name",
    # Somebody's name.
    "http://user:secret@a.com/": "with a user's name or a password",
    "http://a.com@evil.com/": "with a user's name or a password",
    "http://a.com%2f@evil.com/": "",
    "http://a.com\\@evil.com/": "can't be read",
    "http://evil.com\\.b.com/": "can't be read",
    # What some read as 127.0.0.1.
    "http://2130706433/": "does not name",
    "http://0x7f000001/": "does not name",
    "http://0177.0.0.1/": "does not name",
    "http://127.1/": "does not name",
    "http://[::ffff:127.0.0.1]/": "does not name",
    "http://[::1%25eth0]/": "",
    # Named, and private all the same.
    "http://127.0.0.1/": "HEROSERVE_IMAGE_NETWORKS",
    "http://[::1]/": "HEROSERVE_IMAGE_NETWORKS",
    # No address at all.
    "http://a.com:99999/": "can't be read",
    "http://a.com:0/": "with a host",
    "http:///x": "with a host",
    "http:a.com/": "with a host",
    "http://a.com/" + "x" * 8192: "characters; the limit is 8192",
}


@pytest.mark.parametrize("url", ASKED)
def test_what_the_list_names_may_be_asked(url: str):
    assert fetcher().check(url).scheme == url.partition(":")[0].lower()


@pytest.mark.parametrize("url", NOT_ASKED, ids=lambda url: url[:40])
def test_nobody_else_may(url: str):
    with pytest.raises(FetchError) as refused:
        fetcher().check(url)
    assert NOT_ASKED[url] in refused.value.problem
    assert "secret" not in refused.value.problem
    assert len(refused.value.problem) < 250
    assert refused.value.problem.isprintable()


def test_an_address_of_ones_own_may_where_its_network_is_named():
    assert fetcher("127.0.0.0/8").check("http://127.0.0.1/")
    with pytest.raises(FetchError, match="IMAGE_NETWORKS"):
        fetcher("127.0.0.0/8").check("http://[::1]/")


def test_without_a_list_none_may_and_the_setting_is_named():
    none = ImageFetcher(Hosts(()), Networks(), max_bytes=10, timeout_s=1)
    with pytest.raises(FetchError, match="nothing is fetched here unless HEROSERVE_IMAGE_HOSTS names its host"):
        none.check("https://a.com/x.png")


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses(address: str):
    assert Networks().admits(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.0.8", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "2001:db8::1", "4000::1", "2001:0:7f00:1::"),
        # IPv4 in other clothes.
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::127.0.0.1"),
        *("2002:7f00:1::", "::ffff:0:127.0.0.1"),
        *("", "a.com", "2130706433", "127.1"),
    ],
)
def test_addresses_that_are_not(address: str):
    assert not Networks().admits(address)
    # Nor do other networks admit it.
    assert not Networks(["10.1.0.0/16", "fd00:1::/64"]).admits(address)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5", "64:ff9b::10.1.2.3"])
def test_networks_that_are_named(address: str):
    assert not Networks().admits(address)
    assert Networks(["10.1.0.0/16", "fd00:1::/64"]).admits(address)


@pytest.mark.parametrize(
    ("hosts", "networks"),
    [
        ("", ""),
        ("a.com,*.b.com:8443,8.8.8.8,[2606:4700::1111]:80", ""),
        ("127.0.0.1:8000", "127.0.0.0/8"),
        ("localhost:8000,*.localhost", "127.0.0.1/32"),
        ("localhost", "::1/128"),
        ("[fd00::1]", "10.0.0.0/8,fd00::/8"),
        ("[::ffff:10.0.0.1]", "10.0.0.0/8"),
        # Looked up when it is asked.
        ("images.internal", ""),
        ("images.internal,8.8.8.8", "10.0.0.0/8"),
        ("mylocalhost", ""),
    ],
)
def test_lists_that_go_together(hosts: str, networks: str):
    check_reachable(parse_hosts(hosts) if hosts else (), parse_networks(networks) if networks else ())


@pytest.mark.parametrize(
    ("hosts", "networks", "told"),
    [
        ("", "10.0.0.0/8", "HEROSERVE_IMAGE_NETWORKS='10.0.0.0/8': they are where the hosts of HEROSERVE_IMAGE_HOSTS"),
        # The last part of an address or a port?
        ("64:ff9b::a00:1", "", "an IPv6 address in brackets"),
        ("2606:4700::1:1111", "", "an IPv6 address in brackets"),
        ("a.com,127.0.0.1:8000", "", "127.0.0.1:8000 is no public address, and HEROSERVE_IMAGE_NETWORKS is not set"),
        ("10.1.2.3", "10.2.0.0/16", "of HEROSERVE_IMAGE_NETWORKS none has it"),
        ("10.1.2.3", "", "such as 10.1.2.3/32"),
        ("169.254.169.254", "", "such as 169.254.169.254/32"),
        ("[::1]:80", "127.0.0.0/8", "such as ::1/128"),
        ("[fd00::1]", "", "such as fd00::1/128"),
        ("[::ffff:10.0.0.1]", "", "such as 10.0.0.1/32"),
        ("0.0.0.0", "", "is no public address"),
        ("localhost", "", "localhost is no public address"),
        ("LOCALHOST:8000", "10.0.0.0/8", "such as 127.0.0.0/8,::1/128"),
        ("*.localhost", "", "*.localhost is no public address"),
        ("x.localhost", "", "x.localhost is no public address"),
    ],
)
def test_lists_by_which_nothing_could_be_fetched_are_refused_at_the_start(hosts: str, networks: str, told: str):
    read = {"HEROSERVE_IMAGE_HOSTS": hosts, "HEROSERVE_IMAGE_NETWORKS": networks}
    with pytest.raises(SettingError) as refused:
        parts.check(LlmSettings.from_env(read))
    assert told in str(refused.value)
    assert str(refused.value).startswith(("HEROSERVE_IMAGE_HOSTS='", "HEROSERVE_IMAGE_NETWORKS='"))
    assert str(refused.value).isprintable()
