"""The client of a command, and what its failures become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from heroserve.cli.told import Asked, told
from heroserve.client import Client
from heroserve.errors import HeroserveError
from heroserve.retry import RetryPolicy

# Who sits before a terminal would rather know that nobody is there.
_RETRY = RetryPolicy(wait_for_service=False)


@contextmanager
def llm(
    target: str,
    api_key: str | None,
    tls: bool,
    timeout_s: float,
    picture: str = "",
    names: Mapping[str, str] | None = None,
    retry: RetryPolicy | None = None,
) -> Iterator[Client]:
    """A client of the LLM service at `target`; a failed call raises Told. `picture` is what to call the picture, and
    `names` is what to call parts of a conversation, as in `Asked`."""
    with (
        telling(Asked(target, "--target", bool(api_key), picture, names or {}, tls)),
        Client(target, api_key=api_key, tls=tls, timeout_s=timeout_s, retry=retry or _RETRY) as client,
    ):
        yield client


@contextmanager
def encoder(target: str, api_key: str | None, tls: bool, timeout_s: float, picture: str = "") -> Iterator[Client]:
    """The same of the encoder."""
    with (
        telling(Asked(target, "--encoder-target", bool(api_key), picture, tls=tls)),
        Client(encoder_target=target, api_key=api_key, tls=tls, timeout_s=timeout_s, retry=_RETRY) as client,
    ):
        yield client


@contextmanager
def telling(asked: Asked) -> Iterator[None]:
    """What fails within raises Told."""
    try:
        yield
    except HeroserveError as error:
        raise told(error, asked) from error
