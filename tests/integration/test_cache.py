"""The rank-once cache through the services: faster, never wrong, never down."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis as redis_client

import heroserve
from heroserve.v1.encoder_pb2 import VisualTokens
from heroserve.v1.tokens_pb2 import Image
from tests.support.pictures import encoded, picture
from tests.support.services import Services
from tests.support.waiting import until


def settled(tokens: VisualTokens) -> bytes:
    """Everything but where it came from and how long it took."""
    copy = VisualTokens()
    copy.CopyFrom(tokens)
    copy.ClearField("cache")
    copy.ClearField("timings")
    return copy.SerializeToString(deterministic=True)


@pytest.fixture
def database(services: Services) -> Any:
    with redis_client.Redis.from_url(services.redis.url) as database:
        yield database


def keys(database: Any, data: bytes) -> dict[str, str]:
    digest = hashlib.sha256(data).hexdigest()
    found = [key.decode() for key in database.keys(f"heroserve:*:{digest}:*")]
    return {key.rpartition(":")[2]: key for key in found}


def test_a_hit_equals_the_miss(client: heroserve.Client, services: Services):
    data = encoded(picture(420, 260, seed=1))
    towers = services.sample("encoder", "heroserve_tower_batch_tiles_count")
    first = client.encode(data, "Which colour?", retention=0.3)
    assert first.cache == VisualTokens.MISS
    again = client.encode(data, "Which colour?", retention=0.3)
    assert again.cache == VisualTokens.HIT
    assert settled(first) == settled(again)
    # Other questions and budgets are answered from the same entry.
    other = client.encode(data, "How many stars?", retention=0.9)
    assert other.cache == VisualTokens.HIT
    assert services.sample("encoder", "heroserve_tower_batch_tiles_count") == towers + 1


def test_digest_in_place_of_the_bytes(client: heroserve.Client):
    data = encoded(picture(420, 260, seed=2))
    digest = hashlib.sha256(data).hexdigest()
    with pytest.raises(heroserve.NotFound, match=r"image\.digest"):
        client.encode(Image(digest=digest), "Which colour?")
    sent = client.encode(data, "Which colour?")
    assert settled(client.encode(Image(digest=digest), "Which colour?")) == settled(sent)


def test_digest_through_the_llm_service(client: heroserve.Client):
    data = encoded(picture(300, 300, seed=3))
    unknown = Image(digest=hashlib.sha256(data).hexdigest())
    with pytest.raises(heroserve.NotFound, match=r"messages\[0\]\.parts\[0\]\.image\.digest"):
        client.ask(unknown, "Which colour?", max_tokens=4)
    text = client.ask(data, "Which colour?", max_tokens=4).text
    assert client.ask(unknown, "Which colour?", max_tokens=4).text == text


@pytest.mark.parametrize("damage", ["truncate", "flip", "garbage meta", "old schema", "lose rows", "lose meta"])
def test_damaged_entry_is_a_miss_and_is_repaired(
    client: heroserve.Client, services: Services, database: Any, damage: str
):
    data = encoded(picture(420, 260, seed=sum(damage.encode())))
    good = client.encode(data, "Which colour?", retention=0.5)
    names = keys(database, data)
    assert set(names) == {"meta", "rows"}
    assert all(0 < database.ttl(name) <= 86400 for name in names.values())
    meta, rows = database.get(names["meta"]), database.get(names["rows"])
    if damage == "truncate":
        database.set(names["rows"], rows[: len(rows) // 2])
    elif damage == "flip":
        database.set(names["rows"], bytes([rows[0] ^ 1]) + rows[1:])
    elif damage == "garbage meta":
        database.set(names["meta"], b"\x00" * len(meta))
    elif damage == "old schema":
        database.set(names["meta"], re.sub(rb'"schema": \d+', b'"schema": 0', meta))
    else:
        database.delete(names[damage.partition(" ")[2]])
    misses = services.sample("encoder", "heroserve_cache_requests_total", result="miss")
    # A client of its own, which sends the bytes at once: trying the digest first would count a miss more.
    with services.client() as other:
        again = other.encode(data, "Which colour?", retention=0.5)
    assert settled(again) == settled(good)
    if damage in ("garbage meta", "old schema", "lose meta"):
        # The one replica that there is knows the entry, and its rows are right. Who does not know it has a miss, see
        # tests/unit/encoder/test_cache.py.
        assert again.cache == VisualTokens.HIT
        return
    assert again.cache == VisualTokens.MISS
    assert services.sample("encoder", "heroserve_cache_requests_total", result="miss") == misses + 1
    assert client.encode(data, "Which colour?", retention=0.5).cache == VisualTokens.HIT
    assert (database.get(names["meta"]), database.get(names["rows"])) == (meta, rows)


def test_concurrent_misses_run_the_tower_once(services: Services):
    data = encoded(picture(900, 600, seed=4))
    tiles = services.sample("encoder", "heroserve_tower_batch_tiles_sum")

    def ask(question: str) -> VisualTokens:
        with services.client() as client:
            return client.encode(data, question, retention=0.4)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, [f"Question {i}?" for i in range(6)]))
    one_pass = len(answers[0].tiles)
    assert services.sample("encoder", "heroserve_tower_batch_tiles_sum") == tiles + one_pass
    assert VisualTokens.MISS in {answer.cache for answer in answers}


def test_redis_dying_costs_no_answer(client: heroserve.Client, services: Services):
    data = encoded(picture(420, 260, seed=6))
    good = client.encode(data, "Which colour?", retention=0.5)
    expected = client.ask(data, "Which colour?", max_tokens=6).text
    services.redis.kill()
    try:
        orphan = client.encode(data, "Which colour?", retention=0.5)
        assert orphan.cache == VisualTokens.BYPASS
        assert settled(orphan) == settled(good)
        assert client.ask(data, "Which colour?", max_tokens=6).text == expected
        # What was just read of it is at hand; all else costs a look-up that fails.
        assert services.sample("encoder", "heroserve_cache_requests_total", result="error") >= 1
    finally:
        services.redis.start()
    again = until(
        lambda: client.encode(data, "Which colour?", retention=0.5).cache == VisualTokens.HIT, 60, pause_s=0.5
    )
    assert again, "the cache is not used again after Redis came back"
