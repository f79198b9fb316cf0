"""The options that `bench` alone has."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer

from heroserve.cli import texts
from heroserve.cli.pictures import complete_picture
from heroserve.cli.ranges import real, whole
from heroserve.cli.told import one_line
from heroserve.target import address

DURATION_S = 10.0
OPEN_AT_ONCE = 128


def _url(value: str) -> str:
    url = value.strip()
    try:
        if "://" not in url:
            address(url)
            return url
        found = urlsplit(url)
        fits = found.scheme in ("http", "https") and found.hostname and found.port != 0
        fits = fits and not (found.query or found.fragment)
        if "@" in found.netloc:
            raise typer.BadParameter("has a user or a password in it; leave them out, a key is for --api-key")
    except ValueError:
        fits = False
    if not fits:
        raise typer.BadParameter(
            f"is {one_line(url, 60) or 'empty'}; it must be HOST:PORT of the LLM service's gRPC, such as "
            "localhost:9001, or http://HOST:PORT of OpenAI's API"
        )
    return url


Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        envvar="HEROSERVE_TARGET",
        callback=_url,
        help="HOST:PORT of the LLM service's gRPC, or http://HOST:PORT of its API of OpenAI's, or of another server's.",
    ),
]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="IMAGE",
        autocompletion=complete_picture,
        help="Ask about this one, or about several in turn; a picture that is drawn for it unless told otherwise.",
    ),
]
Text = Annotated[
    str | None,
    typer.Option(
        "--question",
        metavar="TEXT",
        callback=texts.question,
        help="Ask this; one that the service says it can be asked, if it says.",
    ),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Send another file of that picture with each request, so that none is in the encoder's cache."
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole(1, 1024),
        help=f"Requests at once: 4, and with --rate {OPEN_AT_ONCE} at most, unless told otherwise.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        parser=real(0, 10_000, above=True),
        help="An open loop: so many requests a second, whether answers come or not. A closed one without it: the next "
        "when one has ended.",
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        parser=real(0, 86_400, above=True),
        help=f"Begin no request after it: {DURATION_S:g}, unless --requests is given.",
    ),
]
Requests = Annotated[
    int | None, typer.Option(metavar="N", parser=whole(1, 1_000_000), help="Begin no more than these.")
]
WarmUp = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole(0, 10_000),
        help="Requests before that are not measured: one for each of the images and at once, unless told otherwise.",
    ),
]
