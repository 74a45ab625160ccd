"""Addresses for a world on one machine's loopback, and for one in containers."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

from hansa_demo.prepare import interpreter
from hansa_demo.scenario import OPERATORS

LISTENERS = ("api", "agents", "partners", "metrics")
INSTANCE_PORTS = 4
COMPOSE_PORTS = {"api": 7443, "agents": 7444, "partners": 7445, "metrics": 9443}
PORT_MIN, PORT_SPREAD = 11_000, 18_000


class LoopbackAddressing:
    """Ports that were free a moment ago, below those that the kernel gives to outgoing connections."""

    def __init__(self, host: str = "127.0.0.1", instance_ports: int = INSTANCE_PORTS) -> None:
        self._host = host
        zones = [(op.name, zone.name) for op in OPERATORS for zone in op.zones]
        tcp_count = len(OPERATORS) * len(LISTENERS) + len(zones) * instance_ports
        tcp = iter(_free_ports(host, tcp_count, socket.SOCK_STREAM))
        udp = iter(_free_ports(host, len(zones), socket.SOCK_DGRAM))
        self._listeners = {(op.name, name): next(tcp) for op in OPERATORS for name in LISTENERS}
        self._probes = {zone: next(udp) for zone in zones}
        self._instances = {zone: [next(tcp) for _ in range(instance_ports)] for zone in zones}

    def control_plane(self, operator: str, listener: str) -> tuple[str, str]:
        address = f"{self._host}:{self._listeners[operator, listener]}"
        return address, address

    def probe(self, operator: str, zone: str) -> tuple[str, str]:
        address = f"{self._host}:{self._probes[operator, zone]}"
        return address, address

    def instances(self, operator: str, zone: str) -> tuple[str, str, tuple[int, int]]:
        ports = self._instances[operator, zone]
        return self._host, self._host, (min(ports), max(ports))

    def hosts(self, operator: str, process: str) -> tuple[str, ...]:
        return ()

    def python(self) -> str:
        return interpreter()


class ComposeAddressing:
    """Fixed ports and the service names of docker-compose.yml: the operator's, and operator-zone for agents."""

    def control_plane(self, operator: str, listener: str) -> tuple[str, str]:
        port = COMPOSE_PORTS[listener]
        return f"0.0.0.0:{port}", f"{operator}:{port}"

    def probe(self, operator: str, zone: str) -> tuple[str, str]:
        return "0.0.0.0:8620", f"{operator}-{zone}:8620"

    def instances(self, operator: str, zone: str) -> tuple[str, str, tuple[int, int]]:
        return "0.0.0.0", f"{operator}-{zone}", (8500, 8519)  # noqa: S104 - a container's own network

    def hosts(self, operator: str, process: str) -> tuple[str, ...]:
        return (f"{operator}-{process}",) if process else (operator,)

    def python(self) -> str:
        return interpreter()


def free_addresses(count: int, host: str = "127.0.0.1") -> list[str]:
    """So many addresses, "host:port", at which nobody listened a moment ago; of the kernel's own choice."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind((host, 0))
        return [f"{host}:{one.getsockname()[1]}" for one in taken]


def _free_ports(host: str, count: int, kind: int) -> list[int]:
    """Free ports in ascending order. Where the search begins depends on the process, so that two worlds fit."""
    found: list[int] = []
    with ExitStack() as stack:
        port = PORT_MIN + os.getpid() * 131 % PORT_SPREAD
        while len(found) < count:
            each = stack.enter_context(socket.socket(socket.AF_INET, kind))
            try:
                each.bind((host, port))
                found.append(port)
            except OSError:
                each.close()
            port += 1
    return found
