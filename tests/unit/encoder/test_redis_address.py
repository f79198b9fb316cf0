"""HEROSERVE_CACHE_URL is read strictly: a password with a raw # / ? @ never becomes a host, and is never repeated."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.settings import SettingError
from services.encoder.cache.address import AddressError, RedisAddress, parse_address
from services.encoder.parts import open_store
from services.encoder.settings import EncoderSettings


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h", {"kind": "single", "hosts": (("h", 6379),)}),
        ("redis://h:7/3", {"hosts": (("h", 7),), "db": 3}),
        ("redis://h/", {"db": 0}),
        ("redis://h?db=4", {"db": 4}),
        ("redis://:pw@h", {"username": "", "password": "pw"}),
        ("redis://u:p:w@h", {"username": "u", "password": "p:w"}),
        ("redis://u:p%23%2F%3F%40%25@h", {"password": "p#/?@%"}),
        ("redis://:pä^!$&'()*+,;=|~@h", {"password": "pä^!$&'()*+,;=|~"}),
        ("redis://:@h", {"password": ""}),
        ("redis://[::1]:7/1", {"hosts": (("::1", 7),), "db": 1}),
        ("redis://my_redis.example-1.net", {"hosts": (("my_redis.example-1.net", 6379),)}),
        ("REDIS://h", {"tls": False}),
        ("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false", {"tls": True}),
        ("unix:///tmp/a/s?db=2", {"socket": "/tmp/a/s", "db": 2, "hosts": ()}),
        ("unix://u:pw@/tmp/s%40", {"socket": "/tmp/s@", "username": "u", "password": "pw"}),
        ("redis+cluster://a:1,b", {"kind": "cluster", "hosts": (("a", 1), ("b", 6379))}),
        ("rediss+cluster://:pw@[::1]:1,b:2/0", {"kind": "cluster", "tls": True, "hosts": (("::1", 1), ("b", 2))}),
        ("redis+sentinel://a,b:1/mine", {"kind": "sentinel", "hosts": (("a", 26379), ("b", 1)), "master": "mine"}),
        ("redis+sentinel://u:p@a/my%2Fmaster/2", {"master": "my/master", "db": 2, "username": "u"}),
    ],
)
def test_what_is_read(url: str, told: dict[str, object]) -> None:
    address = parse_address(url)
    for name, value in told.items():
        assert getattr(address, name) == value, name


SECRET = "s3cr3t"
UNUSABLE = [
    *(f"redis://:s3{char}cr3t@h:1/0" for char in "#/?@[] \t\n\x00"),
    *(f"redis://u:12{char}s3cr3t@h:1/0" for char in "#/?@"),
    *(f"redis://u:{char}s3cr3t@h/0" for char in "#/?@"),
    *(f"redis+cluster://:s3{char}cr3t@h:1,i:1" for char in "#/?@"),
    *(f"redis+sentinel://:s3{char}cr3t@h:1/m" for char in "#/?@"),
    *(f"unix://:s3{char}cr3t@/tmp/s" for char in "#/?@"),
    "redis://:s3cr3t%@h",
    "redis://:s3cr3t%4@h",
    "redis://:s3cr3t%zz@h",
    "redis://:12/0@s3cr3t",
    "redis://:6379/1?@s3cr3t",
    "redis://u:63?db=1@s3cr3t/0",
    "redis://h/0#s3cr3t",
    "redis://s3cr3t@h",
    "redis://h:0",
    "redis://h:65536",
    "redis://h:99999999999999999999999",
    "redis://h:",
    "redis://h:٣",
    "redis://h/x",
    "redis://h/-1",
    "redis://h/1/2",
    "redis://h/1?db=2",
    "redis://h?db=1&db=2",
    "redis://h?db",
    "redis://h?password=s3cr3t",
    "redis://h?socket_timeout=3",
    "redis://h?ssl_cert_reqs=none",
    "rediss://h?ssl_cert_reqs=s3cr3t",
    "redis://h?health_check_interval=soon",
    "redis://a,b",
    "redis://",
    "redis://:pw@",
    "redis:///0",
    "redis://-h",
    "redis://h h",
    "unix://",
    "unix:///",
    "unix://tmp/s",
    "redis+cluster://a,,b",
    "redis+cluster://a/1",
    "redis+sentinel://a",
    "redis+sentinel://a/",
    "redis+sentinel://a/m/x",
    "redis+unix:///tmp",
    "valkey://h",
    "'redis://h'",
    "redis:h",
    "memory:///",
]


@pytest.mark.parametrize("url", UNUSABLE)
def test_what_is_refused_is_refused_in_one_line_that_repeats_no_secret(url: str) -> None:
    with pytest.raises(SettingError) as caught:
        open_store(EncoderSettings(cache_url=url))
    told = str(caught.value)
    assert told.startswith("HEROSERVE_CACHE_URL: ")
    assert "\n" not in told
    assert not any(piece in told for piece in ("s3", "cr3t"))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url", ["redis://:s3#cr3t@h/0", "redis://:s3/cr3t@h/0", "redis://:s3@cr3t@h", "redis://:a?s@h"]
)
def test_it_says_what_to_do_about_a_password(url: str) -> None:
    with pytest.raises(AddressError, match=r"percent-encoded.*HEROSERVE_CACHE_PASSWORD"):
        parse_address(url)


@given(password=st.text(min_size=1, max_size=12), db=st.integers(0, 15))
def test_any_password_encoded_is_itself_and_raw_is_itself_or_refused(password: str, db: int) -> None:
    try:
        encoded = quote(password, safe="")
    except UnicodeEncodeError:
        return
    expected = RedisAddress("single", (("host", 7),), db=db, username="u", password=password)
    assert parse_address(f"redis://u:{encoded}@host:7/{db}") == expected
    try:
        raw = parse_address(f"redis://u:{password}@host:7/{db}")
    except AddressError:
        return
    # Whatever it is taken for, it is the password and nothing else.
    assert (raw.hosts, raw.db, raw.username) == ((("host", 7),), db, "u")


@pytest.mark.parametrize("password", ["pa#ss/wo?rd@%", " blanks ", "a:b"])
def test_a_password_beside_the_url_is_taken_as_it_is(password: str) -> None:
    settings = EncoderSettings.from_env(
        {
            "HEROSERVE_CACHE_PASSWORD": f"{password}\n",
            "HEROSERVE_CACHE_USERNAME": "u",
            "HEROSERVE_CACHE_URL": "redis://h",
        }
    )
    assert settings.cache_password == password
    address = parse_address(settings.cache_url, settings.cache_username, settings.cache_password)
    assert (address.username, address.password) == ("u", password)
    assert password not in repr(settings) + repr(address)


@pytest.mark.parametrize("url", ["redis://u:one@h", "redis://:one@h"])
def test_two_passwords_are_one_too_many(url: str) -> None:
    with pytest.raises(AddressError, match="HEROSERVE_CACHE_PASSWORD: leave one") as caught:
        parse_address(url, password="other")
    assert "one@" not in str(caught.value)
    assert parse_address(url, password="one").password == "one"


def test_a_user_by_the_url_and_a_password_beside_it() -> None:
    address = parse_address("redis://u@h", password="pw")
    assert (address.username, address.password) == ("u", "pw")


def test_a_key_that_is_too_short_is_not_repeated() -> None:
    with pytest.raises(SettingError) as caught:
        EncoderSettings.from_env({"HEROSERVE_CACHE_KEY": "s3cr3t"})
    assert str(caught.value).startswith("HEROSERVE_CACHE_KEY: expected 16")
    assert "s3cr3t" not in str(caught.value)
