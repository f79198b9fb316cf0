"""An answer while it is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType

from heroserve.errors import Internal
from heroserve.results import Answer
from heroserve.transport.aio_rpc import AsyncResponses
from heroserve.transport.rpc import Responses
from heroserve.v1.chat_pb2 import GenerateRequest, GenerateResponse


class _Transcript:
    """What has arrived so far.

    Attributes:
        text: the answer up to here; after an error, what had arrived before it.
        request_id: what the services' logs call the request; known before it is sent.
    """

    def __init__(self, request_id: str) -> None:
        self.text = ""
        self.request_id = request_id
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer:
        """The whole answer and its bill. Raises RuntimeError before the stream was read to its end."""
        if self._answer is None:
            raise RuntimeError("there is no answer before the stream has been read to its end")
        return self._answer

    def _add(self, response: GenerateResponse) -> str:
        self.text += response.delta
        if response.finish_reason:
            self._answer = Answer.from_message(self.text, response, self.request_id)
        return response.delta

    def _finished(self) -> Answer:
        if self._answer is None:  # half an answer must not pass for a whole one
            raise Internal("the service ended its answer without a finish reason", request_id=self.request_id)
        return self._answer


class Stream(_Transcript):
    """Pieces of text as they come: iterate it once, then see `answer`.

    The request is sent when the first piece is asked for. Raises HeroserveError while iterating; after the
    first piece nothing is retried, and `text` keeps what had arrived. As a context manager it cancels on the
    way out what is not finished.
    """

    def __init__(self, responses: Responses[GenerateRequest, GenerateResponse]) -> None:
        super().__init__(responses.request_id)
        self._responses = responses

    def __iter__(self) -> Iterator[str]:
        for response in self._responses:
            if delta := self._add(response):
                yield delta
        self._finished()

    def read(self) -> Answer:
        """Wait for the rest and return the whole answer."""
        for _ in self:
            pass
        return self.answer

    def close(self) -> None:
        """Cancel the call, here and in the service; callable from any thread, harmless when it is over."""
        self._responses.cancel()

    cancel = close

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncStream(_Transcript):
    """As `Stream`, with `async for` and `async with`."""

    def __init__(self, responses: AsyncResponses[GenerateRequest, GenerateResponse]) -> None:
        super().__init__(responses.request_id)
        self._responses = responses

    async def __aiter__(self) -> AsyncIterator[str]:
        async for response in self._responses:
            if delta := self._add(response):
                yield delta
        self._finished()

    async def read(self) -> Answer:
        """Wait for the rest and return the whole answer."""
        async for _ in self:
            pass
        return self.answer

    def close(self) -> None:
        """Cancel the call, here and in the service; callable from any task, harmless when it is over."""
        self._responses.cancel()

    cancel = close

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
