"""What a server did in place of answering, and what our caller is told of it."""

from __future__ import annotations

from services.common.errors import FailedPrecondition, ResourceExhausted, ServiceError, Unavailable
from services.common.shown import shown
from services.llm.refusal import Refusal

_NEVER = -1.0


class Failure(Exception):
    """A server has not answered.

    Args:
        error: what the caller is told, if no other server answers in its place.
        lost: it takes no requests now: it is left out until it does.
        unsent: it has not seen the request: any number of others may be asked. Else one: a request that ends servers
            must not end them all.
        refused: why it does not do what this request asks for; no other would.
    """

    def __init__(
        self, error: ServiceError | Refusal, *, lost: bool = False, unsent: bool = False, refused: str = ""
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.lost = lost
        self.unsent = unsent
        self.refused = refused

    @property
    def passes(self) -> bool:
        """By itself, as far as can be told."""
        return isinstance(self.error, (ResourceExhausted, Unavailable))

    @property
    def public(self) -> str:
        """For everybody to read: no addresses."""
        if self.passes:
            return "vLLM does not answer"
        return "vLLM serves something else than this service, or in another way; the log of the service says what"


def unavailable(server: str, problem: str) -> Unavailable:
    """It was tried elsewhere, where there is an elsewhere: callers are told to try no more."""
    error = Unavailable(f"vLLM at {server}: {problem}")
    error.retry_after_s = _NEVER
    return error


def lost(server: str, problem: str, *, unsent: bool = False) -> Failure:
    """It does not answer, or broke off."""
    return Failure(unavailable(server, problem), lost=True, unsent=unsent)


def set_up_wrong(server: str, problem: str) -> Failure:
    """It answers, and will never answer this; another may be set up as it should."""
    return Failure(FailedPrecondition(f"vLLM at {server}: {problem}"), lost=True, unsent=True)


def another(server: str, differs: str) -> Failure:
    """It has made another prompt than ours of a request, which may be the request's doing: it is asked again what it
    serves, and not left out until then."""
    return Failure(
        FailedPrecondition(
            f"vLLM at {server}: it serves another model, tokenizer or chat template than HEROSERVE_MODEL's: {differs}; "
            "serve what `python -m services.llm.export` writes"
        )
    )


def another_one(server: str, told: str, own: str) -> Failure:
    """Its language model is of another checkpoint."""
    return set_up_wrong(
        server,
        f"its language model is of another checkpoint than HEROSERVE_MODEL ({shown(told)} there, {own!r} here); "
        "serve what `python -m services.llm.export` writes of the same hub id, or of the same folder",
    )


def untold(server: str) -> Failure:
    """What it made of a request nobody knows."""
    return set_up_wrong(server, "it does not tell token ids as vLLM does; it must be vLLM 0.29 or newer")
