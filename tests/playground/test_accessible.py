"""For everybody: by axe-core's rules, with the keyboard alone, on a phone, light and dark."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.playground.conftest import KEY, SCENE, ask, drop, give_key

STAR = "what character is on the black star?"


def faults(page: Page) -> list[str]:
    found = Axe().run(page)
    return [f"{each['id']}: {node['html'][:120]}" for each in found.response["violations"] for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (375, 740)], ids=["wide", "phone"])
def test_axe_finds_nothing_and_nothing_runs_over(
    browser: Browser, url: str, scheme: str, width: int, height: int
) -> None:
    # The policy would keep axe out, as it does everybody.
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, bypass_csp=True, reduced_motion="reduce"
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_role("dialog")).to_be_visible()
    assert faults(page) == []
    give_key(page, KEY)
    expect(page.locator("#model")).to_have_text("heroserve-tiny")
    assert faults(page) == []
    drop(page, "notes.txt", b"no picture")
    expect(page.locator("#notice")).to_contain_text("not an image")
    drop(page, "scene.png", SCENE.read_bytes())
    ask(page, STAR)
    page.get_by_role("switch", name="Two budgets side by side").check()
    expect(page.locator(".numbers")).to_have_count(2)
    for summary in page.locator("summary").all():
        summary.click()
    expect(page.locator(".why tbody tr")).to_have_count(14)
    assert faults(page) == []
    # As on a phone: no scrolling sideways, and fingers hit what they mean to.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 24
        assert box["x"] >= 0
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, light[4:-1].split(","))) > 3 * 128) == (scheme == "light")
    context.close()


def test_with_the_keyboard_alone(page: Page) -> None:
    """From the first Tab to an answer, a budget and the code."""

    def go_to(role: str, name: str) -> None:
        for _ in range(40):
            if page.get_by_role(role, name=name, exact=True).and_(page.locator(":focus")).count():  # type: ignore[arg-type]
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", name
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {name}")

    go_to("button", "Coloured shapes with small characters on them, on a patterned ground Shapes with characters")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type(STAR)
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_have_text("T")
    # The answer is read out when it is whole.
    expect(page.locator(".turns")).to_have_attribute("aria-live", "polite")
    go_to("tab", "curl")
    go_to("slider", "Visual tokens to keep 20%")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".share")).to_have_text("25%")
    label = page.locator(".tiles canvas").get_attribute("aria-label") or ""
    assert "patches of its tiles are kept" in label
    page.keyboard.press("Home")
    expect(page.locator(".share")).to_have_text("1%")
