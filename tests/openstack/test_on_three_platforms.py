"""One workload moves from processes to OpenStack to Kubernetes and back, between two operators, under its users."""

from __future__ import annotations

from pathlib import Path

import pytest
from infra_story import played
from infra_world import PODS, PROCESSES, SERVERS
from openstack_cloud import Cloud
from rich.console import Console

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]


async def test_a_workload_moves_between_platforms_and_turns_no_user_away(tmp_path: Path, full_cloud: Cloud) -> None:
    callers = await played(tmp_path / "world", full_cloud, Console(width=120))
    assert callers.failed == []
    assert callers.answered >= 20
    assert callers.zones == [PROCESSES, SERVERS, PODS, PROCESSES]
    placed = [line.split()[1] for line in callers.told if line.startswith("Placed")]
    assert placed == [PROCESSES, SERVERS, PODS, PROCESSES]
    released = [line.split()[1] for line in callers.told if line.startswith("Released")]
    assert released == [PROCESSES, SERVERS, PODS]
