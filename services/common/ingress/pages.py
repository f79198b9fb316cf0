"""Pages for browsers, served by a proxy itself: without a key, which browsers send for none, and without a replica."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope, Send

# Whether they are served. A proxy goes by the environment: ``deployment.settings`` holds an application to the same.
VARIABLE = "HEROSERVE_PLAYGROUND"

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# Nothing of other hosts, nothing written into the page, nothing that makes code of text; in nobody's frame.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_ALWAYS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # Asked for again each time, and sent only where it has changed: after an upgrade no old half is left.
    (b"cache-control", b"no-cache"),
)


@dataclass(frozen=True)
class Page:
    """One file.

    Args:
        body: its bytes.
        kind: its media type.
        tag: an ETag.
    """

    body: bytes
    kind: str
    tag: str


def read(folder: Path, prefix: str) -> dict[str, Page]:
    """A folder's files by the paths that they are served at; ``index.html`` at the root.

    Raises:
        OSError: it can't be read.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in _KINDS and path.is_file():
            body = path.read_bytes()
            page = Page(body, _KINDS[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
            name = path.relative_to(folder).as_posix()
            found["/" if name == "index.html" else prefix + name] = page
    return found


def from_env(folder: Path, prefix: str, environment: Mapping[str, str] = os.environ) -> dict[str, Page]:
    """As ``read``; none where they are switched off."""
    return read(folder, prefix) if wanted(environment) else {}


def wanted(environment: Mapping[str, str]) -> bool:
    """By default they are. What is neither on nor off is refused where the service starts."""
    return environment.get(VARIABLE, "").strip() != "off"


async def answer(page: Page, scope: Scope, send: Send) -> None:
    """To a GET or a HEAD."""
    named = [*_ALWAYS, (b"etag", page.tag.encode())]
    known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
    if page.tag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        await send({"type": "http.response.start", "status": 304, "headers": named})
        await send({"type": "http.response.body", "body": b""})
        return
    named += [(b"content-type", page.kind.encode()), (b"content-length", str(len(page.body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": named})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page.body})
