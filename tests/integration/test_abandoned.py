"""Callers that don't wait: nothing goes on for them, and nobody waits behind them."""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import grpc
import psutil

import heroserve
from heroserve.v1.encoder_pb2 import EncodeRequest
from heroserve.v1.encoder_pb2_grpc import VisionEncoderStub
from heroserve.v1.tokens_pb2 import Image
from tests.support.pictures import encoded, picture
from tests.support.services import Services, processes
from tests.support.waiting import until

PICTURES = 60
TILES = "heroserve_tower_batch_tiles_sum"


def decoders() -> dict[int, int]:
    """Processes that decode for a replica of the encoder, and that replica's."""
    found = list(processes())
    replicas = {process.pid for process, command in found if "Encoder" in command}
    decoding = {}
    for process, command in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            if "decoder_main" in command and process.ppid() in replicas:
                decoding[process.pid] = process.ppid()
    return decoding


def passed(services: Services) -> float:
    """Tiles that went through the tower, when it has been quiet for a second."""
    seen = -1.0

    def quiet() -> bool:
        nonlocal seen
        before, seen = seen, services.sample("encoder", TILES)
        return before == seen

    assert until(quiet, 60, 1.0)
    return seen


def ask(services: Services, files: list[bytes], timeout_s: float) -> list[grpc.StatusCode]:
    with grpc.insecure_channel(services.grpc) as channel, ThreadPoolExecutor(len(files)) as pool:
        stub = VisionEncoderStub(channel)

        def one(data: bytes) -> grpc.StatusCode:
            request = EncodeRequest(image=Image(data=data), question="What?")
            try:
                stub.Encode(request, metadata=[("application", "encoder")], timeout=timeout_s)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        return list(pool.map(one, files))


def test_pictures_of_callers_that_have_gone_are_not_encoded(services: Services, client: heroserve.Client) -> None:
    first = client.encode(encoded(picture(600, 600, seed=900), "JPEG"), "What?")
    files = [encoded(picture(600, 600, seed=seed), "JPEG") for seed in range(1000, 1000 + PICTURES)]
    before = services.sample("encoder", TILES)
    codes = ask(services, files, 0.4)
    assert grpc.StatusCode.INTERNAL not in codes
    answered = codes.count(grpc.StatusCode.OK)
    assert answered < PICTURES / 2
    # What has begun ends, and then it is quiet, and somebody who waits is served.
    assert client.encode(encoded(picture(600, 600, seed=901), "JPEG"), "What?").savings.kept > 0
    assert (passed(services) - before) / len(first.tiles) < answered + PICTURES / 2


def test_files_that_take_for_ever_block_nobody(services: Services, client: heroserve.Client) -> None:
    client.encode(encoded(picture(300, 200, seed=902)), "What?")
    stuck = decoders()
    assert len(stuck) == 2
    for pid in stuck:
        os.kill(pid, signal.SIGSTOP)
    files = [encoded(picture(300, 200, seed=seed)) for seed in range(2000, 2006)]
    assert set(ask(services, files[:2], 1.5)) == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert client.encode(files[0], "What?").savings.kept > 0
    assert until(lambda: len(decoders()) == 2 and not stuck.keys() & decoders().keys(), 20, 0.1)


def test_decoders_end_with_a_replica_that_is_killed(services: Services) -> None:
    with heroserve.Client(services.grpc, encoder_target=services.grpc, timeout_s=90) as client:
        client.encode(encoded(picture(300, 200, seed=903)), "What?")
        before = decoders()
        assert len(before) == 2
        os.kill(next(iter(before.values())), signal.SIGKILL)
        assert until(lambda: not before.keys() & decoders().keys(), 20, 0.1)
        assert client.encode(encoded(picture(300, 200, seed=904)), "What?").savings.kept > 0
        assert until(lambda: len(decoders()) == 2, 20, 0.1)
