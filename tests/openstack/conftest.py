"""Clouds for the tests of this folder, started once a session and only if a test wants one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_furniture import furnish
from openstack_cloud import Cloud
from server_bench import Bench


@pytest.fixture(scope="session")
def placement_cloud() -> Iterator[Cloud]:
    """Keystone and Placement alone."""
    cloud = Cloud()
    yield cloud
    cloud.end()


@pytest.fixture(scope="session")
def full_cloud() -> Iterator[Cloud]:
    """A cloud with one host, an image and flavors."""
    cloud = Cloud("edge-1")
    furnish(cloud)
    yield cloud
    cloud.end()


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
