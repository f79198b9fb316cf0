"""A Ray that runs already: whether anything answers at its address, before Ray itself waits for that over a minute."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

import grpc

from services.common.settings import SettingError
from services.common.shown import assigned, first_line, shown

VARIABLE = "RAY_ADDRESS"
# A head may be about to come up.
PATIENCE_S = 10.0
_CLIENT = "ray://"
_LAST_PORT = 65535
# Told by a Ray's head in one way or another: one that wants a token, say.
_NOBODY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def check(address: str, patience_s: float = PATIENCE_S) -> None:
    """Have a Ray at this address say that it is there.

    Args:
        address: as RAY_ADDRESS has it: ``HOST:PORT`` of its head, ``auto`` for one of this machine, or ``ray://HOST:PORT``.
        patience_s: longest to wait for it, in seconds.

    Raises:
        SettingError: none has said so.
    """
    try:
        problem = _client(address, patience_s) if address.startswith(_CLIENT) else _head(address, patience_s)
    except (OSError, ValueError) as error:
        # Ray's words where it finds none on this machine, or can't read the address.
        problem = first_line(error)
    if problem:
        raise SettingError(
            f"{assigned(VARIABLE, address)}: this Ray can't be joined ({problem}); start it first, name another one, "
            "or leave it out for a Ray of this service's own"
        )


def _head(address: str, patience_s: float) -> str:
    """Why it can't be joined; empty if it answers."""
    from ray._private import services
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2 as messages
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

    found = services.canonicalize_bootstrap_address_or_die(address)
    port = found.rpartition(":")[2]
    # gRPC takes any number, and finds nobody there.
    if not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) <= _LAST_PORT):
        return f"{shown(port)} is no port; write HOST:PORT, with a port from 1 to {_LAST_PORT}"
    with init_grpc_channel(found) as channel:
        head = NodeInfoGcsServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            head.CheckAlive(messages.CheckAliveRequest(), timeout=patience_s, wait_for_ready=True)  # type: ignore[attr-defined]
        except grpc.RpcError as error:
            if error.code() in _NOBODY:
                return f"nothing at {shown(found)} has answered within {patience_s:g} s as its head does"
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return f"what answers at {shown(found)} is no head of Ray's"
    return ""


def _client(address: str, patience_s: float) -> str:
    """The same of the port for Ray's client, which is asked for a connection alone."""
    url = urlsplit(address)
    if not url.hostname or not url.port:
        return f"write {_CLIENT}HOST:PORT"
    try:
        socket.create_connection((url.hostname, url.port), timeout=patience_s).close()
    except OSError as error:
        return f"there is no connection to it: {first_line(error)}"
    return ""
