"""``/v1/files``: an image is uploaded once, and then asked about by its id, which is its digest."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from openai.types import FileObject

from heroserve.errors import ImageError
from heroserve.openai_body import file_digest
from heroserve.sources import check_size
from services.common.admission import Admission
from services.common.errors import InvalidArgument
from services.common.gate import Gate
from services.common.http_call import HttpCall, HttpError
from services.common.shown import one_line, shown
from services.llm.doors.openai import fields, form
from services.llm.doors.openai.exchange import Exchange
from services.llm.kept_images import KeptImages

if TYPE_CHECKING:
    from starlette.types import Send

_PURPOSE: Literal["vision"] = "vision"
# Which of OpenAI's are not served, and why.
NOT_SERVED = {
    ("GET", ""): "files are not listed: nothing here keeps account of who has uploaded which",
    ("DELETE", "/{name:path}"): "files are not deleted: what is kept of one goes by itself when nobody has uploaded or "
    "sent it for HEROSERVE_CACHE_TTL_S, or when others need its place",
    ("GET", "/{name}/content"): "the content of a file is not kept, only what the model reads of it",
}


@dataclass(frozen=True)
class Files:
    """What all uploads of a replica share; see ``routes.application``."""

    gate: Gate
    admission: Admission
    kept: KeptImages
    timeout_s: float


class Upload(Exchange):
    """See ``Exchange``.

    Args:
        files: of the replica.
        call: the request.
        data: its body.
        content_type: of that.
    """

    def __init__(self, files: Files, call: HttpCall, data: bytes, content_type: str) -> None:
        super().__init__(call, files.timeout_s)
        self._files = files
        self._data = data
        self._content_type = content_type

    async def answer(self, send: Send) -> None:
        files = self._files
        with files.gate.guard(self._call) as serving:
            part = await asyncio.to_thread(_parse, self._data, self._content_type)
            async with files.admission.turn(serving, self._call.bytes_in):
                with fields.FILE_WORDS.telling():
                    digest = await files.kept.keep(bytes(part.data))
            told = FileObject(
                id=digest,
                bytes=len(part.data),
                created_at=int(time.time()),
                filename=part.filename or "file",
                object="file",
                purpose=_PURPOSE,
                status="processed",
            )
            await self._begin(send, b"application/json")
            await self._send(send, told.model_dump_json(exclude_unset=True).encode(), more=False)


class Look(Exchange):
    """Whether a file is kept still. What else OpenAI tells of one is not known here, and null.

    Args:
        files: of the replica.
        call: the request.
        name: the file's id.
    """

    def __init__(self, files: Files, call: HttpCall, name: str) -> None:
        super().__init__(call, files.timeout_s)
        self._files = files
        self._name = name

    async def answer(self, send: Send) -> None:
        files = self._files
        with files.gate.guard(self._call) as serving:
            digest = file_digest(self._name)
            if digest is None:
                raise HttpError(404, "file_not_found", "id", f"{shown(self._name)} is none that /v1/files gives")
            async with files.admission.turn(serving):
                with fields.FILE_WORDS.telling():
                    await files.kept.check(digest)
            told = FileObject.model_construct(
                id=digest,
                bytes=None,
                created_at=None,
                filename=None,
                object="file",
                purpose=_PURPOSE,
                status="processed",
            )
            await self._begin(send, b"application/json")
            await self._send(send, told.model_dump_json(exclude_unset=True, warnings=False).encode(), more=False)


def _parse(data: bytes, content_type: str) -> form.Part:
    parts = form.parse(data, content_type)
    purpose = parts.get("purpose")
    said = purpose.data.decode("utf-8", "replace").strip() if purpose else ""
    if said != _PURPOSE:
        raise InvalidArgument(
            "purpose", f"is {shown(said) if purpose else 'missing'}; files are kept for {_PURPOSE} alone"
        )
    for name in parts:
        if name.startswith("expires_after"):
            raise HttpError(
                400,
                "unsupported_parameter",
                one_line(name, 60),
                "is not served; a file goes as the encoder's cache has it",
            )
    if "file" not in parts:
        raise InvalidArgument("file", "is missing; send the picture's file")
    try:
        # The encoder has a limit of its own below this, of what a message to it can hold.
        check_size(len(parts["file"].data), "the file")
    except ImageError as error:
        # The SDK's words, behind its name for the field.
        raise InvalidArgument("file", str(error).partition(": ")[2]) from error
    return parts["file"]
