"""One process that decodes, as the replica sees it: asked over a socket, and killed when it may not go on."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import weakref
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from services.common import child
from services.common.errors import InvalidArgument
from services.encoder.images.decode import ImageLimits
from services.encoder.images.frames import HEAD, Frame
from services.encoder.images.refusal import refused
from services.encoder.images.within import within
from services.families.grid import Grid

if TYPE_CHECKING:
    from services.families.family import Cutter

logger = logging.getLogger(__name__)

Tiles = np.ndarray[Any, np.dtype[np.uint8]]

_MAIN = "services.encoder.images.decoder_main"
# By which a decoder's own code dies of what it reads.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
_START_S = 60.0


class DecoderLost(Exception):
    """The process could not be started, or was ended by nobody here: no fault of the file's."""


class Decoder:
    """A process with limits of its own; see ``decoder_main``.

    To be made on a thread that lives as long as the replica, as an event loop's does: Linux ends the process with it.

    Args:
        timeout_s: for a picture to be decoded and cut.
        memory_bytes: that it may take meanwhile.

    Attributes:
        pictures: that it was given.
        usable: False from when it is asked until it has answered, and for good where it could not.
        ended_by: what of a file's made it useless, if that did: "timeout", "memory" or "crash".

    Raises:
        DecoderLost: no process can be started.
    """

    def __init__(self, timeout_s: float, memory_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._running: asyncio.Task[Frame] | None = None
        self._coming: asyncio.Task[DecoderLost | None] | None = None
        self.pictures = 0
        self.usable = True
        self.ended_by = ""
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        arguments = [str(value) for value in (theirs.fileno(), os.getpid(), memory_bytes, timeout_s)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", _MAIN, *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # A file that breaks a decoder finds no keys here.
                env=child.environment(OPENBLAS_NUM_THREADS="1"),
            )
        except OSError as error:
            self._socket.close()
            raise DecoderLost(f"can't be started: {error}") from error
        finally:
            theirs.close()
        self._end = weakref.finalize(self, _end, self._process, self._socket)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it, whatever it is doing. ``reap`` waits until it is gone, which takes a while where it had much."""
        if self._running is not None:
            self._running.cancel()
        self._process.kill()
        self._socket.close()

    def reap(self) -> None:
        self._end()

    async def ready(self) -> None:
        """Wait until it takes files.

        Raises:
            DecoderLost: it does not come up.
        """
        if self._coming is None:
            # A task of its own: who leaves meanwhile leaves it to the next.
            self._coming = asyncio.ensure_future(self._come_up())
        lost = await asyncio.shield(self._coming)
        if lost is not None:
            self.usable = False
            raise lost

    async def _come_up(self) -> DecoderLost | None:
        try:
            await within(_START_S, self._receive())
        except (asyncio.TimeoutError, EOFError, OSError) as error:
            return DecoderLost(f"did not start: {type(error).__name__}")
        return None

    async def decode(self, data: bytes, limits: ImageLimits) -> tuple[int, int]:
        """Decode a file; its picture is held until it is cut, or the next file comes.

        Returns:
            Width and height in pixels.

        Raises:
            InvalidArgument: it can't be decoded, or not within the limits.
            DecoderLost: try another decoder.
        """
        self.pictures += 1
        asked = {"do": "decode", "max_bytes": limits.max_bytes, "max_pixels": limits.max_pixels}
        answer = await self._ask(Frame(asked, data))
        width, height = answer.says["size"]
        return width, height

    async def cut(self, cutter: Cutter, grid: Grid) -> Tiles:
        """The picture's tiles, uint8 [T, 3, size, size].

        Raises:
            InvalidArgument: not within the limits.
            DecoderLost: try another decoder.
        """
        kind = type(cutter)
        asked = {
            "do": "cut",
            "cutter": [kind.__module__, kind.__qualname__],
            "arguments": asdict(cutter),
            "grid": asdict(grid),
        }
        answer = await self._ask(Frame(asked))
        return np.frombuffer(answer.body, np.uint8).reshape(answer.says["shape"])

    def drop(self) -> None:
        """Forget the picture that is held."""
        self.usable = False
        drop = Frame({"do": "drop"}).start()
        self.usable = self._socket.send(drop) == len(drop)

    async def settle(self, seconds: float) -> None:
        """Let what nobody waits for any more come to its end, if that is near: it is cheaper than another process."""
        if self.usable or self._running is None:
            return
        await asyncio.wait({self._running}, timeout=seconds)
        if self._running.done() and self._running.exception() is None and "memory" not in self._running.result().says:
            self.drop()

    async def _ask(self, asked: Frame) -> Frame:
        await self.ready()
        self.usable = False
        # Who is cancelled leaves it running, to be killed or settled.
        self._running = asyncio.ensure_future(self._exchange(asked))
        await asyncio.wait({self._running}, timeout=self._timeout_s)
        if not self._running.done():
            raise self._too_slow()
        try:
            answer = self._running.result()
        except (EOFError, OSError) as error:
            raise await asyncio.to_thread(self._ended) from error
        says = answer.says
        if "memory" in says:
            self.ended_by = "memory"
            raise refused(f"takes more than {math.ceil(self._memory_bytes / (1 << 20))} MiB to decode")
        self.usable = True
        if "refused" in says:
            raise refused(says["refused"])
        if "failed" in says:
            raise RuntimeError(f"a decoder: {says['failed']}")
        return answer

    def _ended(self) -> InvalidArgument | DecoderLost:
        """What it means that it died in place of an answer."""
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            return DecoderLost("closed its socket")
        if code == -signal.SIGXCPU:
            return self._too_slow()
        if -code in _CRASHES:
            self.ended_by = "crash"
            logger.warning("a file ended its decoder by %s", signal.Signals(-code).name)
            return refused("is damaged (its decoder crashed)")
        return DecoderLost(f"ended with {code}")

    def _too_slow(self) -> InvalidArgument:
        self.ended_by = "timeout"
        return refused(f"takes more than {self._timeout_s:g} s to decode")

    async def _exchange(self, asked: Frame) -> Frame:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._socket, asked.start())
        await loop.sock_sendall(self._socket, asked.body)
        return await self._receive()

    async def _receive(self) -> Frame:
        words, size = HEAD.unpack(await self._exactly(HEAD.size))
        return Frame(json.loads(await self._exactly(words)), await self._exactly(size))

    async def _exactly(self, size: int) -> bytearray:
        loop = asyncio.get_running_loop()
        held = bytearray(size)
        view, at = memoryview(held), 0
        while at < size:
            count = await loop.sock_recv_into(self._socket, view[at:])
            if not count:
                raise EOFError
            at += count
        return held


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    process.kill()
    # At once, unless the kernel is busy freeing what it had.
    process.wait()
