"""Addresses of the demonstration: on loopback ports that are free, in containers the names of the compose file."""

from __future__ import annotations

import socket

import pytest
import yaml
from hansa_demo import addressing
from hansa_demo.addressing import COMPOSE_PORTS, INSTANCE_PORTS, LISTENERS, ComposeAddressing, LoopbackAddressing
from hansa_demo.scenario import OPERATORS
from prepared_world import places


@pytest.fixture(scope="module")
def loopback() -> LoopbackAddressing:
    return LoopbackAddressing()


def port_of(address: str) -> int:
    host, _, port = address.rpartition(":")
    assert host == "127.0.0.1"
    return int(port)


def tcp_ports(loopback: LoopbackAddressing) -> list[int]:
    listeners = [port_of(loopback.control_plane(op.name, name)[0]) for op in OPERATORS for name in LISTENERS]
    ranges = [loopback.instances(op.name, zone.name)[2] for op, zone in places()]
    return listeners + [port for first, last in ranges for port in range(first, last + 1)]


def test_every_listener_has_a_port_of_its_own_that_others_dial(loopback: LoopbackAddressing) -> None:
    pairs = [loopback.control_plane(op.name, name) for op in OPERATORS for name in LISTENERS]
    assert len({listen for listen, _ in pairs}) == len(OPERATORS) * len(LISTENERS)
    assert all(listen == dial for listen, dial in pairs)


def test_port_ranges_of_instances_overlap_neither_each_other_nor_a_listener(loopback: LoopbackAddressing) -> None:
    ports = tcp_ports(loopback)
    assert len(set(ports)) == len(ports)


def test_every_range_has_room_for_a_move_and_a_restart(loopback: LoopbackAddressing) -> None:
    widths = [last - first + 1 for _, _, (first, last) in (loopback.instances(op.name, z.name) for op, z in places())]
    assert min(widths) >= INSTANCE_PORTS


def test_every_port_is_free_to_listen_on(loopback: LoopbackAddressing) -> None:
    for port in tcp_ports(loopback):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("127.0.0.1", port))


def test_every_reflector_has_a_free_datagram_port_of_its_own(loopback: LoopbackAddressing) -> None:
    ports = [port_of(loopback.probe(op.name, zone.name)[0]) for op, zone in places()]
    assert len(set(ports)) == len(ports) == 10
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))


def test_ports_lie_below_those_that_the_kernel_gives_to_connections(loopback: LoopbackAddressing) -> None:
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        ephemeral_first = int(file.read().split()[0])
    assert 1024 < min(tcp_ports(loopback)) < max(tcp_ports(loopback)) < max(ephemeral_first, 32_768)


def test_a_port_that_somebody_holds_is_passed_over() -> None:
    wanted = addressing._free_ports("127.0.0.1", 3, socket.SOCK_STREAM)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", wanted[1]))
        found = addressing._free_ports("127.0.0.1", 3, socket.SOCK_STREAM)
    assert wanted[1] not in found
    assert found == sorted(set(found)) and len(found) == 3


def test_two_processes_begin_their_search_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    firsts = []
    for pid in (1_000, 1_001):
        monkeypatch.setattr(addressing.os, "getpid", lambda pid=pid: pid)
        firsts.append(LoopbackAddressing())
    assert not set(tcp_ports(firsts[0])) & set(tcp_ports(firsts[1]))


def test_containers_listen_on_fixed_ports_and_are_dialled_by_the_names_of_services() -> None:
    compose = ComposeAddressing()
    for operator in OPERATORS:
        for name in LISTENERS:
            listen, dial = compose.control_plane(operator.name, name)
            assert listen == f"0.0.0.0:{COMPOSE_PORTS[name]}"
            assert dial == f"{operator.name}:{COMPOSE_PORTS[name]}"
    assert len(set(COMPOSE_PORTS.values())) == len(LISTENERS)


def test_names_of_containers_are_services_of_the_compose_file(pytestconfig: pytest.Config) -> None:
    text = (pytestconfig.rootpath / "docker-compose.yml").read_text(encoding="utf-8")
    services = set(yaml.safe_load(text)["services"])
    compose = ComposeAddressing()
    dialled = {compose.control_plane(op.name, "api")[1].partition(":")[0] for op in OPERATORS}
    dialled |= {compose.probe(op.name, zone.name)[1].partition(":")[0] for op, zone in places()}
    dialled |= {compose.instances(op.name, zone.name)[1] for op, zone in places()}
    assert len(dialled) == 14
    assert dialled <= services


def test_certificates_of_containers_carry_the_names_by_which_they_are_dialled(loopback: LoopbackAddressing) -> None:
    compose = ComposeAddressing()
    assert compose.hosts("nordavind", "") == ("nordavind",)
    assert compose.hosts("nordavind", "oslo-1") == ("nordavind-oslo-1",)
    assert loopback.hosts("nordavind", "oslo-1") == ()
