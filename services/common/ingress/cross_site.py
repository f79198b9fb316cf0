"""Web pages of others, in the browser of somebody who reaches a service that asks for no key.

Such a page may not read what is answered, but could have work done: a browser sends a form or plain text anywhere,
without asking first. With keys there is nothing to refuse: no page knows one, and browsers put none in by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.common.http_call import HttpError
from services.common.shown import shown

_HEADER = "sec-fetch-site"
# What costs next to nothing, and is where links of others may lead.
_READ = ("GET", "HEAD")
# As browsers have it; another port of the same host is the same site.
_FOREIGN = ("cross-site", "same-site")


def check(method: str, headers: Mapping[str, str]) -> None:
    """A request where no key is asked for.

    Args:
        method: of the request.
        headers: of it, by names in lower case.

    Raises:
        HttpError: a browser says that a page of another origin sends it.
    """
    said = headers.get(_HEADER, "").strip().lower()
    if method not in _READ and said in _FOREIGN:
        raise HttpError(
            403,
            "cross_site",
            _HEADER,
            f"is {shown(said)}: a web page of another origin asks, and without keys none may; set "
            "HEROSERVE_API_KEYS, or ask from a program or a page of this origin",
        )
