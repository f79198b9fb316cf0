"""Kinds of requests, and of images."""

from __future__ import annotations

NEW, KNOWN, ECHOED, ANSWERS, ANSWERS_KNOWN = "new image", "known image", "echo", "answers", "answers, image known"
# (rows, columns) of local tiles, by how many they are.
GRIDS = {1: (1, 1), 2: (1, 2), 4: (2, 2), 6: (2, 3), 9: (3, 3), 12: (3, 4)}
# Of the images that are talked about.
TALKED_ABOUT = 4
