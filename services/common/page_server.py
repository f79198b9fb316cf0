"""HTTP for a page that is scraped, in a process that has other work: a few connections at a time, and no more."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from services.common.shown import shown

# Threads, too: Prometheus needs one, and a page takes this process's time.
MAX_CONNECTIONS = 16
# Until a connection's next bytes, and for it to take a page.
TIMEOUT_S = 5.0
# For one to send its request, whoever else comes.
GRACE_S = 0.1

logger = logging.getLogger(__name__)


class PageHandler(BaseHTTPRequestHandler):
    """What answers one connection to a ``PageServer``; before another handler where that has the pages."""

    timeout = TIMEOUT_S
    server: PageServer

    def parse_request(self) -> bool:
        whole = super().parse_request()
        self.server.answers(self.connection)
        return whole

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - so it is called
        logger.debug(format, *args)


class PageServer(ThreadingHTTPServer):
    """Answers on ``port`` of every address, until ``shutdown``.

    Of more than ``MAX_CONNECTIONS`` at a time, the one that has waited longest with its request is closed; those that
    come while all are answered wait.

    Args:
        port: 0 for a free one.
        handler: makes the pages.
        name: of its thread.

    Raises:
        OSError: the port can't be used.
    """

    daemon_threads = True
    # Replicas race for a port.
    allow_reuse_port = False
    request_queue_size = 64

    def __init__(self, port: int, handler: type[PageHandler], name: str) -> None:
        # Since when, the one that has waited longest first.
        self._silent: dict[Any, float] = {}
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(("0.0.0.0", port), handler)
        threading.Thread(target=self.serve_forever, name=name, daemon=True).start()

    def answers(self, connection: Any) -> None:
        """From now on this one is not closed for another."""
        with self._lock:
            self._silent.pop(connection, None)

    def process_request(self, request: Any, client_address: Any) -> None:
        free = self._free.acquire(blocking=False)
        while not free:
            self._make_room()
            free = self._free.acquire(timeout=GRACE_S)
        with self._lock:
            self._silent[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def shutdown_request(self, request: Any) -> None:
        self.answers(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """socketserver prints a traceback for everybody who hangs up."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            logger.debug("a connection to port %d failed: %s", self.server_port, error)
        else:
            logger.error("port %d: its page could not be made: %s", self.server_port, shown(error))

    def _make_room(self) -> None:
        with self._lock:
            oldest, since = next(iter(self._silent.items()), (None, 0.0))
            if oldest is None or time.monotonic() - since < GRACE_S:
                return
            del self._silent[oldest]
            try:
                # Its thread reads an end, and ends.
                oldest.shutdown(socket.SHUT_RDWR)
            except OSError:
                logger.debug("a connection to port %d had gone by itself", self.server_port)
