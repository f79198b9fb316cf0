"""The bundled model's stack, with keys and small limits, and a real browser to look at it: `make test-playground`."""

from __future__ import annotations

import contextlib
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import heroserve
from scripts.playground import launch_options
from scripts.stack import PICTURE, ROOT, Ports, Stack

KEY, BUSY_KEY = "a-key-of-the-tests", "a-key-that-others-use-up"
# Of every key, so that all but the test of it stay far below.
KEY_RATE = 10
MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS = 400_000, 2_000_000
SCENE = ROOT / PICTURE

expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(Ports.free(), tmp_path_factory.mktemp("stack"))
    settings = {
        "HEROSERVE_API_KEYS": f"{KEY},{BUSY_KEY}",
        "HEROSERVE_ENCODER_API_KEY": KEY,
        "HEROSERVE_KEY_RATE": str(KEY_RATE),
        # Until an encoder that is away is given up.
        "HEROSERVE_ENCODER_TIMEOUT_S": "10",
        "HEROSERVE_MAX_IMAGE_BYTES": str(MAX_IMAGE_BYTES),
        "HEROSERVE_MAX_IMAGE_PIXELS": str(MAX_IMAGE_PIXELS),
    }
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.delenv("HEROSERVE_MODEL", raising=False)
            for name, value in settings.items():
                environment.setenv(name, value)
            stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def url(stack: Stack) -> str:
    return f"http://localhost:{stack.ports.llm_http}/"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    options = launch_options()
    with sync_playwright() as playwright:
        if options["executable_path"] is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium: as root `make test-playground` installs Debian's")
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    yield context
    context.close()


@pytest.fixture
def open_page(context: BrowserContext, url: str) -> Iterator[Callable[[], Page]]:
    """Opens the page in a new tab; whatever it does that its policy forbids, or throws, fails the test."""
    faults: list[str] = []

    def opened() -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
        page.on("request", lambda asked: None if asked.url.startswith(url) else faults.append(asked.url))
        page.goto(url)
        return page

    yield opened
    assert not faults


@pytest.fixture
def page(open_page: Callable[[], Page]) -> Page:
    """With the key given."""
    page = open_page()
    give_key(page, KEY)
    expect(page.locator("#model")).to_have_text("heroserve-tiny")
    return page


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[heroserve.Client]:
    with heroserve.Client(f"localhost:{stack.ports.llm}", api_key=KEY, timeout_s=60) as client:
        yield client


def give_key(page: Page, key: str) -> None:
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def drop(page: Page, name: str, data: bytes, kind: str = "image/png", event: str = "drop") -> None:
    """As a hand would: a file let go above the page, or pasted into it."""
    transfer = page.evaluate_handle(
        """({name, data, kind}) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(data)], name, {type: kind}));
            return transfer;
        }""",
        {"name": name, "data": list(data), "kind": kind},
    )
    if event == "drop":
        page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
        page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    else:
        page.evaluate(
            "t => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: t, bubbles: true}))", transfer
        )


def ask(page: Page, question: str) -> None:
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")


def tower_passes(stack: Stack) -> float:
    with contextlib.closing(urllib.request.urlopen(f"http://localhost:{stack.ports.encoder_metrics}/metrics")) as told:
        found = re.findall(r"^heroserve_tower_batch_tiles_count\S* (\S+)$", told.read().decode(), re.MULTILINE)
    return sum(map(float, found))
