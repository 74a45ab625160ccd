"""Command, environment and limits of an instance."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_orders import DIGEST, desired
from hansa_agent.artefacts import Artefact
from hansa_agent.launch import ENVIRONMENT, Place, chosen_cpus, environment, resource_limits

from hansa.v1.common_pb2 import Capacity, PoolAmount

PLACE = Place(Path("/state/instances/c1-0"), "127.0.0.1", 20_000, "cert.pem", "key.pem")


def test_environment_is_exactly_what_is_documented_and_the_artefacts_own() -> None:
    artefact = Artefact("echo", (), ("x",), DIGEST, {"OMP_NUM_THREADS": "2", "PATH": "/evil"})
    built = environment(desired(), artefact, PLACE)
    assert set(built) == {*ENVIRONMENT, "OMP_NUM_THREADS"}
    assert built["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert built["HANSA_READY_FILE"] == "/state/instances/c1-0/home/ready"
    assert built["HANSA_CLIENT_CA"] == "/state/instances/c1-0/client_ca.pem"


def test_grants_are_told() -> None:
    limits = Capacity(cpu_millis=1_500, memory_mib=64, accelerators=[PoolAmount(pool="nvidia/L4", count=2)])
    built = environment(desired(limits=limits), Artefact("echo", (), ("x",), DIGEST), PLACE)
    assert built["HANSA_CPU_MILLIS"] == "1500" and built["HANSA_MEMORY_MIB"] == "64"
    assert built["HANSA_ACCELERATORS"] == "nvidia/L4=2"


@pytest.mark.parametrize(("memory_mib", "data_mib"), [(64, 512), (256, 512), (1_024, 2_048)])
def test_memory_is_bounded_generously(memory_mib: int, data_mib: int) -> None:
    assert resource_limits(Capacity(memory_mib=memory_mib))["RLIMIT_DATA"] == data_mib << 20


def test_memory_that_was_not_limited_is_not_bounded() -> None:
    bounds = resource_limits(Capacity())
    assert "RLIMIT_DATA" not in bounds and bounds["RLIMIT_CORE"] == 0


@pytest.mark.parametrize(
    ("cpu_millis", "seat", "chosen"),
    [(0, 0, (0, 1, 2, 3)), (500, 0, (0,)), (500, 1, (1,)), (1_001, 1, (2, 3)), (1_500, 3, (2, 3)), (9_000, 0, None)],
)
def test_cpus_are_as_many_as_ordered_and_neighbours_differ(
    cpu_millis: int, seat: int, chosen: tuple[int, ...] | None
) -> None:
    available = (0, 1, 2, 3)
    assert chosen_cpus(cpu_millis, available, seat) == (chosen or available)


def test_seat_wraps_around() -> None:
    assert chosen_cpus(3_000, (0, 1, 2, 3), 1) == (0, 1, 3)
