"""Which images a service has seen: for those, 32 bytes are tried before the megabytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from google.protobuf.message import Message

from heroserve.images import image_digest
from heroserve.v1.chat_pb2 import GenerateRequest
from heroserve.v1.encoder_pb2 import EncodeRequest
from heroserve.v1.tokens_pb2 import Image


class SentImages:
    """Digests of images one service has accepted; the least recently used go first. Thread-safe."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._digests: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, digest: str) -> bool:
        with self._lock:
            return digest in self._digests

    def remember(self, digests: Iterable[str]) -> None:
        """These have been accepted."""
        with self._lock:
            for digest in digests:
                self._digests[digest] = None
                self._digests.move_to_end(digest)
            while len(self._digests) > self._capacity:
                self._digests.popitem(last=False)

    def forget(self, digests: Iterable[str]) -> None:
        """The service does not have these any more."""
        with self._lock:
            for digest in digests:
                self._digests.pop(digest, None)


def images_of(request: Message) -> list[Image]:
    """The images in `request`, in order; changing one changes the request."""
    if isinstance(request, EncodeRequest):
        images = [request.image]
    elif isinstance(request, GenerateRequest):
        images = [part.image for message in request.messages for part in message.parts]
    else:
        images = []
    return [image for image in images if image.WhichOneof("source")]


def digest_of(image: Image) -> str:
    """The digest of an image, whichever way it holds it."""
    return image.digest or image_digest(image.data)
