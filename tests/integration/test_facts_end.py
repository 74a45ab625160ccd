"""A fact ends while the agent runs: the operator loses it without anybody's doing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent_harness import fact, zone_world


async def test_a_fact_that_ends_while_the_agent_runs_is_taken_back_and_said(tmp_path: Path) -> None:
    ending = fact("HEADQUARTERS_COUNTRY", "NO")
    ending["evidence"]["valid_until"] = (datetime.now(UTC) + timedelta(seconds=6)).isoformat()
    async with zone_world(tmp_path) as world:
        await world.spawn(world.config(facts=[fact("SITE_COUNTRY", "NO"), ending]))
        await world.operator.until(lambda: "facts/HEADQUARTERS_COUNTRY/0" in world.operator.adverts)
        await world.operator.until(lambda: "facts/HEADQUARTERS_COUNTRY/0" not in world.operator.adverts)
        assert "facts/SITE_COUNTRY/0" in world.operator.adverts
        said = [line for line in world.log() if line["event"] == "fact has expired and is advertised no more"]
    assert [(line["kind"], line["level"]) for line in said] == [("HEADQUARTERS_COUNTRY", "error")]
