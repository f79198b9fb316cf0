"""What the literature reports of LLaVA-NeXT-7B, to read one's own curve by; docs/method.md has its caveats."""

from __future__ import annotations

from dataclasses import dataclass

# Of LLaVA-NeXT's most tokens: five tiles of 576.
WHOLE = 2880
TOKENS = (640, 320, 160)


@dataclass(frozen=True)
class Reported:
    """A line of a paper's table.

    Args:
        method: what it calls itself.
        shares: of the accuracy with all tokens, in percent, at ``TOKENS``; None where it tells none.
    """

    method: str
    shares: tuple[float | None, float | None, float | None]


LITERATURE = (
    Reported("TOPS", (100.0, 99.1, 96.4)),
    Reported("EADP (reads the question)", (100.0, 98.3, 95.6)),
    Reported("SCOPE", (99.8, 97.8, 94.4)),
    Reported("CDPruner", (99.5, 97.3, 94.9)),
    Reported("VisionZip", (98.9, 94.9, 89.1)),
    Reported("HiRED", (None, 91.7, None)),
)
