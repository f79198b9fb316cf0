"""A decoder's process: files in, tiles out, one after the other, within limits that the kernel keeps.

It holds no keys, no weights and no torch, and ends with the replica that started it.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import socket
import sys
import warnings
from typing import Any

import numpy as np
from PIL import AvifImagePlugin, Image

from services.common import child
from services.common.errors import InvalidArgument
from services.common.parent import end_with
from services.encoder.images.decode import ImageLimits, decode
from services.encoder.images.frames import HEAD, Frame
from services.families.grid import Grid


def main(handle: int, parent: int, memory_bytes: int, timeout_s: float) -> None:
    """Serve the socket ``handle`` until its other end is closed.

    Args:
        handle: an inherited socket.
        parent: process id of the replica.
        memory_bytes: that decoding may take, beyond what the process has when it is ready.
        timeout_s: of processor time for a picture: should nobody be there to end what takes longer.
    """
    # Nobody decodes for a replica that was killed, not even to the end of a picture.
    if not end_with(parent):
        return
    connection = socket.socket(fileno=handle)
    warnings.simplefilter("ignore")
    # A slot is a core.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    _warm_up()
    child.limit_memory(memory_bytes)
    # What libraries print of a caller's file is nobody's business. Up to here it tells why there is no decoder.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with connection, connection.makefile("rb") as incoming:
        connection.sendall(Frame({"ready": True}).start())
        image: Image.Image | None = None
        while (asked := _receive(incoming)) is not None:
            if asked.says["do"] != "cut":
                image = None
            if asked.says["do"] == "drop":
                continue
            if asked.says["do"] == "decode":
                child.limit_processor(timeout_s)
            answer, image = _answer(asked, image)
            del asked
            connection.sendall(answer.start())
            connection.sendall(answer.body)


def _answer(asked: Frame, image: Image.Image | None) -> tuple[Frame, Image.Image | None]:
    """What is answered, and the picture that is held from now on."""
    says = asked.says
    try:
        if says["do"] == "decode":
            image = decode(bytes(asked.body), ImageLimits(says["max_bytes"], says["max_pixels"]))
            return Frame({"size": image.size}), image
        if image is None:
            return Frame({"failed": "nothing is decoded"}), None
        tiles = _cut(image, says)
        return Frame({"shape": tiles.shape}, tiles.tobytes()), None
    except InvalidArgument as error:
        # Libraries without exceptions say it in words.
        if isinstance(error.__cause__, MemoryError) or "memory" in str(error.__cause__):
            return Frame({"memory": True}), None
        return Frame({"refused": error.problem}), None
    except MemoryError:
        return Frame({"memory": True}), None
    except Exception as error:  # noqa: BLE001 - it is told to who asked, who says what becomes of it
        return Frame({"failed": f"{type(error).__name__}: {error}"}), None


def _cut(image: Image.Image, says: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    module, name = says["cutter"]
    cutter = getattr(importlib.import_module(module), name)(**says["arguments"])
    tiles: np.ndarray[Any, np.dtype[np.uint8]] = np.ascontiguousarray(cutter(image, Grid(**says["grid"])))
    return tiles


def _receive(incoming: io.BufferedReader) -> Frame | None:
    start = incoming.read(HEAD.size)
    if len(start) < HEAD.size:
        return None
    words, size = HEAD.unpack(start)
    text, body = incoming.read(words), incoming.read(size)
    return Frame(json.loads(text), body) if len(body) == size else None


def _warm_up() -> None:
    """Bring in what is else brought in by the first picture, before the limits are set."""
    drawn = io.BytesIO()
    Image.new("RGB", (8, 8)).save(drawn, "JPEG")
    decode(drawn.getvalue(), ImageLimits(1 << 20, 64))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
