"""What the encoder service counts. Names are a contract; dashboards and alerts use them."""

from __future__ import annotations

from services.common.exhausted import exhausted
from services.common.metrics import Counter, Gauge, Histogram

# Around what callers ask for, and never at it: of a retention of 0.2 whole tokens make a little less, and a percentile
# is drawn from the middle of its bucket.
_ASKED = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_RATIOS = (
    0.01,
    *(round(ratio + side, 3) for ratio in _ASKED for side in (-0.025, -0.01, 0.005)),
    0.95,
    0.975,
    0.992,
    1.0,
)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TILES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

VISUAL_TOKENS = Counter(
    "heroserve_visual_tokens_total",
    "Visual tokens kept and dropped, of thumbnails (global) and local tiles (local).",
    ["outcome", "scope"],
)
RETENTION = Histogram("heroserve_retention_ratio", "Share of its visual tokens that a request kept.", buckets=_RATIOS)
CACHE_REQUESTS = Counter(
    "heroserve_cache_requests_total",
    "Look-ups in the rank-once cache by result: hit, miss, error.",
    ["result"],
)
CACHE_HITS = Counter(
    "heroserve_cache_hits_total",
    "Of these the hits, by where their rows were: store, or replica, which has them near and asks no store.",
    ["place"],
)
CACHE_NEAR_BYTES = Gauge(
    "heroserve_cache_near_bytes", "Rows that replicas have near, of all that live.", multiprocess_mode="livesum"
)
CACHE_WRITES = Counter(
    "heroserve_cache_writes_total",
    "Entries to be written to the cache by result: written, refused (it takes no writes), error, too_large.",
    ["result"],
)
CACHE_UNUSABLE = Counter(
    "heroserve_cache_unusable_total",
    "Entries found in the cache that were damaged, forged or another's: misses, to be rewritten.",
)
CACHE_BYTES = Counter("heroserve_cache_bytes_total", "Bytes read from and written to the cache.", ["direction"])
STAGE_SECONDS = Histogram(
    "heroserve_encoder_stage_seconds", "Time a request spent in each stage.", ["stage"], buckets=_SECONDS
)
REQUESTS = Counter(
    "heroserve_encoder_requests_total",
    "Requests that reached a replica, or that our part of the proxy refused, by door and gRPC status.",
    ["door", "code"],
)
EXHAUSTED = exhausted("heroserve_encoder_exhausted_total", ("images",), "grpc")
DECODERS_ENDED = Counter(
    "heroserve_decoders_ended_total",
    "Decoders ended before their time, by reason: timeout, memory, crash (a file's doing), lost (killed by others, or "
    "never started), abandoned (nobody waited any more).",
    ["reason"],
)
# From the start, at 0: else what happens first is no increase.
for _reason in ("timeout", "memory", "crash", "lost", "abandoned"):
    DECODERS_ENDED.labels(reason=_reason)
TOWER_BATCH_TILES = Histogram("heroserve_tower_batch_tiles", "Tiles in one pass of the vision tower.", buckets=_TILES)
