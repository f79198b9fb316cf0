"""What MkDocs calls while it builds the site.

Documents link to each other as they lie in the repository, so that they can be read there too. Here a link to
what lies outside of docs/ becomes one to the source's page, once what it names has been found; a picture from
there is taken along. Whatever a reader's browser would fetch from another host fails the build, and so does
what needs a script of another's to be seen.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from scripts.site.links import ROOT, is_local, problem, rewritten
from scripts.site.lists import misread

DOCS = ROOT / "docs"
# Where pictures from outside of docs/ lie on the site.
_TAKEN = "pictures"
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\ssrc=[\"']?(?:https?:)?//[^>]*>"
    r"|<link\b(?=[^>]*?\srel=[\"']?(?:stylesheet|preconnect|preload|dns-prefetch|icon))[^>]*?\shref=[\"']?(?:https?:)?//[^>]*>",
    re.IGNORECASE,
)


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Pictures that documents show from outside of docs/."""
    for document in sorted(DOCS.rglob("*.md")):

        def take(target: str, picture: bool, document: Path = document) -> str:
            found = (document.parent / target).resolve()
            name = _name(found)
            if picture and is_local(target) and _is_outside(found) and found.is_file() and name not in files.src_uris:
                files.append(File.generated(config, name, abs_src_path=str(found)))
            return target

        rewritten(document.read_text(encoding="utf-8"), take)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """The page with its links to the repository's other files as links that work on the site."""
    document = DOCS / page.file.src_uri
    if "```mermaid" in markdown:
        raise PluginError(f"{page.file.src_uri}: Mermaid's script would come from another host; draw it as text or SVG")

    if unlike := list(misread(document.read_text(encoding="utf-8"))):
        raise PluginError(f"{page.file.src_uri}:{unlike[0]}")

    def change(target: str, picture: bool) -> str:
        path, hash_, anchor = target.partition("#")
        found = (document.parent / path).resolve()
        if not is_local(target) or not _is_outside(found):
            return target
        wrong = problem(document, target)
        if wrong:
            raise PluginError(f"{page.file.src_uri}: {target}: {wrong}")
        if picture:
            return "../" * page.file.src_uri.count("/") + _name(found)
        kind = "tree" if found.is_dir() else "blob"
        return f"{config.extra['source']}/{kind}/main/{found.relative_to(ROOT).as_posix()}{hash_}{anchor}"

    return rewritten(markdown, change)


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files, **_: Any) -> Navigation:
    """Every page has its place."""
    placed = {page.file.src_uri for page in nav.pages}
    missing = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri not in placed)
    if missing:
        raise PluginError(f"docs/.nav.yml has no place for {', '.join(missing)}")
    return nav


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Nothing comes from another host."""
    found = _FETCHED.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri}: a browser would fetch this from another host: {found[0]}")
    return output


def _is_outside(path: Path) -> bool:
    return not path.is_relative_to(DOCS)


def _name(picture: Path) -> str:
    return f"{_TAKEN}/{picture.relative_to(ROOT).as_posix()}" if picture.is_relative_to(ROOT) else ""
