"""What the LLM service counts. Names are a contract; dashboards and alerts use them."""

from __future__ import annotations

from services.common.exhausted import exhausted
from services.common.metrics import Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80)
_OF_A_TOKEN = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)

REQUESTS = Counter(
    "heroserve_chat_requests_total",
    "Requests that reached a replica, or that our part of the proxy refused, by door (grpc, http) and gRPC status.",
    ["door", "code"],
)
EXHAUSTED = exhausted("heroserve_chat_exhausted_total", ("encoder", "engine"), "grpc", "http")
TIME_TO_FIRST_TOKEN = Histogram(
    "heroserve_time_to_first_token_seconds", "From taking a request up to its first token.", buckets=_SECONDS
)
INTER_TOKEN = Histogram(
    "heroserve_inter_token_seconds", "From a token of an answer to its next one.", buckets=_OF_A_TOKEN
)
ANSWERS = Counter(
    "heroserve_answers_total", "Answers that have come to their end, by why they ended.", ["finish_reason"]
)
GENERATED_TOKENS = Counter("heroserve_generated_tokens_total", "Tokens generated.")
PROMPT_TOKENS = Counter("heroserve_prompt_tokens_total", "Tokens prefilled, by kind.", ["kind"])
ENGINE_RUNNING = Gauge(
    "heroserve_engine_running", "Requests that the engine generates for.", multiprocess_mode="livesum"
)
ENGINE_KV_CACHE_USAGE = Gauge(
    "heroserve_engine_kv_cache_usage",
    "Share of the engine's KV cache that requests hold, of the replica with the most.",
    multiprocess_mode="livemax",
)
ENGINE_PREFIX_TOKENS = Counter(
    "heroserve_engine_prefix_tokens_total", "Tokens of prompts that the engine had cached, or not.", ["outcome"]
)
ENGINE_PREEMPTIONS = Counter(
    "heroserve_engine_preemptions_total", "Requests that the engine put back for want of KV cache."
)
PREFILL_FLOPS_SAVED = Counter(
    "heroserve_prefill_flops_saved_total", "Floating-point operations of prefill that dropped tokens saved."
)
KV_CACHE_BYTES_SAVED = Counter(
    "heroserve_kv_cache_bytes_saved_total", "Bytes of KV cache that dropped tokens did not take."
)
