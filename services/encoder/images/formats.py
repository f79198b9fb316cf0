"""Which formats are read, told by a file's first bytes."""

from __future__ import annotations

import codecs
import re

from PIL import Image

from services.encoder.images.refusal import refused

Image.init()

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
READ = f"read are {', '.join(FORMATS)}"
_LOOKED_AT = 4096
# Of two kinds in one file the first counts: what can be read.
_BRANDS: dict[str, frozenset[bytes]] = {
    "AVIF": frozenset({b"avif", b"avis"}),
    "HEIC": frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}),
    "HEIF": frozenset({b"mif1", b"mif2", b"msf1", b"miaf"}),
    "CR3": frozenset({b"crx "}),
}
# What people send all the same, by how it begins.
_OTHERS = {
    rb"%PDF": "PDF",
    rb"<(!DOCTYPE )?html": "HTML",
    rb"<(\?xml|svg|!DOCTYPE svg|!--)": "SVG or other XML",
    rb"\xff\n|\0\0\0\x0cJXL ": "JPEG XL",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "JPEG 2000",
    # One picture and more, and of the first the byte that is always 0.
    rb"\0\0[\1\2]\0(?!\0\0).....\0": "ICO",
    # Without a palette or with one; then bits a pixel.
    rb".\0[\2\3\x0a\x0b]\0{5}.{8}[\x08\x10\x18\x20]|.\x01[\x01\x09].{4}[\x0f\x10\x18\x20].{8}\x08": "TGA",
    rb"8BPS": "PSD",
    rb"data:|(/9j/|iVBORw0KGgo|UklGR|R0lGOD)": "Base64",
}


def format_of(data: bytes) -> str:
    """Raises:
    InvalidArgument: none of them.
    """
    container = _in_a_container(data)
    # What is in there Pillow tells by the first brand, which may be that of the container.
    start = b"\0\0\0\x0cftypavif" if container == "AVIF" else b"" if container else data[:16]
    for name in FORMATS:
        accept = Image.OPEN[name][1] if name in Image.OPEN else None
        # A plugin without its library has words for it.
        if accept is not None and accept(start) is True:
            return name
    other = container or _other(data)
    raise refused(f"is not an image in one of {', '.join(FORMATS)}{f'; it is {other}' if other else ''}")


def _in_a_container(data: bytes) -> str | None:
    """What a file of ISO's boxes holds, told by all of its brands; None of any other file."""
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), _LOOKED_AT)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
    return next((name for name, known in _BRANDS.items() if brands & known), "a film")


def _other(data: bytes) -> str | None:
    text = data[:_LOOKED_AT]
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = text.decode("utf-16", "replace").encode()
    text = text.removeprefix(codecs.BOM_UTF8)
    if text.lstrip().startswith(b"<"):
        text = text.lstrip()
    while text.startswith(b"<!--") and b"-->" in text:
        text = text.partition(b"-->")[2].lstrip()
    found = (name for start, name in _OTHERS.items() if re.match(start, text, re.DOTALL | re.IGNORECASE))
    return next(found, None) or ("text" if _is_text(text) else None)


def _is_text(start: bytes) -> bool:
    try:
        # The last character may be cut.
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return text.isprintable() or all(letter.isprintable() or letter in "\t\n\r\f" for letter in text)
