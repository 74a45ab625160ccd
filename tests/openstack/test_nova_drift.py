"""What happens to servers and hosts without the agent's doing: it is found and told, and nothing stupid is done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from openstack_cloud import Cloud
from server_bench import Bench, desired

from hansa.v1.instance_pb2 import INSTANCE_STATE_READY

COMPUTE = "compute:edge-1"


@contextlib.contextmanager
def compute_dead(cloud: Cloud) -> Iterator[None]:
    """nova-compute is killed, and started again afterwards."""
    cloud.kill(COMPUTE)
    try:
        yield
    finally:
        cloud.start(COMPUTE)
        cloud.until(lambda: _state(cloud) == "up")


def _state(cloud: Cloud) -> str:
    (service,) = cloud.ask("GET", "compute", "/os-services?binary=nova-compute")["services"]
    return str(service["state"])


async def test_host_that_goes_down_takes_its_capacity_along_and_comes_back(bench: Bench) -> None:
    bench.as_admin = True
    bench.reopen()
    before = await bench.source.read()
    assert before.capacity.cpu_millis and not before.unsound
    with compute_dead(bench.cloud):
        await bench.until(lambda: _state(bench.cloud) == "down")
        down = await bench.source.read()
        assert (down.capacity.cpu_millis, list(down.pools)) == (0, [])
        assert "1 of the hosts are down" in down.trouble
    assert (await bench.source.read()).capacity == before.capacity


async def test_server_whose_host_is_dead_has_not_ended_and_one_it_forgot_is_made_anew(bench: Bench) -> None:
    async with bench.supervised(ready_timeout_ms=8_000) as agent:
        agent.order(desired())
        await agent.ready()
        (first,) = bench.servers()
        with compute_dead(bench.cloud):
            await bench.runtime.view.refresh()
            status = agent.status()
            assert status is not None and status.state == INSTANCE_STATE_READY, "nobody knows that it does not run"
        # The fake hypervisor has forgotten its guests: ACTIVE, and its host does not run it.
        await agent.until(lambda status: status.state != INSTANCE_STATE_READY)
        await agent.until(lambda status: status.restarts == 1)
        await agent.ready()
    (second,) = await bench.until(lambda: len(bench.servers()) == 1 and bench.servers())
    assert second["id"] != first["id"]


async def test_token_that_expires_is_renewed_under_way(bench: Bench) -> None:
    async with bench.supervised() as agent:
        agent.order(desired())
        await agent.ready()
        session = bench.api._session
        token = session.get_token()
        url = f"{bench.cloud.auth['auth_url']}/auth/tokens"
        session.delete(url, headers={"X-Subject-Token": token})
        await bench.until(lambda: session.get_token() != token)
        status = agent.status()
        assert status is not None and status.state == INSTANCE_STATE_READY
        assert not bench.runtime.view.trouble
