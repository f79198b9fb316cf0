"""The setting that says where servers are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

VARIABLE = "HEROSERVE_VLLM_URL"
# More is a list that somebody pasted; each is asked how it is every few seconds.
_MOST = 64
# What people paste: a client's base URL, or what they tried it with.
_ENDPOINT = re.compile(r"/v1(/(chat/completions|completions|responses|embeddings|models))?$")


def parse_urls(value: str) -> tuple[str, ...]:
    """Those of the setting, with commas between them.

    Raises:
        ValueError: one can't be used; says which.
    """
    return base_urls(value.split(","), ", between commas,")


def base_urls(urls: Sequence[str], as_written: str = "") -> tuple[str, ...]:
    """As ``http://HOST:PORT``, with what stands before ``/v1``; ``/v1`` or an endpoint of it is taken as what it means.

    Args:
        urls: of servers.
        as_written: said behind the number of one of several.

    Raises:
        ValueError: one can't be used; says which.
    """
    urls = [url.strip() for url in urls]
    if len(urls) > _MOST:
        raise ValueError(f"expected at most {_MOST} URLs; these are {len(urls)}")
    found: list[str] = []
    for number, url in enumerate(urls, 1):
        which = f"URL {number} of {len(urls)}{as_written} " if len(urls) > 1 else "it "
        base = _base(url, which)
        if base in found:
            raise ValueError(f"expected URLs that differ; {which}is {base} again")
        found.append(base)
    return tuple(found)


def _base(url: str, which: str) -> str:
    if not url:
        raise ValueError(f"expected http://HOST:PORT; {which}is empty")
    try:
        parts = urlsplit(url)
        # Looked at, for only then is it read.
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"expected http://HOST:PORT; {which}can't be read ({error})") from None
    if "@" in parts.netloc:
        raise ValueError(f"expected http://HOST:PORT; {which}has a name or password in it; keys have their own setting")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected http://HOST:PORT or https://HOST:PORT; {which}is neither")
    if parts.query or parts.fragment or not url.isascii() or any(char <= " " for char in url):
        raise ValueError(f"expected http://HOST:PORT and a path at most; {which}has more in it")
    path = _ENDPOINT.sub("", parts.path.rstrip("/")).rstrip("/")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"
