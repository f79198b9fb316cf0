"""Colours that a file states in numbers, as PNG's gAMA and cHRM do, written down as a colour profile."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

Matrix = np.ndarray[Any, np.dtype[np.float64]]
# What a file without any statement means; so near to it, libpng and browsers take it to be that.
_SRGB_GAMMA, _NEAR = 1 / 2.2, 0.05
# x, y of white, red, green, blue.
_SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_SAME_XY = 0.01
_D50 = np.array([0.9642, 1.0, 0.8249])
# Bradford's responses of the eye, between whites.
_EYE = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_MIN_GAMMA, _MAX_GAMMA = 0.1, 5.0


def profile(gamma: float, chromaticities: tuple[float, ...] | None, *, grey: bool) -> bytes | None:
    """An ICC profile; None where it would be sRGB, or the numbers can't be.

    Args:
        gamma: the exponent that light was stored by, 0.45455 of most pictures.
        chromaticities: x, y of white, red, green and blue; None for sRGB's.
        grey: pictures of one channel.
    """
    if not _MIN_GAMMA <= gamma <= _MAX_GAMMA:
        return None
    xy = np.array(_SRGB if chromaticities is None or grey else chromaticities, np.float64).reshape(4, 2)
    plain = np.abs(xy - np.array(_SRGB).reshape(4, 2)).max() <= _SAME_XY
    if plain and abs(gamma / _SRGB_GAMMA - 1) <= _NEAR:
        return None
    curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(256 / gamma))
    if grey:
        return _written(b"GRAY", {b"kTRC": curve})
    if (xy <= 0).any() or (xy.sum(axis=1) > 1).any():
        return None
    columns = _adapted(xy)
    if columns is None:
        return None
    xyz = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)}
    return _written(b"RGB ", {**xyz, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)})


def _adapted(xy: Matrix) -> Matrix | None:
    """XYZ of red, green and blue as columns, seen in D50."""
    white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in xy)
    directions = np.stack(primaries, axis=1)
    try:
        columns = directions * np.linalg.solve(directions, white)
    except np.linalg.LinAlgError:
        return None
    adaptation = np.linalg.inv(_EYE) @ np.diag((_EYE @ _D50) / (_EYE @ white)) @ _EYE
    adapted: Matrix = adaptation @ columns
    return adapted


def _xyz(values: Matrix) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _written(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Version 2.1, of a display."""
    tags = {b"wtpt": _xyz(_D50), **tags}
    table, data, at = b"", b"", 132 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", at + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    whole = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4xI", 128 + len(whole), 0x02100000) + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp"
    return head.ljust(68, b"\0") + _xyz(_D50)[8:] + bytes(48) + whole
