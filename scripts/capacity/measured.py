"""What a request took of processors when it was measured: the calculator's defaults for what no shape tells.

Of two x86-64 cores. A core elsewhere is another core: measure there (``python -m benchmarks.growth``), and say so by
the options. ``tests/unit/llm/test_capacity.py`` holds them to docs/growth.json where it has them.
"""

from __future__ import annotations

# Milliseconds of a core: of a request's way through the encoder's proxy and ingress, its image known, and of a MB of
# its rows there; of an image that is new, its decoding and what is written of it; of each tile.
INGRESS_MS = 5.8
INGRESS_MS_MB = 6.2
PICTURE_MS = 9.1
CUT_MS = 8.9
# Of a request's way through the LLM service without its engine's passes: an answer of its heart (docs/performance.md's
# engines, 199 a second), and a proxy's share of the first of these.
CHAT_MS = 10.0
# Of Redis's thread, for a request that asks it: before replicas had rows at hand, when each did. And of a MB there.
REDIS_MS = 0.042
REDIS_MS_MB = 1.0
# Bytes that Redis takes for one that it keeps: of entries of some twenty KB. Of large ones nearly none.
REDIS_OVERHEAD = 1.1
