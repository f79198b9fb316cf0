"""The setting that says where servers are."""

from __future__ import annotations

from urllib.parse import urlsplit

VARIABLE = "HEROSERVE_VLLM_URL"
# More is a list that somebody pasted; each is asked how it is every few seconds.
_MOST = 64


def parse_urls(value: str) -> tuple[str, ...]:
    """Base URLs with commas between them, as ``http://HOST:PORT``; a ``/v1`` behind one is taken as what it means.

    Raises:
        ValueError: one can't be used; says which.
    """
    urls = [url.strip() for url in value.split(",")]
    if len(urls) > _MOST:
        raise ValueError(f"expected at most {_MOST} URLs, with commas between them; these are {len(urls)}")
    found: list[str] = []
    for number, url in enumerate(urls, 1):
        which = f"URL {number} of {len(urls)}, between commas, " if len(urls) > 1 else "it "
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
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"
