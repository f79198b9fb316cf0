"""What the site's build looks at: links out of docs/, lists that it would not see, what comes from other hosts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mkdocs.exceptions import PluginError

from scripts.site import hooks
from scripts.site.links import ROOT, anchors, problem, rewritten
from scripts.site.lists import misread

SOURCE = "https://example.org/source"
OPERATIONS = ROOT / "docs/operations.md"


def page(name: str) -> Any:
    return SimpleNamespace(file=SimpleNamespace(src_uri=name))


def on_site(markdown: str, name: str = "operations.md") -> str:
    config: Any = SimpleNamespace(extra={"source": SOURCE})
    return hooks.on_page_markdown(markdown, page(name), config)


def test_links_out_of_the_folder_lead_to_the_source():
    assert on_site("[a](../README.md#settings)") == f"[a]({SOURCE}/blob/main/README.md#settings)"
    assert on_site("[a](../deploy/kubernetes)") == f"[a]({SOURCE}/tree/main/deploy/kubernetes)"
    assert on_site("[a](../../README.md)", "reference/settings.md") == f"[a]({SOURCE}/blob/main/README.md)"


def test_other_links_and_code_stay():
    text = "[a](method.md#x) [b](https://a.b/../README.md) `[c](../nothing)`\n\n```text\n[d](../nothing)\n```\n"
    assert on_site(text) == text


def test_links_in_pictures_in_links():
    picture = "[![`x` y](../examples/scene.png)](../README.md)"
    assert on_site(picture) == f"[![`x` y](pictures/examples/scene.png)]({SOURCE}/blob/main/README.md)"
    assert on_site("![x](../../examples/scene.png)", "reference/sdk.md") == "![x](../pictures/examples/scene.png)"


@pytest.mark.parametrize("target", ["../NOTHING.md", "../README.md#no-such-heading", "../../../etc/passwd"])
def test_links_that_lead_nowhere_fail(target: str):
    with pytest.raises(PluginError, match=r"operations\.md"):
        on_site(f"[a]({target})")


def test_anchors_are_githubs(tmp_path: Any):
    document = tmp_path / "a.md"
    document.write_text('# `A_b`, c: [d](e)\n## Again\n## Again\n```sh\n# no heading\n```\n<a id="mine"></a>\n')
    assert anchors(document) == {"a_b-c-d", "again", "again-1", "mine"}
    assert problem(OPERATIONS, "architecture.md#glossary") is None
    assert problem(OPERATIONS, "architecture.md#glosary") is not None


def test_every_link_is_seen_once():
    seen: list[str] = []
    rewritten("[a](b) ![c](d) [`e](f)` g](h)", lambda target, _: seen.append(target) or target)
    assert seen == ["b", "d", "h"]


def test_lists_that_would_not_be_one():
    found = misread("a\n- b\n\n- c\n  d\n- e\n   - f\n\n```\ng\n- h\n```\n")
    assert [line.partition(":")[0] for line in found] == ["2", "7"]
    assert not list(misread("a\n\n1. b\n   c\n2. d\n    - e\n"))


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/css">',
        '<link href="https://fonts.example.org" rel=preconnect>',
        '<img alt="x" src=http://example.org/a.png>',
    ],
)
def test_nothing_comes_from_another_host(tag: str):
    with pytest.raises(PluginError, match="another host"):
        hooks.on_post_page(f"<html>{tag}</html>", page("a.md"))


def test_what_is_only_linked_is_no_fetch():
    html = '<a href="https://example.org"></a><link rel="canonical" href="https://a.b"><img src="../a.png">'
    assert hooks.on_post_page(html, page("a.md")) == html


def test_a_diagram_that_needs_a_script_fails():
    with pytest.raises(PluginError, match="Mermaid"):
        on_site("```mermaid\nflowchart\n```")
