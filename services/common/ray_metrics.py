"""Ray's own metrics for whoever scrapes from elsewhere: a Ray that a service starts listens on loopback alone."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import ClassVar

from services.common.page_server import PageHandler, PageServer

_TIMEOUT_S = 10.0


def serve(port: int, source: int) -> PageServer:
    """Answer ``/metrics`` on ``port`` of every address with what Ray's agent on this machine tells on ``source``.

    Raises:
        OSError: the port can't be used.
    """

    class Handler(_Handler):
        page = f"http://127.0.0.1:{source}/metrics"

    return PageServer(port, Handler, "ray-metrics")


class _Handler(PageHandler):
    page: ClassVar[str]

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        try:
            with urllib.request.urlopen(self.page, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - http, see above
                kind, body = answer.headers["Content-Type"], answer.read()
        except (OSError, urllib.error.URLError) as error:
            self.send_error(503, f"Ray's agent does not answer: {error}")
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
