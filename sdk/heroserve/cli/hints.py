"""What to do next, for what goes wrong most."""

from __future__ import annotations

import re
import socket

import grpc

from heroserve.errors import HeroserveError, ImageError, InvalidArgument
from heroserve.failure import setback_of

# What a service, or the SDK, says is wrong with a picture, and how it becomes one that can be sent.
_PICTURES = {
    r"it is PDF$": "draw a page as PNG first: pdftoppm -png -singlefile -r 150 FILE page",
    r"it is SVG or other XML$": "draw it as PNG first: rsvg-convert FILE -o picture.png",
    r"it is HEI[CF]$": "save it as JPEG first: heif-convert FILE picture.jpg",
    r"it is HTML$": "that is a web page: download the picture that is on it",
    r"it is Base64$": "decode it first: base64 -d FILE | heroserve ask - QUESTION",
    r"it is a film$": "take a frame first: ffmpeg -i FILE -frames:v 1 frame.png",
    r"it is text$": "name the picture itself",
    r"is not an image in one of": "open it in a viewer, and save it as PNG or JPEG",
    r"(?i)file: URLs are not fetched": "give the path: what follows file://",
    r"URLs are not fetched": "download it first: curl -sL URL | heroserve ask - QUESTION",
    r"it is a directory$": "name a file in it",
    r"No such file or directory$": "IMAGE is a file's name, or - for stdin",
    r"(?<!the path) is empty$": "was it downloaded or copied to its end?",
    r"Permission denied$": "who runs this must be allowed to read it",
    r"request holds at most \d+$|of more than \d+ pixels|the limit is \d+": "make the picture smaller",
}
MAX_IMAGES = "the LLM service's HEROSERVE_MAX_IMAGES says how many it takes"
_OTHER_SIDE = "is HOST:PORT that of the service's gRPC (LLM 9001, encoder 9000), and --tls as the service has it?"


def hint(error: HeroserveError, target_option: str, has_key: bool, *, taken: bool, tls: bool = False) -> str:
    """The rest of a line: what could be done about a failed call; "" where its message says all there is.

    `taken` is whether something else listens where nobody took the call up (`somebody_else`); with `tls`
    what listens may have waited for another greeting until the end.
    """
    if isinstance(error, InvalidArgument):
        if re.match(r"messages: have \d+ images", error.details):
            return MAX_IMAGES
        of_image = isinstance(error, ImageError) or "image" in error.details.partition(": ")[0]
        found = (words for said, words in _PICTURES.items() if re.search(said, error.details))
        return next(found, "") if of_image else ""
    match error.code:
        case grpc.StatusCode.UNAUTHENTICATED:
            return f"give {'another' if has_key else 'one'}: --api-key KEY or HEROSERVE_API_KEY"
        case grpc.StatusCode.UNAVAILABLE:
            return _of_unavailable(error, target_option, taken)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return "--timeout SECONDS gives it longer" + (f"; {_OTHER_SIDE}" if tls else "")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            after = error.retry_after_s
            return f"ask again in {max(1, round(after))} s" if after is not None and after >= 0 else "ask again later"
        case grpc.StatusCode.UNIMPLEMENTED:
            return "`ask` and `describe` go to the LLM service (--target), `encode` to the encoder (--encoder-target)"
        case grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN:
            return "a bug: the service's log has it, under this request's id"
        case _:
            return ""


def _of_unavailable(error: HeroserveError, target_option: str, taken: bool) -> str:
    if nobody_there(error):
        if taken:
            return _OTHER_SIDE
        named = {"URL": "--target"}.get(target_option, target_option)
        variable = "HEROSERVE_" + named.removeprefix("--").replace("-", "_").upper()
        return (
            "start the services (`make up` in a checkout, `docker compose up --wait`), or say where they are: "
            f"{target_option.replace('URL', 'URL as')} HOST:PORT or {variable}"
        )
    said = error.details.lower()
    if "handshake" in said or "http1" in said or "ssl" in said or "http2" in said:
        return _OTHER_SIDE
    return "the service, or one that it needs, was lost or is starting: ask again in a moment"


def nobody_there(error: HeroserveError) -> bool:
    """Whether nobody took the call up."""
    return error.code is grpc.StatusCode.UNAVAILABLE and setback_of(error.code, error.details) == "absent"


def somebody_else(target: str, details: str = "") -> bool:
    """Whether something listens there all the same: on one of a name's addresses, and of the others gRPC said more."""
    if "HTTP/2" in details:  # it has said something, and that was none
        return True
    host, _, port = target.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except (OSError, ValueError):
        return False
