"""Where the stack listens: the usual ports, or free ones where somebody has those."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.free_port import free_port, is_free
from scripts.stack.hold import Hold


@dataclass(frozen=True)
class Ports:
    """By default the usual ones, as README has them."""

    redis: int = 6379
    encoder: int = 9000
    encoder_http: int = 8000
    encoder_metrics: int = 9100
    llm: int = 9001
    llm_http: int = 8001
    llm_metrics: int = 9101
    encoder_ray_metrics: int = 9102
    llm_ray_metrics: int = 9103

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody uses, so that a demo never meets another service."""
        return cls(*(free_port() for _ in dataclasses.fields(cls)))

    @classmethod
    def choose(cls, hold: Hold, usual: Ports | None = None) -> Ports:
        """The usual ones, each of them that somebody has replaced by one that nobody has; all of them held."""
        chosen = {}
        for name, port in dataclasses.asdict(usual or cls()).items():
            while not (is_free(port) and hold.take(port)):
                port = free_port()
            chosen[name] = port
        return cls(**chosen)

    def moved(self, usual: Ports | None = None) -> Iterator[tuple[str, int, int]]:
        """Of each that is not the usual one: what for, the usual one and this one."""
        for name, port in dataclasses.asdict(usual or Ports()).items():
            if getattr(self, name) != port:
                yield name.replace("_", " "), port, getattr(self, name)

    def of(self, service: str) -> dict[str, int]:
        """A service's own, by the part of the variable's name that is not every port's."""
        return {
            "GRPC": getattr(self, service),
            "HTTP": getattr(self, f"{service}_http"),
            "METRICS": getattr(self, f"{service}_metrics"),
            "RAY_METRICS": getattr(self, f"{service}_ray_metrics"),
        }
