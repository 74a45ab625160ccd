"""Where an operator is dialled: one address, or those of its replicas, of which the one that leads answers.

``control.nordavind.example:7443`` may stand for several addresses, if that is what the name resolves to; several that
are written down, with commas between, are IP addresses of one family. gRPC dials them in turn and stays with the first
that accepts.
"""

from __future__ import annotations

import ipaddress
import re

_HOST_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")


def target_of(endpoint: str) -> str:
    """What gRPC dials for ``host:port`` or for ``ip:port,ip:port``. ValueError, with what is wrong, for any other."""
    parts = endpoint.split(",")
    hosts = [_host(part) for part in parts]
    if len(parts) == 1:
        return endpoint
    try:
        versions = {ipaddress.ip_address(host.strip("[]")).version for host in hosts}
    except ValueError:
        raise ValueError(f"{endpoint!r}: several addresses are IP addresses; a name may resolve to several") from None
    if len(versions) > 1:
        raise ValueError(f"{endpoint!r}: several addresses are all of IPv4 or all of IPv6")
    return f"ipv{versions.pop()}:{endpoint}"


def _host(address: str) -> str:
    found = _HOST_PORT.fullmatch(address)
    if found is None or not 0 < int(found["port"]) <= 65535:
        raise ValueError(f"{address!r} is not host:port, for example 127.0.0.1:7443")
    return found["host"]
