"""Files are decoded in processes with limits: whatever is in them, they cost so much and no more, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import InvalidArgument, Unavailable
from services.common.stages import Stages
from services.encoder import metrics
from services.encoder.images import decoders as decoders_module
from services.encoder.images.decode import ImageLimits, decode
from services.encoder.images.decoders import Decoders
from services.families.family import CutError
from services.families.grid import Grid
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import raw_png
from tests.support.files import plain_webp, progressive_jpeg
from tests.support.pictures import encoded, picture
from tests.support.waiting import until, until_true

LIMITS = ImageLimits(20 << 20, 50_000_000)
GOOD = encoded(picture(300, 200), "JPEG")
# Twenty passes over fifty million pixels, which is what is let through: seconds.
SLOW = progressive_jpeg(6400, 7808, 19)
Open = Callable[..., Decoders]


@pytest.fixture
async def open_decoders() -> AsyncIterator[Open]:
    opened: list[Decoders] = []

    def make(workers: int = 1, timeout_s: float = 60.0, memory_bytes: int = 1 << 30) -> Decoders:
        opened.append(Decoders(LIMITS, workers=workers, timeout_s=timeout_s, memory_bytes=memory_bytes))
        return opened[-1]

    yield make
    for decoders in opened:
        decoders.close()


@pytest.fixture
def tiles(tiler: AnyresTiler) -> Callable[[Decoders, bytes], asyncio.Future[tuple[Grid, np.ndarray]]]:
    def start(decoders: Decoders, data: bytes) -> asyncio.Future[tuple[Grid, np.ndarray]]:
        return asyncio.ensure_future(decoders.tiles(data, tiler.cutter, tiler.grid, Stages()))

    return start


def _children() -> set[int]:
    """Decoders of this process."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    found = {int(pid) for file in children for pid in file.read_text().split()}
    return {pid for pid in found if b"decoder_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@pytest.fixture
def processes() -> Callable[[], set[int]]:
    """Decoders that the test has started; others' are there too."""
    before = _children()
    return lambda: _children() - before


@pytest.fixture
def ended() -> Callable[[], dict[str, float]]:
    """Decoders counted since the test began, by reason."""

    def counted() -> Counter[str]:
        samples = [sample for family in metrics.DECODERS_ENDED.collect() for sample in family.samples]
        return Counter({s.labels["reason"]: int(s.value) for s in samples if s.name.endswith("_total")})

    before = counted()
    return lambda: dict(counted() - before)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
async def test_tiles_are_those_of_this_process(open_decoders: Open, tiles, tiler: AnyresTiler, kind: str) -> None:
    decoders = open_decoders()
    for size in ((300, 200), (4, 100), (1000, 700)):
        data = encoded(picture(*size), kind)
        grid, found = await tiles(decoders, data)
        assert grid == tiler.grid(*size)
        assert np.array_equal(found, tiler.cut(decode(data, LIMITS), grid))


async def test_refusals_are_those_of_this_process(open_decoders: Open, processes, tiles, ended) -> None:
    decoders = open_decoders()
    await tiles(decoders, GOOD)
    before = processes()
    for data in (b"no image", GOOD[:2000], raw_png(60_000, 60_000), encoded(picture(300, 200), "TIFF")[:900]):
        with pytest.raises(InvalidArgument) as here:
            decode(data, LIMITS)
        with pytest.raises(InvalidArgument) as there:
            await tiles(decoders, data)
        assert str(there.value) == str(here.value)
    # A refusal costs no process.
    assert processes() == before
    assert not ended()


async def test_nothing_is_written_of_a_file(open_decoders: Open, tiles, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither Pillow's warnings and logs nor libtiff's words, which it writes by itself."""
    decoders = open_decoders()
    await decoders.start()
    whole = encoded(picture(300, 200), "TIFF", compression="tiff_lzw")
    # A byte of its tags at a time.
    tags = int.from_bytes(whole[4:8], "little")
    for at in range(tags, tags + 120, 4):
        with contextlib.suppress(InvalidArgument, CutError):
            await tiles(decoders, whole[:at] + b"\xf0" + whole[at + 1 :])
    assert capfd.readouterr() == ("", "")


async def test_what_cannot_be_cut_is_forgotten(open_decoders: Open, tiles) -> None:
    decoders = open_decoders()
    for _ in range(2):
        with pytest.raises(CutError):
            await tiles(decoders, encoded(picture(1500, 3)))
    assert (await tiles(decoders, GOOD))[1].any()


async def test_time_is_limited(open_decoders: Open, tiles, ended) -> None:
    decoders = open_decoders(timeout_s=0.3)
    await decoders.start()
    with pytest.raises(InvalidArgument, match=r"^image\.data: takes more than 0\.3 s to decode$"):
        await tiles(decoders, SLOW)
    assert ended() == {"timeout": 1}


async def test_processor_time_is_limited_by_the_kernel_too(open_decoders: Open, tiles, ended) -> None:
    """Should nobody be there to look at a clock."""
    decoders = open_decoders(timeout_s=0.1)
    await decoders.start()
    for decoder in decoders._idle:
        decoder._timeout_s = 60
    with pytest.raises(InvalidArgument, match="takes more than 60 s"):
        await tiles(decoders, SLOW)
    assert ended() == {"timeout": 1}


async def test_memory_is_limited(open_decoders: Open, tiles, ended) -> None:
    decoders = open_decoders(memory_bytes=128 << 20)
    large = encoded(picture(64, 64).resize((7000, 7000)), "JPEG")
    with pytest.raises(InvalidArgument, match=r"^image\.data: takes more than 128 MiB to decode$"):
        await tiles(decoders, large)
    assert (await tiles(decoders, GOOD))[1].any()
    assert (await tiles(open_decoders(), large))[1].any()
    assert ended() == {"memory": 1}


async def test_a_file_of_a_few_bytes_takes_no_more_than_its_pixels_need(open_decoders: Open, tiles) -> None:
    """A WebP's decoder makes room for what the file claims before anybody has looked at that."""
    decoders = open_decoders()
    grid, _ = await tiles(decoders, plain_webp(7000, 7142))
    assert (grid.width, grid.height) == (7000, 7142)
    with pytest.raises(InvalidArgument, match=r"has 16384x16384 = \d+ pixels; the limit is 50000000"):
        await tiles(decoders, plain_webp(16384, 16384))


async def test_who_leaves_gives_the_slot_back_at_once(open_decoders: Open, processes, tiles, ended) -> None:
    decoders = open_decoders()
    await decoders.start()
    (busy,) = processes()
    left = tiles(decoders, SLOW)
    await asyncio.sleep(0.2)
    waiting, good = tiles(decoders, SLOW), tiles(decoders, GOOD)
    await asyncio.sleep(0.05)
    for task in (left, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await good)[1].any()
    await until_true(lambda: busy not in processes())
    # One of them had none yet.
    assert ended() == {"abandoned": 1}


async def test_who_leaves_an_ordinary_picture_costs_no_process(
    open_decoders: Open, processes, tiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders_module, "_GRACE_S", 60.0)
    decoders = open_decoders()
    await decoders.start()
    before = processes()
    for number in range(30):
        left = tiles(decoders, GOOD if number % 3 else GOOD[:2000])
        await asyncio.sleep(number * 0.0005)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
    # The next one's are its own.
    other = encoded(picture(310, 210), "PNG")
    grid, _ = await tiles(decoders, other)
    assert (grid.width, grid.height) == (310, 210)
    assert processes() == before


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
async def test_a_decoder_that_crashes_says_something_of_the_file(
    open_decoders: Open, processes, tiles, ended, number: int
) -> None:
    decoders = open_decoders()
    await decoders.start()
    (pid,) = processes()
    asked = tiles(decoders, SLOW)
    await asyncio.sleep(0.3)
    os.kill(pid, number)
    with pytest.raises(InvalidArgument, match=r"^image\.data: is damaged \(its decoder crashed\)$"):
        await asked
    assert ended() == {"crash": 1}
    assert (await tiles(decoders, GOOD))[1].any()


async def test_a_decoder_that_is_killed_costs_another_try(open_decoders: Open, processes, tiles, ended) -> None:
    decoders = open_decoders()
    await decoders.start()
    (pid,) = processes()
    os.kill(pid, signal.SIGKILL)
    assert (await tiles(decoders, GOOD))[1].any()
    asked = tiles(decoders, SLOW)
    tries = 0
    while not asked.done():
        for pid in processes():
            os.kill(pid, signal.SIGKILL)
            tries += 1
        await asyncio.sleep(0.1)
    with pytest.raises(Unavailable, match="try again"):
        await asked
    assert tries >= 2
    assert set(ended()) == {"lost"}
    assert (await tiles(decoders, GOOD))[1].any()


async def test_no_process_can_be_started(open_decoders: Open, tiles, monkeypatch: pytest.MonkeyPatch) -> None:
    decoders = open_decoders()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(Unavailable):
            await tiles(decoders, GOOD)
    assert (await tiles(decoders, GOOD))[1].any()


async def test_they_end_with_who_refers_to_them(open_decoders: Open, processes) -> None:
    decoders = Decoders(LIMITS, workers=2, timeout_s=60, memory_bytes=1 << 30)
    await decoders.start()
    assert len(processes()) == 2
    del decoders
    await until_true(lambda: not processes())


PARENT = """
import asyncio, sys
from services.encoder.images.decode import ImageLimits
from services.encoder.images.decoder import Decoder
from tests.support.files import plain_webp, progressive_jpeg

async def main():
    limits = ImageLimits(20 << 20, 50_000_000)
    idle, busy = Decoder(600, 1 << 30), Decoder(600, 1 << 30)
    await idle.ready()
    await busy.ready()
    asked = asyncio.ensure_future(busy.decode(progressive_jpeg(6400, 7808, 19), limits))
    await asyncio.sleep(0.2)
    print(idle.pid, busy.pid, flush=True)
    await asked

asyncio.run(main())
"""


def test_they_end_with_a_replica_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert until(lambda: not any(_runs(pid) for pid in pids), 20, 0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


async def test_a_decoder_knows_no_keys(open_decoders: Open, processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEROSERVE_API_KEYS", "a-key")
    decoders = open_decoders()
    await decoders.start()
    assert processes()
    for pid in processes():
        assert b"a-key" not in Path(f"/proc/{pid}/environ").read_bytes()  # noqa: ASYNC240


async def test_slow_files_block_nobody_longer_than_their_callers_wait(open_decoders: Open, tiles) -> None:
    decoders = open_decoders(workers=2)
    await decoders.start()
    slow = [tiles(decoders, SLOW) for _ in range(6)]
    good = [tiles(decoders, encoded(picture(300, 200, seed))) for seed in range(4)]
    await asyncio.sleep(0.5)
    started = time.process_time()
    for task in slow:
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*good), 60)
    await asyncio.gather(*slow, return_exceptions=True)
    # Nothing of it is done in this process.
    assert time.process_time() - started < 5
