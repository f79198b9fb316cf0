"""From the drop to the answer in a real Chromium, and what stands on the page meanwhile."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

import heroserve
from scripts.stack import ROOT, Stack
from tests.playground.conftest import KEY, SCENE, ask, drop, tower_passes

STAR, BOTH = "what character is on the black star?", "what characters are on the black cross and the green square?"
DATA = SCENE.read_bytes()


def turned() -> bytes:
    """The scene lying on its side, and a tag that says so; of odd size, so that it is padded."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    with Image.open(SCENE) as scene:
        scene.convert("RGB").crop((3, 0, 336, 210)).transpose(Image.Transpose.ROTATE_90).save(
            file, "JPEG", quality=95, exif=exif
        )
    return file.getvalue()


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_is_dropped_asked_about_and_answered(page: Page, client: heroserve.Client, event: str) -> None:
    drop(page, "scene.png", DATA, event=event)
    # The question is what comes next, and has the focus.
    expect(page.get_by_label("Your question")).to_be_focused()
    expect(page.locator(".kept")).to_have_text("88 of 448 visual tokens kept, 360 dropped (80.4%)")
    # Every state that the answer's text goes through.
    page.evaluate(
        """() => { window.seen = [];
        new MutationObserver(() => window.seen.push(document.querySelector('.answer')?.textContent ?? ''))
            .observe(document.querySelector('.turns'), {childList: true, subtree: true, characterData: true}); }"""
    )
    ask(page, BOTH)
    expect(page.locator(".numbers")).to_contain_text("first token")
    ours = client.ask(DATA, BOTH, retention=0.2)
    expect(page.locator(".answer")).to_have_text(ours.text)
    seen = [text for text in page.evaluate("window.seen") if text]
    # It came in pieces, each behind the last.
    assert len(set(seen)) > 1
    assert all(ours.text.startswith(text) for text in seen)
    assert page.locator(".turns").get_attribute("aria-busy") is None
    told = page.locator(".numbers").inner_text()
    assert f"{ours.savings.kept} of {ours.savings.total} kept" in told
    assert f"{ours.usage.completion_tokens} tokens" in told
    assert "from the cache" in told


def test_an_example_and_a_file_are_picked(page: Page) -> None:
    page.get_by_role("button", name="Shapes with characters").click()
    expect(page.locator("#picture")).to_have_text("scene.png")
    expect(page.locator(".kept")).to_contain_text("of 448")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Another picture").click()
    chooser.value.set_files({"name": "other.jpg", "mimeType": "image/jpeg", "buffer": turned()})
    expect(page.locator("#picture")).to_have_text("other.jpg")


def test_the_slider_changes_what_is_kept_at_once_and_without_the_tower(page: Page, stack: Stack) -> None:
    drop(page, "scene.png", DATA)
    expect(page.locator(".kept")).to_contain_text("88 of 448")
    passes = tower_passes(stack)
    slider = page.get_by_role("slider", name="Visual tokens to keep")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".share")).to_have_text("15%")
    expect(page.locator(".kept")).to_contain_text("66 of 448")
    expect(slider).to_have_attribute("aria-valuetext", "15%, 66 of 448 visual tokens")
    page.keyboard.press("End")
    expect(page.locator(".saved")).to_contain_text("Nothing is dropped")
    # So does what is written, before it is asked.
    page.keyboard.press("Home")
    page.get_by_label("Your question").fill("what color is the star with T?")
    expect(page.locator(".planned")).to_contain_text("“what color is the star with T?”")
    assert tower_passes(stack) == passes


@pytest.mark.parametrize("data", [DATA, turned()], ids=["upright", "turned"])
def test_what_is_clear_is_what_was_kept(page: Page, client: heroserve.Client, data: bytes) -> None:
    """Pixel by pixel of the canvas, against the SDK's own geometry of what the service tells."""
    drop(page, "scene", data)
    page.get_by_label("Your question").fill(STAR)
    expect(page.locator(".planned")).to_contain_text(STAR)
    (told,) = client.ask(data, STAR, retention=0.2, explain=True, max_tokens=1).explanations
    canvas = page.locator(".tiles canvas")
    width, height = canvas.evaluate("c => [c.width, c.height]")
    grid = told.grid
    upright = Image.open(io.BytesIO(data))
    if upright.getexif().get(0x0112) == 6:
        upright = upright.transpose(Image.Transpose.ROTATE_270)
    assert upright.size == (grid.image_width, grid.image_height)
    drawn = upright.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    clear, dim = [], []
    for tile in told.tiles[1:]:
        for position in range(grid.patches_per_side**2):
            box = told.token_box(tile.index, position)
            # Of those that padding cuts nothing off.
            if min(box.width, box.height) > 6:
                middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
                at = [int(middle[0] * width / grid.image_width), int(middle[1] * height / grid.image_height)]
                (clear if position in tile.positions else dim).append(at)
    pixels = canvas.evaluate(
        "(c, places) => places.map(([x, y]) => [...c.getContext('2d').getImageData(x, y, 1, 1).data.slice(0, 3)])",
        clear + dim,
    )
    off = [
        max(abs(a - b) for a, b in zip(pixel, drawn.getpixel(tuple(at)), strict=True))
        for pixel, at in zip(pixels, clear + dim, strict=True)
    ]
    # Browsers and Pillow enlarge differently at edges.
    near = [each < 40 for each in off]
    assert sum(near[: len(clear)]) > 0.95 * len(clear)
    assert sum(near[len(clear) :]) < 0.1 * len(dim)


