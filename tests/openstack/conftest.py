"""Clouds for the tests of this folder, started once a session and only if a test wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openstack_cloud import Cloud


@pytest.fixture(scope="session")
def placement_cloud() -> Iterator[Cloud]:
    """Keystone and Placement alone."""
    cloud = Cloud()
    yield cloud
    cloud.end()


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
