"""A home operator that is set back to an older copy of its records, beside an owner that is not."""

from __future__ import annotations

from pathlib import Path

from federated_pair import YARD, federated, until
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.domain.model import WorkloadId
from structlog.testing import capture_logs

GATE = WorkloadId("harbour", "gate-ocr")


def copy_of(store: MemoryStore) -> MemoryStore:
    """The records as they are now, as a back-up has them."""
    copied = MemoryStore()
    copied._records = {table: dict(records) for table, records in store._records.items()}
    copied.book = dict(store.book)
    return copied


async def test_what_was_placed_since_is_stopped_by_its_owner_and_what_is_still_known_stays(tmp_path: Path) -> None:
    async with federated(tmp_path, zones=["sto-1"]) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        older = copy_of(pair.home.store)
        await pair.submit(GATE)
        await pair.runs_in("fjordby/sto-1", GATE)
        ours = pair.owner_plane.world.claims_of("nordfjord")
        known = {placement.claim for placement in pair.workload().placements}
        assert len(ours) == 2
        pair.home.settings["timings"] |= {"stray_after_ms": 400}
        with capture_logs() as logs:
            await pair.restart_home_on(older)
            await until(lambda: set(pair.owner_plane.world.claims_of("nordfjord")) == known)
            # Home says so when it has heard that the owner took note.
            await until(lambda: "unknown_claim_given_back" in [line["event"] for line in logs])
        await pair.runs_in("fjordby/sto-1")
        assert [line["count"] for line in logs if line["event"] == "claims_unknown"] == [1]
        (given_back,) = [line["claim"] for line in logs if line["event"] == "unknown_claim_given_back"]
        assert given_back not in known
        (agent,) = pair.agents
        assert len(agent.urls) == 1
        assert pair.workload(YARD).placements[0].claim in next(iter(agent.urls))


async def test_what_an_owner_has_forgotten_that_is_set_back_is_placed_anew_and_runs_once(tmp_path: Path) -> None:
    async with federated(tmp_path, zones=["sto-1"]) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        older = copy_of(pair.owner.store)
        await pair.submit(GATE)
        await pair.runs_in("fjordby/sto-1", GATE)
        first = pair.workload(GATE).placements[0].claim
        await pair.restart_owner_on(older)
        await pair.connect(pair.agents[0])
        await until(lambda: {p.claim for p in pair.workload(GATE).placements} - {first} != set())
        await pair.runs_in("fjordby/sto-1", GATE)
        claims = {p.claim for name in (YARD, GATE) for p in pair.workload(name).placements}
        assert first not in claims
        await until(lambda: set(pair.owner_plane.world.claims_of("nordfjord")) == claims)
        assert {one.claim for one in pair.owner_plane.owner.desired_instances("sto-1")} == claims
