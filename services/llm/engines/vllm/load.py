"""What a vLLM engine has to do, for the service's metrics."""

from __future__ import annotations

from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase

from services.common.waiting import WAITING
from services.llm import metrics

_WAITING = WAITING.labels(where="engine")
_HITS = metrics.ENGINE_PREFIX_TOKENS.labels(outcome="hit")
_MISSES = metrics.ENGINE_PREFIX_TOKENS.labels(outcome="miss")


class Load:
    """How many requests it has, and how many of them wait.

    vLLM tells the latter at each step. Where the last request is called off there is none any more, so what it has is
    counted here.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._said_waiting = 0

    @property
    def waiting(self) -> int:
        """Requests that it has no room to begin with."""
        return min(self._said_waiting, self.requests)

    def add(self, change: int) -> None:
        """One more, or one less."""
        self.requests += change
        if not self.requests:
            metrics.ENGINE_KV_CACHE_USAGE.set(0)
        self._show()

    def stepped(self, stats: Any) -> None:
        """Of vLLM's ``SchedulerStats`` of a step."""
        self._said_waiting = stats.num_waiting_reqs + stats.num_skipped_waiting_reqs
        cache = stats.prefix_cache_stats
        _HITS.inc(cache.hits)
        _MISSES.inc(cache.queries - cache.hits)
        if self.requests:
            metrics.ENGINE_KV_CACHE_USAGE.set(stats.kv_cache_usage)
        self._show()

    def _show(self) -> None:
        _WAITING.set(self.waiting)
        metrics.ENGINE_RUNNING.set(self.requests - self.waiting)


def stat_logger(load: Load) -> Any:
    """What vLLM makes one of, to tell of its steps."""

    class Steps(StatLoggerBase):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            pass

        def record(self, scheduler_stats: Any, iteration_stats: Any, *others: Any, **named: Any) -> None:
            if scheduler_stats is not None:
                load.stepped(scheduler_stats)
            if iteration_stats is not None and iteration_stats.num_preempted_reqs:
                metrics.ENGINE_PREEMPTIONS.inc(iteration_stats.num_preempted_reqs)

        def log_engine_initialized(self) -> None:
            pass

    return Steps
