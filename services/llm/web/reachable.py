"""Whether images can be fetched at all from what two settings name, told before a caller finds out that they can't."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from services.common.settings import SettingError
from services.common.shown import assigned
from services.llm.web.hosts import is_address, split
from services.llm.web.networks import Networks

HOSTS, NETWORKS = "HEROSERVE_IMAGE_HOSTS", "HEROSERVE_IMAGE_NETWORKS"
# What its machine is called by itself, whoever is asked.
_HERE = "localhost"
_LOOPBACK = ("127.0.0.1", "::1")


def check_reachable(hosts: Sequence[str], networks: Sequence[str]) -> None:
    """That every host whose address is known now may be connected to. Other names are looked up when they are asked.

    Args:
        hosts, networks: as ``parse_hosts`` and ``parse_networks`` give them.

    Raises:
        SettingError: one may not, or networks are named and no host.
    """
    if networks and not hosts:
        raise SettingError(
            f"{assigned(NETWORKS, ','.join(networks))}: they are where the hosts of {HOSTS} may be, and it names none, "
            "so that nothing is fetched; set both or neither"
        )
    allowed = Networks(networks)
    for entry in hosts:
        host = split(entry)[0].removeprefix("*.").removesuffix(".")
        here = host == _HERE or host.endswith(f".{_HERE}")
        if not any(map(allowed.admits, _LOOPBACK)) if here else is_address(host) and not allowed.admits(host):
            raise SettingError(
                f"{assigned(HOSTS, ','.join(hosts))}: {entry} is no public address, and "
                f"{f'of {NETWORKS} none has it' if networks else f'{NETWORKS} is not set'}, so that nothing could be "
                f"fetched from it; name its network there, such as {_network(host, here=here)}"
            )


def _network(host: str, *, here: bool) -> str:
    if here:
        return "127.0.0.0/8,::1/128"
    address = ipaddress.ip_address(host)
    return str(ipaddress.ip_network(getattr(address, "ipv4_mapped", None) or address))
