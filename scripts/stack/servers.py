"""Whether the servers to attach to are there, before anything is started that would wait for them."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from services.common.shown import one_line

_TIMEOUT_S = 3.0
# As the services ask: no proxy that the shell names is between them and a server.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def silent(urls: Sequence[str]) -> list[str]:
    """A line for each that gives no answer now.

    No refusal: a vLLM takes minutes to load a model, and the services wait for it.

    Args:
        urls: ``http://HOST:PORT`` of servers.
    """
    with ThreadPoolExecutor(max(1, len(urls))) as threads:
        problems = list(threads.map(_problem, urls))
    return [
        f"vLLM at {url} does not answer ({why}); it is waited for: start it, or press Ctrl-C and name another URL"
        for url, why in zip(urls, problems, strict=True)
        if why
    ]


def _problem(url: str) -> str:
    try:
        with _OPENER.open(f"{url}/health", timeout=_TIMEOUT_S):
            return ""
    except urllib.error.HTTPError:
        # An answer, whatever it says: the services ask what it means.
        return ""
    except HTTPException as error:
        return f"it speaks no HTTP: {one_line(str(error).strip(), 60)}"
    except OSError as error:
        reason = getattr(error, "reason", error)
        return one_line(str(getattr(reason, "strerror", None) or reason) or type(reason).__name__, 200)
