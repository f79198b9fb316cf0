"""The shell's HEROSERVE_* variables: what the stack makes of each, or why it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.common.api_keys import parse_keys
from services.common.known import VARIABLES
from services.common.settings import BUNDLED_MODEL, SettingError
from services.common.variable import unknown
from services.encoder.settings import EncoderSettings
from services.llm.settings import LlmSettings

_PORTS = ("HEROSERVE_GRPC_PORT", "HEROSERVE_HTTP_PORT", "HEROSERVE_METRICS_PORT", "HEROSERVE_RAY_METRICS_PORT")
_OF_A_REDIS = ("HEROSERVE_CACHE_USERNAME", "HEROSERVE_CACHE_PASSWORD", "HEROSERVE_CACHE_SENTINEL_PASSWORD")
_KEYS, _CACHE = "HEROSERVE_API_KEYS", "HEROSERVE_CACHE_URL"
# Who sends one: the question that is asked first, and the LLM service.
_CALLERS = ("HEROSERVE_API_KEY", "HEROSERVE_ENCODER_API_KEY")


@dataclass(frozen=True)
class Shell:
    """What is taken from it.

    Attributes:
        variables: all of them, for the services.
        cache_url: "" where the stack starts a Redis of its own.
        api_key: one that the services take, "" where they ask for none.
        host: that this machine reaches their HTTP ports by.
        bundled: they run a model in the box, of either family.
    """

    variables: dict[str, str]
    cache_url: str
    api_key: str
    host: str
    bundled: bool

    @property
    def shown_cache(self) -> str:
        """Without the password that may be in it."""
        user, at, rest = urlsplit(self.cache_url).netloc.rpartition("@")
        return self.cache_url.replace(f"{user}{at}{rest}", f"***@{rest}") if at else self.cache_url

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Shell:
        """Check them all.

        Raises:
            SettingError: one can't be used, is none of ours, or is one service's where two are started; a line each.
        """
        variables = dict(environ)
        # Each service has a Ray of its own.
        variables.pop("RAY_ADDRESS", None)
        given = {name: value for name, value in variables.items() if name.startswith("HEROSERVE_") and value.strip()}
        problems = [*unknown(given, VARIABLES), *_refused(given)]
        keys = _keys(given.get(_KEYS, ""), problems)
        for name in _CALLERS:
            if keys:
                if given.setdefault(name, keys[0]).strip() not in keys:
                    problems.append(f"{name} is none of {_KEYS}, which both services ask for")
                variables[name] = given[name]
        for kind in (EncoderSettings, LlmSettings):
            if not problems:
                try:
                    settings = kind.from_env(given)
                except SettingError as error:
                    problems.append(str(error))
        if problems:
            raise SettingError("\n".join(problems))
        return cls(
            variables,
            cache_url=given.get(_CACHE, "").strip(),
            api_key=given.get(_CALLERS[0], "") if keys else "",
            host=settings.reachable_host,
            bundled=Path(settings.model).resolve().parent == Path(BUNDLED_MODEL).parent,
        )


def _keys(value: str, problems: list[str]) -> tuple[str, ...]:
    """Those that callers may have; none where they are refused, which the services' settings tell."""
    try:
        return parse_keys(value)
    except ValueError as error:
        problems.append(f"{_KEYS}: {error}")
        return ()


def _refused(given: Mapping[str, str]) -> list[str]:
    alone = "start the services by hand for that, each with its own, as README's settings say"
    problems = [
        f"{name}={given[name]}: two services are started here, and a port is one's; unset it, or {alone}"
        for name in _PORTS
        if name in given
    ]
    if "HEROSERVE_ENCODER_TARGET" in given:
        problems.append(
            f"HEROSERVE_ENCODER_TARGET={given['HEROSERVE_ENCODER_TARGET']}: an encoder is started here, and it is the "
            f"one that the LLM service asks; unset it, or {alone}"
        )
    if _CACHE not in given:
        problems += [
            f"{name}: the Redis that is started here has no passwords; unset it, or name yours by {_CACHE}"
            for name in _OF_A_REDIS
            if name in given
        ]
    return problems
