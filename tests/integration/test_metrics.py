"""Every metric of the contract, scraped over HTTP, right with several replicas."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

import heroserve
from tests.support.pictures import encoded, picture
from tests.support.services import LLM_REPLICAS, Services
from tests.support.waiting import until

ENCODER = {
    "heroserve_visual_tokens": {"outcome", "scope"},
    "heroserve_retention_ratio": set(),
    "heroserve_cache_requests": {"result"},
    "heroserve_cache_hits": {"place"},
    "heroserve_cache_near_bytes": set(),
    "heroserve_cache_writes": {"result"},
    "heroserve_cache_unusable": set(),
    "heroserve_cache_bytes": {"direction"},
    "heroserve_encoder_stage_seconds": {"stage"},
    "heroserve_encoder_requests": {"door", "code"},
    "heroserve_encoder_exhausted": {"door", "reason"},
    "heroserve_decoders_ended": {"reason"},
    "heroserve_tower_batch_tiles": set(),
    "heroserve_requests_waiting": {"where"},
}
# But what only an engine that caches prefixes counts: tests/vllm/test_service.py.
LLM = {
    "heroserve_chat_requests": {"door", "code"},
    "heroserve_chat_exhausted": {"door", "reason"},
    "heroserve_time_to_first_token_seconds": set(),
    "heroserve_inter_token_seconds": set(),
    "heroserve_answers": {"finish_reason"},
    "heroserve_requests_waiting": {"where"},
    "heroserve_engine_running": set(),
    "heroserve_engine_kv_cache_usage": set(),
    "heroserve_engine_preemptions": set(),
    "heroserve_generated_tokens": set(),
    "heroserve_prompt_tokens": {"kind"},
    "heroserve_prefill_flops_saved": set(),
    "heroserve_kv_cache_bytes_saved": set(),
}


def families(port: int) -> dict:
    with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=10) as page:
        return {family.name: family for family in text_string_to_metric_families(page.read().decode())}


def test_every_name_of_the_contract_is_scraped(services: Services, client: heroserve.Client):
    data = encoded(picture(400, 300, seed=11))
    for _ in range(2):
        client.ask(data, "Which one?", retention=0.4, max_tokens=3)
    for service, contract in (("encoder", ENCODER), ("llm", LLM)):
        scraped = families(services.metrics[service])
        for name, labels in contract.items():
            assert name in scraped, name
            assert all(labels <= set(sample.labels) for sample in scraped[name].samples), name
    stages = {
        s.labels["stage"] for s in families(services.metrics["encoder"])["heroserve_encoder_stage_seconds"].samples
    }
    # "queue" only where somebody had to wait for a turn.
    assert stages - {"queue"} == {"decode", "tile", "tower", "rank", "cache_read", "cache_write", "plan"}


def test_counts_add_up(services: Services, client: heroserve.Client):
    data = encoded(picture(500, 400, seed=12))

    def counts() -> dict[str, float]:
        encoder = {
            f"{outcome} {scope}": services.sample(
                "encoder", "heroserve_visual_tokens_total", outcome=outcome, scope=scope
            )
            for outcome in ("kept", "dropped")
            for scope in ("global", "local")
        }
        llm = {
            kind: services.sample("llm", "heroserve_prompt_tokens_total", kind=kind)
            for kind in ("text", "visual", "newline")
        }
        rest = {
            "generated": services.sample("llm", "heroserve_generated_tokens_total"),
            "kv": services.sample("llm", "heroserve_kv_cache_bytes_saved_total"),
            "flops": services.sample("llm", "heroserve_prefill_flops_saved_total"),
        }
        return encoder | llm | rest

    def stages() -> dict[str, float]:
        names = ("plan", "cache_read", "tower", "cache_write", "decode")
        return {n: services.sample("encoder", "heroserve_encoder_stage_seconds_count", stage=n) for n in names}

    before, stages_before = counts(), stages()
    answer = client.ask(data, "Which one?", retention=1 / 64, max_tokens=5)
    delta = {name: value - before[name] for name, value in counts().items()}
    savings, usage = answer.savings, answer.usage
    assert delta["kept global"] + delta["kept local"] == savings.kept
    assert delta["dropped global"] + delta["dropped local"] == savings.dropped
    assert delta["kept global"] == 64 / 64
    assert delta["visual"] == usage.prompt_visual_tokens == savings.kept
    assert (delta["text"], delta["newline"]) == (usage.prompt_text_tokens, usage.prompt_newline_tokens)
    assert delta["generated"] == usage.completion_tokens
    # Of its 20 rows of patches those that keep none lose their newline too: fewer tokens than rows are kept.
    saved = savings.dropped + 20 - delta["newline"]
    assert saved > savings.dropped
    # Two layers, two key-value heads of 16 float32 values, keys and values.
    assert delta["kv"] == saved * 2 * 2 * 16 * 2 * 4
    assert delta["flops"] > 0
    # A request counts once a stage, however often it was in it.
    assert {name: value - stages_before[name] for name, value in stages().items()} == dict.fromkeys(stages_before, 1)


def test_replicas_add_to_one_page(services: Services):
    """Whichever of the replicas holds the port, requests that others served are on its page."""
    before = services.sample("llm", "heroserve_chat_requests_total", code="OK")
    data = encoded(picture(120, 120, seed=13))
    requests = 12
    for _ in range(requests):
        with services.client() as client:
            client.ask(data, "Which one?", max_tokens=1)
    # Counted when the service is done with a request, a moment after its caller is.
    assert until(lambda: services.sample("llm", "heroserve_chat_requests_total", code="OK") == before + requests, 30)
    written = {path.name for path in services.metrics_dirs["llm"].glob("counter_*.db")}
    assert len(written) >= LLM_REPLICAS, "both replicas must have counted for this test to mean anything"
