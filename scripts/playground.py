"""docs/playground*.png: the Playground in a real Chromium, asked about the demo's scene.

python -m scripts.playground docs

`make playground-pictures` installs what it needs. It starts a stack of its own, with the model in the box.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from scripts.stack import Ports, Stack

QUESTION = "what characters are on the black cross and the green square?"
_WIDE, _TWO = ViewportSize(width=1280, height=900), ViewportSize(width=1280, height=1080)
# Taller than it is, so that all of an answer is on it.
_PHONE = ViewportSize(width=390, height=1180)
_PATIENCE_MS = 60_000


def launch_options() -> dict[str, Any]:
    """Of Debian's Chromium, where there is one, else of Playwright's own. Who is root has no sandbox."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return {"executable_path": found, "args": ["--no-sandbox"]}


def answer(page: Page, url: str) -> None:
    """Ask about the example."""
    page.goto(url)
    page.get_by_role("button", name="Shapes with characters").click()
    page.get_by_label("Your question").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".numbers")).to_have_count(1)
    expect(page.locator(".planned")).to_contain_text(QUESTION)


def save(page: Page, path: Path) -> None:
    """As few bytes as it can be told apart in: a repository keeps every version of it."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_timeout(400)
    picture = Pillow.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(128, Pillow.Quantize.MEDIANCUT, dither=Pillow.Dither.NONE).save(path, optimize=True)


def look(url: str, folder: Path) -> None:
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_options())
        light = browser.new_page(viewport=_WIDE, color_scheme="light", reduced_motion="reduce")
        answer(light, url)
        save(light, folder / "playground.png")
        dark = browser.new_page(viewport=_TWO, color_scheme="dark", reduced_motion="reduce")
        answer(dark, url)
        dark.get_by_role("switch", name="Two budgets side by side").check()
        expect(dark.locator(".numbers")).to_have_count(2)
        save(dark, folder / "playground-two.png")
        phone = browser.new_page(viewport=_PHONE, color_scheme="light", reduced_motion="reduce", has_touch=True)
        answer(phone, url)
        save(phone, folder / "playground-phone.png")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    # Whatever else the shell has set would be in the pictures.
    for name in [name for name in os.environ if name.startswith("HEROSERVE_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as logs:
        stack = Stack(Ports.free(), Path(logs))
        try:
            stack.start()
            look(f"http://localhost:{stack.ports.llm_http}/", folder)
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
