"""Ray's own metrics for whoever scrapes from elsewhere: a Ray that a service starts listens on loopback alone."""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

logger = logging.getLogger(__name__)

_TIMEOUT_S = 10.0


def serve(port: int, source: int) -> ThreadingHTTPServer:
    """Answer ``/metrics`` on ``port`` of every address with what Ray's agent on this machine tells on ``source``.

    Raises:
        OSError: the port can't be used.
    """

    class Handler(_Handler):
        page = f"http://127.0.0.1:{source}/metrics"

    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="ray-metrics", daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    # Who connects and says nothing is hung up on.
    timeout = _TIMEOUT_S
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

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - so it is called
        logger.debug(format, *args)
