"""Three control planes over mutual TLS: a workload runs in a zone of an operator that its own has no agreement with."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from federated_pair import until
from hansa_control.adapters.authority import Role
from hansa_control.adapters.codec_grant import proofs_out
from hansa_control.adapters.verify_grant_command import app
from hansa_control.application.books import Settled
from hansa_control.application.ports import RefusalError
from hansa_control.domain.grants import claim_behind
from hansa_control.domain.model import PlacementState, Reason, ZoneId
from hansa_control.domain.usage import Period
from three_planes import ALIAS, BETWEEN, HOME, OWNER, YARD, Three, three_planes
from typer.testing import CliRunner

from hansa.v1 import residency_pb2

EVER = Period(0, sys.maxsize)


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[Three]:
    async with three_planes(tmp_path) as planes:
        yield planes


async def deleted(three: Three) -> None:
    await three.plane(HOME).workloads.delete("spiffe://a/b", "d1", YARD, "", "x")
    await until(lambda: three.claims() == ([], []) and not three.agents[0].urls)


async def settled(three: Three, home: str, owner: str) -> Settled:
    """What both books say of what one used of the other."""
    return (await three.plane(home).books.settle(owner, EVER))[0]


async def test_it_is_placed_answers_and_is_given_back(three: Three) -> None:
    await three.submit()
    await three.runs_in(ALIAS)
    placement = three.workload.placements[0]
    assert placement.state is PlacementState.READY
    assert set(placement.endpoint_urls) == set(three.agents[0].urls.values())
    assert placement.endpoint_ca_pem == three.sides[OWNER].authority.cert_pem
    assert three.claims() == ([placement.claim], [claim_behind(HOME, placement.claim)])
    await deleted(three)
    assert dict(three.plane(BETWEEN).state.relays) == {}


async def test_every_pair_of_books_agrees_on_what_was_used(three: Three) -> None:
    await three.submit()
    await three.runs_in(ALIAS)
    await deleted(three)
    for home, owner in ((HOME, BETWEEN), (BETWEEN, OWNER)):
        found = await settled(three, home, owner)
        assert (found.differences, found.line_count) == ((), 1)


async def test_the_owner_and_the_book_between_do_not_learn_the_tenants_name(three: Three) -> None:
    await three.submit()
    await three.runs_in(ALIAS)
    behind = next(iter(three.plane(OWNER).world.claims_of(BETWEEN).values()))
    assert behind.manifest is not None
    assert behind.manifest.workload == f"tenants/via--{HOME}/workloads/{behind.name}"


async def test_the_operator_between_restarts_while_it_runs_and_it_is_kept(three: Three) -> None:
    await three.submit()
    await three.runs_in(ALIAS)
    claims, urls = three.claims(), dict(three.agents[0].urls)
    await three.stop(BETWEEN)
    await three.start(BETWEEN)
    await three.sees(ALIAS)
    await until(lambda: three.plane(BETWEEN).world.claims_of(HOME).keys() == set(claims[0]))
    await three.runs_in(ALIAS)
    assert (three.claims(), three.agents[0].urls) == (claims, urls)
    await deleted(three)


async def test_it_is_given_back_behind_after_the_operator_between_was_away(three: Three) -> None:
    await three.submit()
    await three.runs_in(ALIAS)
    await three.stop(BETWEEN)
    await three.plane(HOME).workloads.delete("spiffe://a/b", "d1", YARD, "", "x")
    await three.start(BETWEEN)
    await until(lambda: three.claims() == ([], []) and not three.agents[0].urls)


async def test_a_zone_that_its_owner_has_lost_is_left_for_another(three: Three) -> None:
    await three.submit()
    await three.runs_in(ALIAS)
    await three.connect(HOME, "oslo-1", "oslo", "NO")
    three.plane(OWNER).owner.on_zone_lost("berlin-1")
    await three.runs_in(f"{HOME}/oslo-1")


async def test_a_permission_that_is_taken_back_moves_it_away_with_the_new_place_first(three: Three) -> None:
    await three.submit(residency=in_europe())
    await three.runs_in(ALIAS)
    await three.connect(HOME, "oslo-1", "oslo", "NO")
    three.agree(OWNER, skargard={})
    await until(lambda: ZoneId(BETWEEN, "waldnetz--berlin-1") not in three.plane(HOME).world.snapshot().index)
    await three.runs_in(f"{HOME}/oslo-1")
    await until(lambda: three.claims() == ([], []))


async def test_what_runs_where_no_offer_is_left_is_still_vouched_for_by_the_owner(three: Three) -> None:
    await three.submit()
    await three.runs_in(ALIAS)
    three.agree(OWNER, skargard={})
    await until(lambda: ZoneId(BETWEEN, "waldnetz--berlin-1") not in three.plane(HOME).world.snapshot().index)
    assert [str(one.zone) for one in three.workload.placements] == [ALIAS]
    assert three.plane(HOME).queries.endpoint(YARD).ca_pem == three.sides[OWNER].authority.cert_pem


async def test_why_not_names_the_operator_of_the_chain_that_breaks_the_law(three: Three) -> None:
    await three.submit(residency=controlled_from("DE"))
    key = str(YARD)
    await until(lambda: key in three.plane(HOME).state.recent_decisions)
    told = {
        one.result.measured
        for one in three.plane(HOME).state.recent_decisions[key].decision.rejections
        if one.reason is Reason.LEGAL_CONTROL_DENIED
    }
    assert told == {
        f"{BETWEEN}, which passes the zone on: headquarters SE",
        f"{BETWEEN}, which passes the zone on: ultimate parent SE",
    }
    assert three.claims() == ([], [])


async def test_an_auditor_verifies_both_grants_with_the_authorities_of_both(three: Three, tmp_path: Path) -> None:
    await three.submit()
    await three.runs_in(ALIAS)
    (proof,) = proofs_out(three.plane(HOME).queries.grants(YARD))
    document = json.loads(proof.document)
    both = [f"--authority={name}={tmp_path / f'{name}.pem'}" for name in (BETWEEN, OWNER)]
    assert audited(tmp_path, document, both) == (0, [])
    code, wrong = audited(tmp_path, document, both[:1])
    assert code == 1 and wrong[0].startswith(f"grant of {OWNER} to {BETWEEN}: the signing certificate is not believed")
    document["underlying"][0]["terms"]["zone"] = "berlin-2"
    code, wrong = audited(tmp_path, document, both)
    assert (code, wrong[0]) == (1, f"grant of {OWNER} to {BETWEEN}: zone is berlin-2, not berlin-1")
    document["underlying"] = []
    assert audited(tmp_path, document, both) == (1, ["it rests on 0 grants, and the zone goes through 1 hand"])
    document["origin"] = None
    digest = document["seal"]["terms"]["underlying_digest"]
    assert audited(tmp_path, document, both) == (1, [f"underlying_digest is {digest}, not empty"])


def audited(folder: Path, document: dict[str, Any], authorities: list[str]) -> tuple[int, list[str]]:
    """The exit code of verify-grant, and what it finds wrong."""
    file = folder / "grants.json"
    file.write_text(json.dumps([document]))
    result = CliRunner().invoke(app, [str(file), *authorities, "-o", "json"])
    return result.exit_code, json.loads(result.output)["grants"][0]["wrong"]


async def test_an_operator_that_is_merely_known_may_not_call(three: Three) -> None:
    callers = three.sides[HOME].running._credentials.partners
    with pytest.raises(RefusalError, match="was not issued by the authority of its name"):
        callers.identity_of(three.sides[OWNER].certificate(Role.CONTROL_PLANE).cert_pem)


def in_europe() -> residency_pb2.ResidencyPolicy:
    return residency_pb2.ResidencyPolicy(site=residency_pb2.SiteRule(countries_allowed=["NO", "SE", "DE"]))


def controlled_from(country: str) -> residency_pb2.ResidencyPolicy:
    return residency_pb2.ResidencyPolicy(legal=residency_pb2.LegalRule(countries_allowed=[country]))
