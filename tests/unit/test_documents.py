"""Documents link to what is there, troubleshooting quotes what the code prints, migration speaks of every version."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from scripts.site.links import is_local, problem, rewritten
from tests.support.docs import ROOT, blocks, documents

DOCUMENT = "docs/troubleshooting.md"
QUOTED = [line for block in blocks(DOCUMENT) if block.language == "text" for line in block.text.splitlines()]
# Shorter ones are everywhere.
LEAST = 12


@cache
def printed() -> str:
    """Every string of the SDK's and the services' code, and of compose's, with an ellipsis for what is filled in."""
    folders = ("sdk/heroserve", "services", "scripts/stack")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    shell = re.sub(r"\$\w+", "…", (ROOT / "deploy/compose/guard.sh").read_text(encoding="utf-8"))
    return "\n".join([*(filled(node) for node in nodes if isinstance(node, (ast.Constant, ast.JoinedStr))), shell])


def filled(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(filled(each) for each in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        # As the logging module fills in.
        return re.sub(r"%[sdrg]|%\.\d+f|\{\w*\}", "…", node.value)
    return "…"


def pieces(message: str) -> list[str]:
    """What of it nothing is filled into; what stands before a colon or a semicolon may be another string's."""
    return [piece.strip() for piece in re.split("…|[;:] ", message) if len(piece.strip()) >= LEAST]


@pytest.mark.parametrize("document", documents())
def test_links_lead_somewhere(document: str):
    lost = []

    def look(target: str, _: bool) -> str:
        if is_local(target) or target.startswith("#"):
            why = problem(ROOT / document, target)
            lost.extend([f"{target}: {why}"] if why else [])
        return target

    rewritten((ROOT / document).read_text(encoding="utf-8"), look)
    assert lost == []


def test_every_page_of_how_to_is_found_from_its_first():
    first = ROOT / "docs/how-to/index.md"
    others = {page.name for page in first.parent.glob("*.md")} - {first.name}
    assert {name for name in others if f"]({name})" not in first.read_text(encoding="utf-8")} == set()


def test_messages_are_quoted():
    assert len(QUOTED) >= 15


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_is_one_that_is_printed(message: str):
    assert pieces(message), f"less than {LEAST} characters of it are certain"
    assert [piece for piece in pieces(message) if piece not in printed()] == []


def test_one_that_nobody_prints_is_found():
    assert [piece for piece in pieces("the service has gone fishing") if piece not in printed()]


def test_every_version_has_a_note():
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    notes = re.findall(r"^## (\S+)$", (ROOT / "docs/migration.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert notes == versions
