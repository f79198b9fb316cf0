"""What goes wrong is told in words, and nothing that is on the page is lost by it."""

from __future__ import annotations

import io
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import redis
from PIL import Image
from playwright.sync_api import Page, Route, expect

from scripts.stack import Stack
from tests.playground.conftest import BUSY_KEY, KEY, MAX_IMAGE_BYTES, SCENE, ask, drop, give_key

STAR = "what character is on the black star?"
DATA = SCENE.read_bytes()


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_key_is_asked_for_told_wrong_and_kept_for_the_tab(open_page: Callable[[], Page]) -> None:
    page = open_page()
    dialog = page.get_by_role("dialog", name="This service asks for an API key")
    expect(dialog).to_be_visible()
    expect(page.get_by_label("API key", exact=True)).to_be_focused()
    for key, words in (("no such key", "A key has no blanks"), ("wrong", "That key is not accepted.")):
        give_key(page, key)
        expect(dialog.get_by_role("alert")).to_contain_text(words)
    give_key(page, KEY)
    expect(dialog).to_be_hidden()
    expect(page.locator("#model")).to_have_text("heroserve-tiny")
    expect(page.locator("#notice")).to_be_empty()
    page.reload()
    expect(page.locator("#model")).to_have_text("heroserve-tiny")
    # Another tab of the same browser knows nothing of it, nor does anything that outlives the tab.
    other = open_page()
    expect(other.get_by_role("dialog")).to_be_visible()
    assert other.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    # Forgotten, it is asked for again.
    page.get_by_role("button", name="API key").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_what_is_no_picture_or_too_large(page: Page) -> None:
    drop(page, "scene.png", DATA)
    expect(page.locator(".kept")).to_contain_text("of 448")
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    large = png(Image.fromarray(noise))
    assert len(large) > MAX_IMAGE_BYTES
    notice = page.locator("#notice")
    for name, data, kind, words in (
        ("notes.txt", b"no picture", "text/plain", "notes.txt can't be used. The picture is not an image"),
        ("noise.png", large, "image/png", "KiB, and this service takes 391 KiB at most"),
        ("wide.png", png(Image.new("L", (2000, 2000))), "image/png", "the limit is 2000000"),
        ("empty.png", b"", "image/png", "empty.png can't be used."),
    ):
        drop(page, name, data, kind)
        expect(notice).to_contain_text(words)
        # The picture that was there is there still.
        expect(page.locator("#picture")).to_have_text("scene.png")
    drop(page, "good.png", DATA)
    expect(page.locator("#picture")).to_have_text("good.png")
    expect(notice).to_be_empty()


def test_a_picture_that_the_service_has_lost_is_sent_again(page: Page, stack: Stack) -> None:
    drop(page, "scene.png", DATA)
    expect(page.locator(".kept")).to_contain_text("of 448")
    with redis.Redis.from_url(stack.redis.url) as store:
        store.flushall()
    ask(page, STAR)
    expect(page.locator(".answer")).to_have_text("T")
    expect(page.locator(".failure:visible")).to_have_count(0)


@contextmanager
def used_up(stack: Stack, key: str) -> Iterator[None]:
    """Somebody else asks with the same key, as often as it may and more."""
    done = threading.Event()
    full = threading.Event()
    asked = urllib.request.Request(
        f"http://localhost:{stack.ports.llm_http}/v1/models", headers={"authorization": f"Bearer {key}"}
    )

    def hammer() -> None:
        while not done.is_set():
            try:
                urllib.request.urlopen(asked, timeout=10).close()
            except urllib.error.HTTPError as error:
                error.close()
                full.set()

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        assert full.wait(60)
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_busy_service_says_so_and_is_asked_again(open_page: Callable[[], Page], stack: Stack) -> None:
    page = open_page()
    give_key(page, BUSY_KEY)
    drop(page, "scene.png", DATA)
    expect(page.locator(".kept")).to_contain_text("of 448")
    with used_up(stack, BUSY_KEY):
        # Now and then a request is let through: until one is not.
        for _ in range(20):
            ask(page, STAR)
            expect(page.get_by_role("button", name="Ask")).to_be_visible()
            if page.locator(".turn .failure").count():
                break
        expect(page.locator(".turn .failure").last).to_contain_text("The service is busy.")
    # What the others have used up comes back bit by bit.
    for _ in range(20):
        page.locator(".turn .failure").last.get_by_role("button", name="Try again").click()
        expect(page.locator(".answer").last).not_to_have_class(re.compile("waiting"))
        if page.locator(".turn .failure").count() == 0:
            break
        page.wait_for_timeout(1000)
    expect(page.locator(".answer").last).to_have_text("T")
    expect(page.locator(".turn .failure")).to_have_count(0)


def test_a_service_that_is_out_of_reach(page: Page) -> None:
    drop(page, "scene.png", DATA)
    expect(page.locator(".kept")).to_contain_text("of 448")
    page.context.set_offline(True)
    ask(page, STAR)
    expect(page.locator(".turn .failure")).to_contain_text("The service can't be reached.")
    page.context.set_offline(False)
    page.locator(".turn").get_by_role("button", name="Try again").click()
    expect(page.locator(".answer")).to_have_text("T")


def test_an_answer_is_stopped(page: Page) -> None:
    """One that does not come: as if the network had lost it."""
    drop(page, "scene.png", DATA)
    expect(page.locator(".kept")).to_contain_text("of 448")
    held: list[Route] = []
    page.route("**/v1/chat/completions", lambda route: held.append(route))
    ask(page, STAR)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".turn .note")).to_have_text("Stopped.")
    page.unroute("**/v1/chat/completions")
    ask(page, STAR)
    expect(page.locator(".answer").last).to_have_text("T")


def test_what_the_service_refuses_is_told_in_the_pages_words(page: Page) -> None:
    drop(page, "scene.png", DATA)
    expect(page.locator(".kept")).to_contain_text("of 448")
    page.get_by_text("Options").click()
    page.get_by_label("Longest answer, tokens").fill("100000")
    ask(page, STAR)
    told = re.compile(r"The longest answer is 100000; behind a prompt of 11\d tokens the limit is 39\d\d of 4096\.")
    expect(page.locator(".turn .failure")).to_contain_text(told)


def test_last_an_encoder_that_is_away(page: Page, stack: Stack) -> None:
    """It stays away: nothing may come behind this."""
    drop(page, "scene.png", DATA)
    expect(page.locator(".kept")).to_contain_text("of 448")
    encoder = stack.services["encoder"]
    encoder.terminate()
    encoder.wait(60)
    ask(page, STAR)
    expect(page.locator(".turn .failure")).to_contain_text("The service can't answer now.")
    expect(page.locator(".turn .failure")).to_contain_text("Encoder at localhost")
