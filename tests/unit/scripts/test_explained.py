"""README's first picture is what its command draws."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[3]


def test_the_picture_that_opens_readme_is_made_by_its_command(tmp_path: Path) -> None:
    """Of the same scene, question and layout; which patches are kept at the margin is the CPU's rounding."""
    opening = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    (name,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", opening)
    (line,) = re.findall(r"-m scripts\.explained (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert line == name
    made = tmp_path / "explained.png"
    command = [sys.executable, "-W", "error::UserWarning:heroserve", "-m", "scripts.explained", str(made)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=240)
    with Image.open(made) as ours, Image.open(ROOT / name) as kept:
        assert ours.size == kept.size
        one, other = ours.convert("L"), kept.convert("L")
        same = sum(abs(a - b) < 40 for a, b in zip(one.tobytes(), other.tobytes(), strict=True))
        assert same > 0.95 * one.width * one.height
    # A repository keeps every version of it.
    assert (ROOT / name).stat().st_size < 150_000
