"""What a request took of processors when it was measured: the calculator's defaults for what no shape tells.

Of two x86-64 cores. A core elsewhere is another core: measure there (``python -m benchmarks.growth``), and say so by
the options. ``tests/unit/llm/test_capacity.py`` holds the first of them to docs/growth.json.
"""

from __future__ import annotations

# Milliseconds of a core: of a request's way through the encoder's proxy and ingress, its image known; of an image that
# is new, its decoding and what is written of it; of each tile; of Redis's thread, for a request.
INGRESS_MS = 9.8
PICTURE_MS = 14.0
CUT_MS = 0.31
REDIS_MS = 0.042
# Of a MB of rows. Not core-time but what it adds to a latency, and so not too little: docs/performance.md's hits at
# R = 0.2 and 1.
INGRESS_MS_MB = 13.0
# Of a request's way through the LLM service without its engine's passes: an answer of its heart (docs/performance.md's
# engines, 199 a second), and a proxy's share of the first of these.
CHAT_MS = 10.0
# Of a MB there: assumed, 2 GB/s.
REDIS_MS_MB = 0.5
# Bytes that Redis takes for one that it keeps.
REDIS_OVERHEAD = 1.1
