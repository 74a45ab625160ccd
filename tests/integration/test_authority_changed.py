"""An operator changes its authority by the runbook, step by step, and nothing that runs notices."""

from __future__ import annotations

from pathlib import Path

from control_harness import authority_of
from federated_pair import YARD, Pair, federated, until
from hansa_control.adapters.authority import KeyPair
from hansa_control.domain.model import WorkloadState


def bundle(first: KeyPair, *others: KeyPair) -> KeyPair:
    """Issues with the first and trusts all."""
    return KeyPair(b"".join(each.cert_pem for each in (first, *others)), first.key_pem)


async def believed_by_home(pair: Pair, authority: KeyPair) -> None:
    """Home's file of the owner's authority is replaced, and home is started again."""
    pair.home.partners["fjordby"] = (pair.home.partners["fjordby"][0], authority.cert_pem)
    await pair.home_stack.aclose()
    await pair.restart_home_on(pair.home.store.reopen())


async def issued_with(pair: Pair, authority: KeyPair) -> None:
    """The owner's authority file and certificate are replaced, it is started again, and its agent gets a new one."""
    pair.owner.authority = authority
    await pair.restart_owner()
    await pair.connect(pair.agents[0])


async def still_serves(pair: Pair, step: str) -> None:
    """What ran still runs, and something new is placed."""
    urls = dict(pair.agents[0].urls)
    fresh = YARD._replace(workload=f"after-{step}")
    await pair.submit(fresh)
    await pair.runs_in("fjordby/sto-1", fresh)
    await pair.runs_in("fjordby/sto-1")
    assert urls.items() <= pair.agents[0].urls.items()


async def test_an_authority_is_changed_in_three_steps_and_no_instance_stops(tmp_path: Path) -> None:
    async with federated(tmp_path, zones=["*"]) as pair:
        old, new = pair.owner.authority, authority_of("fjordby")
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        first = dict(pair.agents[0].urls)
        # 1. Everybody trusts both, nobody has a certificate of the new one.
        await believed_by_home(pair, bundle(old, new))
        await issued_with(pair, bundle(old, new))
        await still_serves(pair, "both-are-trusted")
        assert pair.plane.queries.endpoint(YARD).ca_pem == old.cert_pem + new.cert_pem
        # 2. Everybody gets a certificate of the new one.
        await issued_with(pair, bundle(new, old))
        await still_serves(pair, "certificates-are-new")
        # 3. Nobody trusts the old one any more.
        await issued_with(pair, new)
        await believed_by_home(pair, new)
        await still_serves(pair, "the-old-one-is-gone")
        assert first.items() <= pair.agents[0].urls.items()
        assert pair.plane.queries.endpoint(YARD).ca_pem == new.cert_pem


async def test_who_trusts_the_new_authority_only_is_not_reached_under_the_old_one(tmp_path: Path) -> None:
    async with federated(tmp_path, zones=["*"]) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        await believed_by_home(pair, authority_of("fjordby"))
        await until(lambda: "CERTIFICATE_VERIFY_FAILED" in pair.link._last_failure)
        assert pair.workload().state is WorkloadState.RUNNING
