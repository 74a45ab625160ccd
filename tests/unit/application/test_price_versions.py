"""The prices of every version of an agreement, as owner and home keep them: bills are written long after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hansa_control.adapters.codec_charges import prices_in, prices_out
from hansa_control.adapters.record_codec import decode, encode
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import RefusalError, Table
from hansa_control.application.settings import Settings
from hansa_control.application.usage_ports import UsageCall
from hansa_control.application.world import federation_key
from hansa_control.domain.agreement import Agreement, PriceList, PriceVersion, Stance, Wish
from hansa_control.domain.capabilities import OURS
from hansa_control.domain.federation import propose
from hansa_control.domain.model import Federation
from home_operator import HOME, OWNER, CountedIds, HandClock
from two_operators import two_sides

EUR = PriceList("EUR", (("L40S", 1_200),), 30)
KEY = federation_key(HOME, OWNER)
DIGESTS = [f"sha256:{number:064d}" for number in range(3)]
VERSIONS = tuple(PriceVersion(at + 1, digest, 10 + at, EUR) for at, digest in enumerate(DIGESTS))


class Owner:
    """An operator that agrees with nordavind on what the test says."""

    def __init__(self) -> None:
        self.stance = Stance(Agreement(prices=EUR))
        self.clock = HandClock()

    def stances(self, now_ms: int) -> Mapping[str, Stance]:
        return {HOME: self.stance}

    async def start(self) -> Owner:
        settings = Settings(OWNER, endpoint_ca_pem=b"ca", partners=frozenset({HOME}))
        around = Surroundings(MemoryStore(), self.clock, CountedIds(), {}, agreements=self)
        self.plane = ControlPlane(settings, ((), ()), around)
        await self.plane.start()
        await self.propose()
        return self

    async def propose(self) -> Federation:
        return await self.plane.partners.propose(HOME, self.clock.wall_ms())

    def at(self, now_ms: int, stance: Stance) -> tuple[PriceVersion, ...]:
        """The versions after a change."""
        self.clock.now_ms, self.stance = now_ms, stance
        self.plane.agreements.tick()
        return self.plane.state.federations[KEY].prices


async def test_an_amendment_of_prices_is_kept_beside_what_held_before_with_its_moment() -> None:
    owner = await Owner().start()
    first_ms = owner.clock.wall_ms()
    dearer = replace(EUR, cpu_core_milli=60)
    versions = owner.at(5_000, Stance(Agreement(prices=dearer)))
    assert [(one.version, one.since_ms, one.prices) for one in versions] == [
        (1, first_ms, EUR),
        (2, owner.clock.wall_ms(), dearer),
    ]
    standing = owner.plane.agreements.standing(HOME)
    assert standing is not None and versions[-1].digest == standing.digest != versions[0].digest
    assert owner.at(6_000, owner.stance) is versions
    assert owner.at(7_000, replace(owner.stance, wish=Wish.SUSPENDED)) is versions


async def test_prices_outlive_the_federation_for_what_was_used_before_its_end() -> None:
    owner = await Owner().start()
    versions = owner.at(5_000, replace(owner.stance, wish=Wish.TERMINATED))
    owner.at(6_000, owner.stance)
    owner.stance = Stance(Agreement(reference="anew", prices=EUR))
    owner.clock.now_ms = 9_000
    await owner.propose()
    after = owner.plane.state.federations[KEY].prices
    assert after[: len(versions)] == versions
    assert [one.version for one in after] == [1, 1]
    assert after[-1].digest != after[0].digest


def told_by_owner() -> Federation:
    return replace(propose(HOME, OWNER, "c1", 5_000), capabilities=OURS)


async def test_a_home_operator_keeps_the_prices_it_was_told_when_it_is_federated_anew() -> None:
    settings = Settings(HOME, partners=frozenset({OWNER}))
    plane = ControlPlane(settings, ((), ()), Surroundings(MemoryStore(), HandClock(), CountedIds(), {}))
    await plane.start()
    told = told_by_owner()
    plane.state.put(Table.FEDERATION, KEY, replace(told, prices=VERSIONS))
    await plane.partners.federated(replace(told, context_id="c2"))
    held = plane.state.federations[KEY]
    assert (held.context_id, held.prices) == ("c2", VERSIONS)


async def test_prices_are_taken_over_with_lines_and_only_those_that_are_not_known() -> None:
    home, owner = await two_sides()
    for side, known in ((home, VERSIONS[:1]), (owner, VERSIONS)):
        federation = replace(told_by_owner(), prices=known)
        side.state.put(Table.FEDERATION, KEY, federation)
        await side.state.commit()
    await home.settlement.take_over(OWNER)
    assert home.settlement.prices(OWNER, HOME) == VERSIONS
    page = await home.way.usage(UsageCall(OWNER, 0, prices_after_ms=VERSIONS[1].since_ms))
    assert page.prices == VERSIONS[2:]
    assert (await home.way.usage(UsageCall(OWNER, 0))).prices == ()
    await home.start()
    assert home.settlement.prices(OWNER, HOME) == VERSIONS, "they were durable before the lines were"


def test_prices_come_in_as_they_went_out_on_the_wire_and_on_disk() -> None:
    unpriced = PriceVersion(4, DIGESTS[0], 20)
    bounded = PriceVersion(5, DIGESTS[1], 30, replace(EUR, valid_from_ms=7, valid_until_ms=9))
    versions = (*VERSIONS, unpriced, bounded)
    assert prices_in(prices_out(versions), "prices") == versions
    federation = replace(told_by_owner(), prices=versions)
    assert decode(Table.FEDERATION, encode(Table.FEDERATION, federation)) == federation


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("agreement_version", 0, "agreement_version"),
        ("agreement_digest", "sha256:x", "agreement_digest"),
        ("in_force_since_ms", 10, "in_force_since_ms"),
        ("currency", "euro", "currency"),
        ("cpu_core_milli_per_hour", -1, "cpu_core_milli_per_hour"),
        ("valid_until_ms", -1, "valid_until_ms"),
    ],
)
def test_prices_that_cannot_be_are_refused_with_their_field(field: str, value: object, told: str) -> None:
    wires = prices_out(VERSIONS)
    setattr(wires[1], field, value)
    with pytest.raises(RefusalError) as refused:
        prices_in(wires, "prices")
    assert refused.value.field == f"prices[1].{told}"


def test_two_prices_of_one_model_and_too_many_versions_are_refused() -> None:
    twice = prices_out(VERSIONS[:1])
    twice[0].accelerators.add(model="L40S", milli_per_hour=1)
    with pytest.raises(RefusalError):
        prices_in(twice, "prices")
    with pytest.raises(RefusalError):
        prices_in(prices_out(VERSIONS[:1]) * 257, "prices")
