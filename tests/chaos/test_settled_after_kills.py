"""Both operators' books of usage say the same to the millisecond, whoever was killed while claims came and went."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hansa_control.adapters.authority import control_plane_host
from small_world import HOME, PARTNER, SmallWorld, delete_all, settled, spec_in, until

from hansa.client import Client
from hansa.errors import HansaError
from hansa.profile import load_profile

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    world = SmallWorld(tmp_path_factory.mktemp("settled") / "world")
    try:
        world.start()
        yield world
    finally:
        world.processes.stop_all()


def profile_of(world: SmallWorld, operator: str, folder: Path) -> Path:
    """A profile with the certificate of the operator's own control plane."""
    home = world.prepared.operator(operator)
    config = yaml.safe_load((home / "control-plane.yaml").read_text(encoding="utf-8"))
    tls = {name: str(home / path) for name, path in config["tls"].items()}
    profile = {"endpoint": config["listen"]["api"], "tenant": "operator", "ca": tls["ca"]}
    profile |= {
        "certificate": tls["cert"],
        "key": tls["key"],
        "server_name": control_plane_host(f"{operator}.hansa.example"),
    }
    path = folder / f"{operator}.yaml"
    path.write_text(yaml.safe_dump(profile), encoding="utf-8")
    return path


async def differences(profile: Path, partner: str) -> list[str]:
    """What ``hansa settle`` would show of both directions; what stands in the way counts as a difference."""
    async with Client(load_profile(profile), timeout_ms=5_000) as client:
        try:
            settled = (await client.settle(partner, 0)).settlements
        except HansaError as error:
            return [str(error)]
    assert len(settled) == 2
    return [str(difference) for one in settled for difference in one.differences]


async def settle(profile: Path, partner: str, *options: str) -> tuple[int, str]:
    """Exit code and output of ``hansa settle``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hansa.cli.main", "--profile", str(profile), "settle", "--partner", partner, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_books_are_equal_after_the_owner_dies_confirming_and_the_home_dies_releasing(
    world: SmallWorld, tmp_path: Path
) -> None:
    async with world.client() as client:
        for number, victim in enumerate((PARTNER, HOME, PARTNER)):
            confirmed = world.said(PARTNER, "claim_confirmed")
            await client.submit(f"yard-{number}", spec_in("DE"))
            async with asyncio.timeout(60):
                while world.said(PARTNER, "claim_confirmed") == confirmed:
                    await asyncio.sleep(0)
            # It is on the owner's disk; the answer may or may not have got through.
            await world.kill_and_restart(victim)
        await settled(world, client)
        for number, victim in enumerate((HOME, PARTNER)):
            released = world.said(PARTNER, "claim_released")
            await client.delete(f"yard-{number}")
            async with asyncio.timeout(60):
                while world.said(PARTNER, "claim_released") == released:
                    await asyncio.sleep(0)
            await world.kill_and_restart(victim)

        by_home, by_owner = profile_of(world, HOME, tmp_path), profile_of(world, PARTNER, tmp_path)
        found: list[str] = []

        async def equal() -> bool:
            found[:] = [*await differences(by_home, PARTNER), *await differences(by_owner, HOME)]
            return not found

        await until("both books are equal while one workload runs", equal, 60)
        await delete_all(world, client)
        await until("both books are equal when nothing runs", equal, 60)
        code, text = await settle(by_home, PARTNER, "-o", "json")
        assert code == 0, text
        used: dict[str, Any] = json.loads(text)["settlements"][0]
        assert (used["home_operator"], used["owner_operator"]) == (HOME, PARTNER)
        assert used["home_totals"] == used["owner_totals"]
        assert used["owner_totals"][0]["lines"] >= 3
        assert used["owner_totals"][0]["cpu_milli_ms"] > 0
