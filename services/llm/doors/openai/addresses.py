"""What a request names by address, fetched: the heart gets files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from yarl import URL

from services.common import context
from services.common.together import together
from services.llm.doors.openai.images import unfetched
from services.llm.doors.openai.request import Asked
from services.llm.job import ChatJob, ImagePart, check
from services.llm.web.error import FetchError
from services.llm.web.fetcher import ImageFetcher

# In the place of a file.
_SOME = b"-"


async def fetched(asked: Asked, fetcher: ImageFetcher, max_images: int) -> ChatJob:
    """The job of a request, with a file in the place of each address, if any; what is named twice is fetched once.

    Raises:
        Refusal: the job can't be done whatever the images show; nothing is fetched for it.
        HttpError: one can't be had.
    """
    if not asked.addresses:
        return asked.job
    check(_filled(asked, dict.fromkeys(asked.addresses.values(), _SOME)), max_images)
    fields: dict[URL, str] = {}
    for place, url in asked.addresses.items():
        fields.setdefault(url, asked.named[place])
    with context.current().stages.time("fetch", span="fetch"):
        files = await together(_file(url, field, fetcher) for url, field in fields.items())
    return _filled(asked, dict(zip(fields, files, strict=True)))


async def _file(url: URL, field: str, fetcher: ImageFetcher) -> bytes:
    try:
        return await fetcher.get(url)
    except FetchError as error:
        raise unfetched(field, error) from error


def _filled(asked: Asked, files: Mapping[URL, bytes]) -> ChatJob:
    turns = [list(turn.parts) for turn in asked.job.turns]
    for (turn, item), url in asked.addresses.items():
        turns[turn][item] = ImagePart(data=files[url])
    filled = [replace(turn, parts=tuple(parts)) for turn, parts in zip(asked.job.turns, turns, strict=True)]
    return replace(asked.job, turns=tuple(filled))
