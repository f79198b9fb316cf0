"""Which addresses may be connected to for an image: public ones, and what the operator names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# What of IPv6 is given out, and what NAT64 makes of IPv4.
_UNICAST, _NAT64 = ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("64:ff9b::/96")
# Of protocols, not of hosts; not every Python knows.
_PROTOCOLS = ipaddress.IPv4Network("192.0.0.0/24")


class Networks:
    """Where connections may go.

    Args:
        private: networks that are not public, and all the same allowed.
    """

    def __init__(self, private: Iterable[str] = ()) -> None:
        self._private = tuple(ipaddress.ip_network(network) for network in private)

    def admits(self, address: str) -> bool:
        """Whether a connection may be made to this; not to what is no address.

        What reaches an IPv4 address by another's clothes is that address.
        """
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return all(self._admits(each) for each in _all_of(found))

    def _admits(self, address: Address) -> bool:
        if any(address.version == network.version and address in network for network in self._private):
            return True
        if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST and address not in _NAT64:
            return False
        return address.is_global and not address.is_multicast and address not in _PROTOCOLS


def _all_of(address: Address) -> list[Address]:
    """The address and what of IPv4 is within it; a mapped one is nothing else."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address, address.sixtofour]
    if address in _NAT64:
        return [address, ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]


def parse_networks(value: str) -> tuple[str, ...]:
    """Networks off a setting, as 10.1.0.0/16 or fd00:1::/64, with commas between them.

    Raises:
        ValueError: one is none.
    """
    try:
        return tuple(str(ipaddress.ip_network(each.strip())) for each in value.split(","))
    except ValueError as error:
        raise ValueError("expected networks with commas between them, such as 10.1.0.0/16 or fd00:1::/64") from error
