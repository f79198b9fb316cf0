"""All decoders of a replica: as many pictures at once, and nobody waits behind a file that takes too long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from services.common.errors import Unavailable
from services.common.stages import Stages
from services.encoder import metrics
from services.encoder.images.decode import ImageLimits
from services.encoder.images.decoder import Decoder, DecoderLost, Tiles
from services.families.grid import Grid

if TYPE_CHECKING:
    from services.families.family import Cutter

logger = logging.getLogger(__name__)

# What a library leaks, or leaves in pieces, goes with its process.
_PICTURES = 1000
_TRIES = 2
# Less than it takes to start a process.
_GRACE_S = 0.2


class Decoders:
    """Processes that decode and cut. They end when this is closed or no longer referred to, and with this process.

    Args:
        limits: what an image may be.
        workers: how many, each a core at most.
        timeout_s: for a picture to be decoded and cut, once its turn has come.
        memory_bytes: that each may take meanwhile.
    """

    def __init__(self, limits: ImageLimits, *, workers: int, timeout_s: float, memory_bytes: int) -> None:
        self._limits = limits
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._workers = workers
        self._idle: list[Decoder] = []
        self._turns = asyncio.Semaphore(workers)

    async def start(self) -> None:
        """Have them all ready before the first picture comes.

        Raises:
            DecoderLost: one does not come up.
        """
        self._idle += [self._new() for _ in range(self._workers - len(self._idle))]
        for decoder in self._idle:
            await decoder.ready()

    async def tiles(
        self, data: bytes, cutter: Cutter, grid_of: Callable[[int, int], Grid], stages: Stages
    ) -> tuple[Grid, Tiles]:
        """A file's grid and tiles, uint8 [T, 3, size, size].

        Who is cancelled gives its decoder back at once, or nearly: what that was doing is ended with it.

        Args:
            data: the file.
            cutter: cuts its picture.
            grid_of: from width and height in pixels; what it raises is raised.
            stages: are given "decode" and "tile".

        Raises:
            InvalidArgument: it can't be decoded, or takes too much time or memory.
            Unavailable: decoders die, and not of the file.
        """
        async with self._turns:
            for left in reversed(range(_TRIES)):
                try:
                    async with self._decoder() as decoder:
                        with stages.time("decode"):
                            width, height = await decoder.decode(data, self._limits)
                        try:
                            grid = grid_of(width, height)
                        except Exception:
                            decoder.drop()
                            raise
                        with stages.time("tile"):
                            return grid, await decoder.cut(cutter, grid)
                except DecoderLost as lost:
                    metrics.DECODERS_ENDED.labels(reason="lost").inc()
                    logger.warning("a decoder %s", lost, extra={"tries_left": left})
        raise Unavailable("no image can be decoded just now; try again")

    def close(self) -> None:
        while self._idle:
            self._idle.pop().reap()

    @asynccontextmanager
    async def _decoder(self) -> AsyncIterator[Decoder]:
        decoder = self._next()
        try:
            yield decoder
        except asyncio.CancelledError:
            await decoder.settle(_GRACE_S)
            if not decoder.usable:
                metrics.DECODERS_ENDED.labels(reason="abandoned").inc()
            raise
        finally:
            if decoder.usable and decoder.pictures < _PICTURES:
                self._idle.append(decoder)
            else:
                if decoder.ended_by:
                    metrics.DECODERS_ENDED.labels(reason=decoder.ended_by).inc()
                decoder.kill()
                asyncio.get_running_loop().run_in_executor(None, decoder.reap)
                # The next one comes up while nobody waits for it.
                self._renew()

    def _next(self) -> Decoder:
        while self._idle:
            decoder = self._idle.pop()
            if decoder.alive:
                return decoder
            metrics.DECODERS_ENDED.labels(reason="lost").inc()
            decoder.reap()
        return self._new()

    def _renew(self) -> None:
        try:
            self._idle.insert(0, self._new())
        except DecoderLost as lost:
            # Whoever needs it tries again.
            metrics.DECODERS_ENDED.labels(reason="lost").inc()
            logger.warning("a decoder %s", lost)

    def _new(self) -> Decoder:
        return Decoder(self._timeout_s, self._memory_bytes)
