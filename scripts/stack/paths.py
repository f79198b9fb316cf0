"""What lies in the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = "examples/scene.png"
QUESTION = "what character is on the black star?"
