"""Which formats are read, told by a file's first bytes."""

from __future__ import annotations

import re

from PIL import Image

from services.encoder.images.refusal import refused

Image.init()

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
READ = f"read are {', '.join(FORMATS)}"
# What people send all the same, by how it begins.
_OTHERS = {
    rb"....ftyphe[im]": "HEIC",
    rb"%PDF": "PDF",
    rb"\s*<(\?xml|svg|!DOCTYPE svg)": "SVG or other XML",
    rb"\s*<(!DOCTYPE )?html": "HTML",
    rb"\xff\n|\0\0\0\x0cJXL ": "JPEG XL",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "JPEG 2000",
    rb"\0\0[\1\2]\0": "ICO",
    rb"8BPS": "PSD",
    rb"....ftyp": "a film",
    rb"data:|(/9j/|iVBORw0KGgo|UklGR|R0lGOD)": "Base64",
}


def format_of(data: bytes) -> str:
    """Raises:
    InvalidArgument: none of them.
    """
    for name in FORMATS:
        accept = Image.OPEN[name][1] if name in Image.OPEN else None
        # A plugin without its library has words for it.
        if accept is not None and accept(data[:16]) is True:
            return name
    found = (name for start, name in _OTHERS.items() if re.match(start, data[:64], re.DOTALL | re.IGNORECASE))
    other = next(found, None)
    raise refused(f"is not an image in one of {', '.join(FORMATS)}{f'; it is {other}' if other else ''}")
