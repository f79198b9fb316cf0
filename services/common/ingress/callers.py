"""Who may call a proxy, by whichever of its ports, and how much of it each may have."""

from __future__ import annotations

from services.common import api_keys
from services.common.api_keys import ApiKeys
from services.common.errors import Unauthenticated
from services.common.quotas import Quotas


class Callers:
    """Of one proxy.

    Args:
        keys: callers must have one of them.
        quotas: what each of them may have, of all services and ports together.
    """

    def __init__(self, keys: ApiKeys, quotas: Quotas) -> None:
        self.keys = keys
        self.quotas = quotas

    def admit(self, authorization: str) -> str:
        """The key of one request more; "" where none is asked for.

        Raises:
            Unauthenticated: it has none, or a wrong one.
            ResourceExhausted: too many a second came with it.
        """
        key = self.keys.key(authorization)
        if key is None:
            raise Unauthenticated(api_keys.REFUSED)
        self.quotas.take(key)
        return key


class Here:
    """Those of the proxy whose process this is, for both of its ports: known when gRPC's has its first service."""

    callers: Callers | None = None


HERE = Here()
