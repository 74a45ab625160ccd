"""Clouds for the tests of this folder, started once a session and only if a test wants one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_furniture import furnish
from openstack_cloud import Cloud, can_start, need
from server_bench import Bench

HERE = Path(__file__).parent
SMALL, FULL = "placement_cloud", "full_cloud"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs no servers goes first: the cloud that boots them starts meanwhile, and on a busy machine for long."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))
    items.sort(key=lambda item: FULL in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def begun(request: pytest.FixtureRequest) -> Iterator[dict[str, Cloud]]:
    """The clouds that the tests of this session want, all starting at once."""
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    clouds: dict[str, Cloud] = {}
    for name, hosts in ((SMALL, ()), (FULL, ("edge-1",))):
        if name in wanted and can_start(full=bool(hosts)):
            clouds[name] = Cloud(*hosts)
    yield clouds
    for cloud in clouds.values():
        cloud.end()


@pytest.fixture(scope="session")
def placement_cloud(begun: dict[str, Cloud]) -> Cloud:
    """Keystone and Placement alone."""
    need(full=False)
    begun[SMALL].await_start()
    return begun[SMALL]


@pytest.fixture(scope="session")
def full_cloud(begun: dict[str, Cloud]) -> Cloud:
    """A cloud with one host, an image and flavors."""
    need(full=True)
    begun[FULL].await_start()
    furnish(begun[FULL])
    return begun[FULL]


@pytest.fixture
def bench(full_cloud: Cloud, tmp_path: Path) -> Iterator[Bench]:
    """A zone that has nothing in the cloud, before and after."""
    made = Bench(full_cloud, tmp_path)
    yield made
    made.clear()


@pytest.fixture
def empty_placement(placement_cloud: Cloud) -> Iterator[Cloud]:
    """Placement without a provider, before and after."""
    yield placement_cloud
    while listed := placement_cloud.ask("GET", "placement", "/resource_providers")["resource_providers"]:
        parents = {one["parent_provider_uuid"] for one in listed}
        for one in listed:
            for consumer in placement_cloud.ask("GET", "placement", f"/resource_providers/{one['uuid']}/allocations")[
                "allocations"
            ]:
                placement_cloud.release(consumer)
            if one["uuid"] not in parents:
                placement_cloud.remove_provider(one["uuid"])
