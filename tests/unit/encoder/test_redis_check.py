"""A Redis is asked at the start: what can't heal by itself stops the service in one line, one that is away does not."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import redis

from scripts.redis_server import RedisServer, free_port
from services.common.settings import SettingError
from services.encoder import parts
from services.encoder.cache import redis_check
from services.encoder.settings import EncoderSettings
from tests.support.redis_nodes import certificate, cluster, forwarded, listening, sentinel


@pytest.fixture
def direct(redis_server: RedisServer) -> Any:
    return redis.Redis.from_url(redis_server.url)


async def check(url: str, **settings: Any) -> None:
    await parts.check_store(EncoderSettings(cache_url=url, cache_timeout_s=2.0, **settings))


async def refusal(url: str, **settings: Any) -> str:
    with pytest.raises(SettingError) as caught:
        await check(url, **settings)
    told = str(caught.value)
    assert told.startswith("HEROSERVE_CACHE_URL: ")
    assert "\n" not in told
    assert "s3cr3t" not in told
    assert caught.value.__cause__ is None
    return told


class TestLogin:
    async def test_a_password_beside_the_url(self, redis_server: RedisServer, direct: Any) -> None:
        direct.config_set("requirepass", "p#s/3?c@r%")
        await check(redis_server.url, cache_password="p#s/3?c@r%")

    async def test_a_user(self, redis_server: RedisServer, direct: Any) -> None:
        direct.execute_command("ACL", "SETUSER", "u", "on", ">pw", "~*", "+@all")
        await check(redis_server.url, cache_username="u", cache_password="pw")

    async def test_a_wrong_one(self, redis_server: RedisServer, direct: Any) -> None:
        direct.config_set("requirepass", "right")
        assert "refuses" in await refusal(redis_server.url, cache_password="s3cr3t")
        assert "refuses" in await refusal(redis_server.url, cache_password="s3cr3t", cache_username="nobody")

    async def test_none_where_one_is_wanted(self, redis_server: RedisServer, direct: Any) -> None:
        direct.config_set("requirepass", "right")
        assert "wants a password" in await refusal(redis_server.url)

    async def test_one_where_none_is_set(self, redis_server: RedisServer) -> None:
        assert "has no password" in await refusal(redis_server.url, cache_password="s3cr3t")

    async def test_a_user_who_may_not_read(self, redis_server: RedisServer, direct: Any) -> None:
        direct.execute_command("ACL", "SETUSER", "u", "on", ">s3cr3t", "~other:*", "+@all")
        assert "may not read" in await refusal(redis_server.url, cache_username="u", cache_password="s3cr3t")

    async def test_a_user_who_may_read_no_rows(self, redis_server: RedisServer, direct: Any) -> None:
        direct.execute_command("ACL", "SETUSER", "u", "on", ">s3cr3t", "~*", "+get")
        assert "GETRANGE" in await refusal(redis_server.url, cache_username="u", cache_password="s3cr3t")

    async def test_the_least_that_a_user_needs_is_what_is_said(
        self, redis_server: RedisServer, direct: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        commands = [f"+{name.lower()}" for name in redis_check.COMMANDS.split(", ")]
        direct.execute_command("ACL", "SETUSER", "u", "on", ">pw", "~heroserve:*", *commands)
        settings = EncoderSettings(cache_url=redis_server.url, cache_username="u", cache_password="pw")
        await parts.check_store(settings)
        store = parts.open_store(settings)
        assert await store.put("k", b"m", b"r")
        assert await store.meta("k") == b"m"
        assert await store.ranges("k", [(0, 1)]) == [b"r"]
        assert [await store.claim("k", 5), await store.claim("k", 5)] == [True, False]
        await store.renew("k", 5)
        await store.release("k")
        await store.close()
        assert not caplog.records


async def test_no_such_database(redis_server: RedisServer) -> None:
    assert "no database of that index" in await refusal(redis_server.url.replace("/0", "/99"))


class TestAway:
    async def told(self, caplog: pytest.LogCaptureFixture, url: str, **settings: Any) -> str:
        await check(url, **settings)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        return record.getMessage()

    async def test_nobody_listens(self, caplog: pytest.LogCaptureFixture) -> None:
        for scheme in ("redis", "rediss", "redis+cluster"):
            caplog.clear()
            told = await self.told(caplog, f"{scheme}://:s3cr3t@127.0.0.1:{free_port()}")
            assert "does not answer just now" in told
            assert "s3cr3t" not in told

    async def test_no_such_name_yet(self, caplog: pytest.LogCaptureFixture) -> None:
        assert "does not answer" in await self.told(caplog, "redis://nobody.invalid:6379/0")

    async def test_no_sentinel_answers(self, caplog: pytest.LogCaptureFixture) -> None:
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/m"
        assert "does not answer" in await self.told(caplog, url)

    async def test_no_socket_yet(self, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        assert "does not answer" in await self.told(caplog, f"unix://{tmp_path}/s")

    async def test_it_hangs(self, caplog: pytest.LogCaptureFixture, redis_server: RedisServer) -> None:
        redis_server.freeze()
        assert "does not answer" in await self.told(caplog, redis_server.url)
        redis_server.thaw()

    async def test_who_hangs_up(self, caplog: pytest.LogCaptureFixture) -> None:
        """A proxy whose Redis is away."""

        async def hang_up(*_: Any) -> None:
            return

        async with listening(hang_up) as port:
            assert "does not answer" in await self.told(caplog, f"redis://127.0.0.1:{port}/0")

    async def test_it_takes_no_writes(
        self, caplog: pytest.LogCaptureFixture, redis_server: RedisServer, direct: Any
    ) -> None:
        direct.execute_command("REPLICAOF", "127.0.0.1", "1")
        assert "takes no writes just now: READONLY" in await self.told(caplog, redis_server.url)


class TestTls:
    async def test_the_scheme_is_the_other_one(self, redis_server: RedisServer, tmp_path: Path) -> None:
        authority, tls = certificate(tmp_path)
        assert "write redis in place of rediss" in await refusal(redis_server.url.replace("redis", "rediss", 1))
        async with forwarded([redis_server.port], tls) as port:
            assert "rediss in place of redis" in await refusal(f"redis://localhost:{port}/0")
            assert "ssl_ca_certs" in await refusal(f"rediss://localhost:{port}/0")
            await check(f"rediss://localhost:{port}/0?ssl_ca_certs={authority}")
        assert "the file that ssl_ca_certs names" in await refusal("rediss://localhost/0?ssl_ca_certs=/s3cr3t")


class TestForms:
    async def test_of_a_cluster(self, tmp_path: Path, redis_server: RedisServer) -> None:
        with cluster(tmp_path, nodes=1) as (node,):
            for path in ("", "/0", "/1"):
                told = await refusal(f"redis://:@127.0.0.1:{node.port}{path}")
                assert "redis+cluster://" in told
            await check(f"redis+cluster://127.0.0.1:{node.port}")
        assert "no cluster" in await refusal(redis_server.url.replace("redis://", "redis+cluster://"))

    async def test_of_sentinels(self, tmp_path: Path, redis_server: RedisServer) -> None:
        assert "no Sentinel" in await refusal(f"redis+sentinel://127.0.0.1:{redis_server.port}/m")
        with sentinel(tmp_path, redis_server, "mine", password="s3cr3t") as port:
            assert "redis+sentinel://" in await refusal(f"redis://:s3cr3t@127.0.0.1:{port}/0")
            url = f"redis+sentinel://127.0.0.1:{port}"
            assert "HEROSERVE_CACHE_SENTINEL_PASSWORD" in await refusal(f"{url}/mine")
            assert "but mine" in await refusal(f"{url}/other", cache_sentinel_password="s3cr3t")
            await check(f"{url}/mine", cache_sentinel_password="s3cr3t")


def test_build_stops_with_the_line(redis_server: RedisServer, direct: Any, untrained: str) -> None:
    direct.config_set("requirepass", "right")
    settings = EncoderSettings(model=untrained, cache_url=redis_server.url, cache_password="s3cr3t")
    with pytest.raises(SettingError, match=r"^HEROSERVE_CACHE_URL: Redis refuses"):
        parts.check(settings)


async def test_build_where_a_loop_runs_already(redis_server: RedisServer, untrained: str) -> None:
    parts.check(EncoderSettings(model=untrained, cache_url=redis_server.url))