def test_two_budgets_side_by_side_and_questions_that_follow(page: Page, client: heroserve.Client) -> None:
    drop(page, "scene.png", DATA)
    ask(page, STAR)
    expect(page.locator(".numbers")).to_have_count(1)
    page.get_by_role("switch", name="Two budgets side by side").check()
    # The other one answers what was asked, too.
    expect(page.locator(".numbers")).to_have_count(2)
    first, second = page.locator(".pane").all()
    expect(first.locator(".kept")).to_contain_text("88 of 448")
    expect(second.locator(".kept")).to_contain_text("448 of 448")
    ask(page, BOTH)
    expect(page.locator(".numbers")).to_have_count(4)
    for pane, retention in ((first, 0.2), (second, 1.0)):
        image = heroserve.user(STAR, DATA)
        before = client.ask(DATA, STAR, retention=retention).text
        request = heroserve.generate_request(
            [image, heroserve.assistant(before), heroserve.user(BOTH)], retention=retention
        )
        expect(pane.locator(".answer")).to_have_text([before, client.generate(request).read().text])
    # A picture goes on being kept by the question that it came with, and anew for each where that is wanted.
    expect(first.locator(".planned")).to_contain_text(STAR)
    page.get_by_text("Options").click()
    page.get_by_label("Choose patches anew").check()
    expect(first.locator(".planned")).to_contain_text(BOTH)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)
    page.get_by_role("switch", name="Two budgets side by side").uncheck()
    expect(page.locator(".pane")).to_have_count(1)


def test_the_second_budget_may_come_while_the_first_one_answers(page: Page) -> None:
    drop(page, "scene.png", DATA)
    expect(page.locator(".kept")).to_contain_text("of 448")
    held: list[Route] = []
    page.route("**/v1/chat/completions", lambda route: held.append(route))
    ask(page, STAR)
    page.get_by_role("switch", name="Two budgets side by side").check()
    expect(page.locator(".turn")).to_have_count(2)
    while held:
        held.pop().continue_()
        page.wait_for_timeout(500)
    expect(page.locator(".numbers")).to_have_count(2)
    expect(page.locator(".answer")).to_have_text(["T", "T"])


@pytest.mark.parametrize("turns", [1, 2])
def test_the_code_asks_the_same(page: Page, turns: int, tmp_path: Path) -> None:
    name = """it's "a" scene; really.png"""
    (tmp_path / name).write_bytes(DATA)
    drop(page, name, DATA)
    for question in (STAR, "what's on the 'red' \"square\"?\n$(date) `date` \\n")[:turns]:
        ask(page, question)
        expect(page.locator(".answer").last).not_to_have_class(re.compile("waiting"))
    expect(page.locator(".numbers")).to_have_count(turns)
    answer = page.locator(".answer").last.inner_text()
    environment = {**os.environ, "HEROSERVE_API_KEY": KEY, "PYTHONPATH": str(ROOT / "sdk")}
    for tab, command in (
        ("curl", ["bash", "-euo", "pipefail", "-c"]),
        ("Python SDK", [sys.executable, "-c"]),
        ("OpenAI's client", [sys.executable, "-c"]),
    ):
        page.get_by_role("tab", name=tab).click()
        code = page.locator("#snippet").inner_text()
        assert KEY not in code
        ran = subprocess.run([*command, code], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"{code}\n{ran.stderr}"
        assert answer in ran.stdout, code
        if tab != "curl":
            assert "360 " in ran.stdout


def test_the_code_is_copied(open_page: Callable[[], Page], page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    drop(page, "scene.png", DATA)
    page.get_by_role("tab", name="curl").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Python SDK")).to_be_focused()
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#snippet").inner_text()
