"""OpenAI's API over HTTP: heroserve's own, or that of any other server, to compare with."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from heroserve.cli.bench.outcome import OK, Asked, Outcome
from heroserve.cli.told import FAILED, Told, one_line
from heroserve.savings import Savings
from heroserve.v1.tokens_pb2 import Image

# Of a line of a stream, and of a reply that is no stream.
_MOST = 1 << 20
_KINDS = {b"\xff\xd8": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


class HttpDoor:
    """Args:
    url: http(s)://HOST[:PORT][/PATH], with or without a /v1 behind it.
    """

    name = "OpenAI's API over HTTP"

    def __init__(self, url: str, api_key: str | None, timeout_s: float) -> None:
        self._url = urlsplit(url)
        self._path = self._url.path.rstrip("/").removesuffix("/v1") + "/v1"
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._timeout_s = timeout_s
        self._model = ""
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def check(self) -> str:
        place = f"{self._url.scheme}://{self._url.netloc}"
        try:
            with self._sent("GET", "/models", None) as response:
                body = response.read(_MOST)
            if response.status != 200:
                self._refuse(response.status, body, place)
            self._model = str(json.loads(body)["data"][0]["id"])
        except (OSError, http.client.HTTPException) as error:
            spoken = isinstance(error, http.client.HTTPException)  # and not what a server of HTTP says
            problem = "what listens there speaks no HTTP" if spoken else one_line(str(error), 200)
            raise Told(
                f"nobody answers at {place}: {problem}",
                status=FAILED,
                code="UNAVAILABLE",
                option="URL",
                hint="http://HOST:PORT is OpenAI's API (8001); HOST:PORT alone is gRPC (9001)",
            ) from error
        except (LookupError, TypeError, ValueError) as error:
            told = f"what answers at {place}{self._path}/models is no API of OpenAI's"
            raise Told(told, status=FAILED, code="UNIMPLEMENTED", option="URL") from error
        return ""

    def ask(self, image: Image, asked: Asked, began_s: float) -> Outcome:
        body = json.dumps(self._request(image, asked)).encode()
        usage: dict[str, Any] = {}
        first_s, ended, until_s = None, False, time.monotonic() + self._timeout_s
        try:
            with self._sent("POST", "/chat/completions", body) as response:
                if response.status != 200:
                    problem = _problem(response.read(_MOST))
                    return Outcome(f"HTTP {response.status}", began_s, time.monotonic(), problem)
                for event in _events(response, until_s):
                    if "error" in event:
                        broken = one_line(json.dumps(event["error"]), 300)
                        return Outcome("HTTP 200, broken off", began_s, time.monotonic(), broken)
                    for choice in event.get("choices") or ():
                        if (choice.get("delta") or {}).get("content"):
                            first_s = first_s or time.monotonic()
                        ended = ended or choice.get("finish_reason") is not None
                    usage = event.get("usage") or usage
        except TimeoutError:
            return Outcome("timed out", began_s, time.monotonic(), f"no whole answer within {self._timeout_s:g} s")
        except (OSError, http.client.HTTPException) as error:
            return Outcome("no connection", began_s, time.monotonic(), one_line(str(error), 300))
        except (AttributeError, TypeError, ValueError) as error:
            return Outcome("HTTP 200, no answer", began_s, time.monotonic(), one_line(str(error), 300))
        if not ended:
            return Outcome(
                "HTTP 200, broken off", began_s, time.monotonic(), "the stream ended without a finish reason"
            )
        return Outcome(
            OK, began_s, time.monotonic(), "", first_s, int(usage.get("completion_tokens", 0)), _saved(usage)
        )

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def _request(self, image: Image, asked: Asked) -> dict[str, Any]:
        data = image.data
        kind = next((kind for start, kind in _KINDS.items() if data.startswith(start)), "png")
        address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        parts = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": asked.question}]
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "user", "content": parts}],
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if asked.max_tokens is not None:
            request["max_tokens"] = asked.max_tokens
        budget = {"retention": asked.retention, "max_visual_tokens": asked.max_visual_tokens}
        # Another server need not know of it.
        if given := {name: value for name, value in budget.items() if value is not None}:
            request["heroserve"] = given
        return request

    @contextlib.contextmanager
    def _sent(self, method: str, path: str, body: bytes | None) -> Iterator[http.client.HTTPResponse]:
        """The reply over this thread's connection, which is let go of where it was not read to its end."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
            connection = kind(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
            self._local.connection = connection
            self._connections.append(connection)
        whole = False
        try:
            connection.request(method, self._path + path, body, self._headers)
            response = connection.getresponse()
            yield response
            whole = response.isclosed()
        finally:
            if not whole:
                connection.close()

    def _refuse(self, status: int, body: bytes, place: str) -> None:
        problem, key = _problem(body), status in (401, 403)
        raise Told(
            f"{place} answers HTTP {status}: {problem}",
            status=FAILED,
            code="UNAUTHENTICATED" if key else "UNAVAILABLE",
            option="--api-key" if key else "URL",
            hint="give one: --api-key KEY or HEROSERVE_API_KEY" if key else "",
        )


def _events(response: http.client.HTTPResponse, until_s: float) -> Iterator[dict[str, Any]]:
    """What stands behind `data:`, until the stream says that it is done; then it is read to its end. Raises
    TimeoutError for what comes later than `until_s`, of `time.monotonic`."""
    while line := response.readline(_MOST):
        if time.monotonic() > until_s:
            raise TimeoutError
        name, _, data = line.partition(b":")
        if name == b"data" and data.strip() != b"[DONE]":
            yield json.loads(data)


def _problem(body: bytes) -> str:
    try:
        return one_line(str(json.loads(body)["error"]["message"]), 300)
    except (LookupError, TypeError, ValueError):
        return one_line(body[:300].decode(errors="replace"), 300)


def _saved(usage: dict[str, Any]) -> Savings:
    """Of heroserve; other servers tell nothing of the kind."""
    told = usage.get("heroserve")
    if not isinstance(told, dict):
        return Savings()
    return Savings(**told.get("visual_tokens", {}), **told.get("saved", {}))
