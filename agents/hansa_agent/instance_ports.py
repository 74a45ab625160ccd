"""Where instances listen: the ports of the zone that are still free, and the addresses that name them."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from hansa_agent.instance_store import InstanceStore
from hansa_agent.ports import StartRefused

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """Where instances listen and under which certificate; ``ports`` is first and last, both usable.

    ``advertise_host`` is what the endpoint's URL names. A log over ``log_bytes_max`` is copied to ``log.1`` and cut.
    """

    listen_host: str
    ports: tuple[int, int]
    advertise_host: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    log_bytes_max: int = 10 << 20

    def endpoint_url(self, port: int) -> str:
        """Base URL of what listens on ``port``."""
        return f"https://{_bracketed(self.advertise_host or self.listen_host)}:{port}"


def free_port(instance: str, settings: InstanceSettings, store: InstanceStore) -> int:
    """The port that the instance had, or the first that no other instance has and that can be bound.

    Raises ``StartRefused`` if there is none.
    """
    first, last = settings.ports
    own = store.records[instance].port if instance in store.records else 0
    taken = {record.port for name, record in store.records.items() if name != instance}
    candidates: list[int] = [*([own] if first <= own <= last else []), *range(first, last + 1)]
    for port in candidates:
        if port not in taken and can_bind(settings.listen_host, port):
            return port
    raise StartRefused(f"no port from {first} to {last} is free", permanent=False)


def can_bind(host: str, port: int) -> bool:
    """Whether nothing listens there yet; raises ``StartRefused`` where this machine does not have the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise StartRefused(f"cannot listen on {host}: {error.strerror}", permanent=False) from error
    return True


def reachable_host(listen_host: str) -> str:
    """Where this machine reaches what listens on ``listen_host``."""
    return _ANY_HOST.get(listen_host, listen_host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
