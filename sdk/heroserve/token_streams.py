"""Visual tokens as they come, tile by tile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType

from heroserve.errors import Internal
from heroserve.rows import row_bytes
from heroserve.transport.aio_rpc import AsyncResponses
from heroserve.transport.rpc import Responses
from heroserve.v1.encoder_pb2 import EncodeChunk, EncodeRequest, VisualTokens


class _Pieces:
    """What has arrived so far.

    Attributes:
        request_id: what the encoder's logs call the request; known before it is sent.
    """

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self._tokens: VisualTokens | None = None
        self._rows: list[bytes] = []
        self._left = 0

    def _add(self, chunk: EncodeChunk) -> EncodeChunk:
        if self._tokens is None:
            if not chunk.HasField("tokens"):
                raise Internal("the encoder began its answer with rows", request_id=self.request_id)
            self._tokens = chunk.tokens
            self._left = chunk.tokens.features.rows * row_bytes(chunk.tokens.features)
        self._rows.append(chunk.data)
        self._left -= len(chunk.data)
        return chunk

    def _finished(self) -> VisualTokens:
        """What is told but the rows."""
        if self._tokens is None or self._left:  # some of the rows must not pass for all of them
            raise Internal("the encoder ended its answer with other rows than it told", request_id=self.request_id)
        return self._tokens

    def _whole(self) -> VisualTokens:
        whole = VisualTokens()
        whole.CopyFrom(self._finished())
        whole.features.data = b"".join(self._rows)
        return whole


class TokenStream(_Pieces):
    """Pieces of `VisualTokens` as they come: the first has all but the rows, each later one rows of one tile.

    Iterate it once, or `read` it whole. The request is sent when the first piece is asked for. Raises HeroserveError
    while iterating; after the first piece nothing is retried. As a context manager it cancels on the way out what is
    not finished.
    """

    def __init__(self, responses: Responses[EncodeRequest, EncodeChunk]) -> None:
        super().__init__(responses.request_id)
        self._responses = responses

    def __iter__(self) -> Iterator[EncodeChunk]:
        for chunk in self._responses:
            yield self._add(chunk)
        self._finished()

    def read(self) -> VisualTokens:
        """Wait for the rest and return all of it, as `encode` does."""
        for chunk in self._responses:
            self._add(chunk)
        return self._whole()

    def close(self) -> None:
        """Cancel the call, here and in the encoder; callable from any thread, harmless when it is over."""
        self._responses.cancel()

    cancel = close

    def __enter__(self) -> TokenStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncTokenStream(_Pieces):
    """As `TokenStream`, with `async for` and `async with`."""

    def __init__(self, responses: AsyncResponses[EncodeRequest, EncodeChunk]) -> None:
        super().__init__(responses.request_id)
        self._responses = responses

    async def __aiter__(self) -> AsyncIterator[EncodeChunk]:
        async for chunk in self._responses:
            yield self._add(chunk)
        self._finished()

    async def read(self) -> VisualTokens:
        """Wait for the rest and return all of it, as `encode` does."""
        async for chunk in self._responses:
            self._add(chunk)
        return self._whole()

    def close(self) -> None:
        """Cancel the call, here and in the encoder; callable from any task, harmless when it is over."""
        self._responses.cancel()

    cancel = close

    async def __aenter__(self) -> AsyncTokenStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
