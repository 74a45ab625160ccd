"""What usage costs between two real control planes, as their operators read it: prices that change, one bill."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from control_harness import Operator
from federated_pair import Pair, federated, until
from hansa_control.adapters.authority import Role, control_plane_host
from hansa_control.application.ports import Table
from hansa_control.application.world import federation_key
from hansa_control.domain.agreement import AgreementState, PriceVersion

MAIN = "import sys; from hansa.cli.main import main; main(sys.argv[1:])"
FIRST = {"currency": "EUR", "cpu_core_hour": 3600}
DEARER = {"currency": "EUR", "cpu_core_hour": 7200}


async def hansa(operator: Operator, *arguments: str) -> tuple[int, str]:
    """Runs a command with the certificate of the operator's control plane."""
    folder = operator.folder / "cli"
    if not folder.exists():
        folder.mkdir()
        certificate = operator.certificate(Role.CONTROL_PLANE)
        files = {"ca": operator.authority.cert_pem, "certificate": certificate.cert_pem, "key": certificate.key_pem}
        for file, pem in files.items():
            (folder / file).write_bytes(pem)
        host = control_plane_host(f"{operator.name}.hansa.example")
        profile = {"endpoint": operator.address("api"), "server_name": host} | {name: name for name in files}
        (folder / "profile.yaml").write_text(yaml.safe_dump(profile))
    command = [sys.executable, "-c", MAIN, "--profile", str(folder / "profile.yaml"), *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    return process.returncode or 0, (out + err).decode()


def prices(pair: Pair, *, at_home: bool) -> list[PriceVersion]:
    plane = pair.plane if at_home else pair.owner_plane
    return list(plane.state.federations[federation_key("nordfjord", "fjordby")].prices)


async def bill(operator: Operator, partner: str) -> tuple[int, dict[str, Any]]:
    code, out = await hansa(operator, "settle", "--partner", partner, "-o", "json")
    used = [one for one in json.loads(out)["settlements"] if one["owner_operator"] == "fjordby"]
    return code, used[0]


async def test_use_that_spans_an_amendment_is_charged_at_both_prices_and_both_sides_say_the_same(
    tmp_path: Path,
) -> None:
    async with federated(tmp_path, is_mutual=True, prices=FIRST) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        pair.agree(prices=DEARER)
        await pair.is_told(AgreementState.IN_FORCE, version=2)
        await pair.plane.settlement.take_over("fjordby")
        assert prices(pair, at_home=True) == prices(pair, at_home=False)
        amended_ms = prices(pair, at_home=False)[-1].since_ms
        await until(lambda: time.time_ns() // 1_000_000 > amended_ms + 50)

        for operator, partner in ((pair.home, "fjordby"), (pair.owner, "nordfjord")):
            code, used = await bill(operator, partner)
            assert code == 0, used
            assert used["home_charges"] == used["owner_charges"]
            assert used["home_amounts"] == used["owner_amounts"]
            first, second = used["home_charges"]
            assert [one["agreement_version"] for one in (first, second)] == [1, 2]
            assert [int(one["price_milli_per_hour"]) for one in (first, second)] == [3_600_000, 7_200_000]
            assert int(second["in_force_since_ms"]) == amended_ms
            assert first["agreement_digest"] != second["agreement_digest"]
            # A core at 3,600 EUR an hour costs one thousandth a millisecond: of 1,000 millicores that is used / 1,000.
            assert int(first["amount_milli"]) == int(first["used"]) // 1_000
            assert int(second["amount_milli"]) == 2 * (int(second["used"]) // 1_000)
            (total,) = used["owner_amounts"]
            assert (total["currency"], int(total["amount_milli"])) == (
                "EUR",
                int(first["amount_milli"]) + int(second["amount_milli"]),
            )
        code, table = await hansa(pair.home, "settle", "--partner", "fjordby")
        assert code == 0
        assert "7,200.000 EUR" in table and "no difference" in table and "total EUR" in table


async def test_without_prices_use_is_unpriced_and_no_amount_is_made_up(tmp_path: Path) -> None:
    async with federated(tmp_path, is_mutual=True) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        code, used = await bill(pair.home, "fjordby")
        assert code == 0
        (charge,) = used["home_charges"]
        assert charge["unpriced"] is True
        assert "amount_milli" not in charge
        assert not used["home_amounts"]
        assert "unpriced" in (await hansa(pair.home, "settle"))[1]


async def test_a_price_that_one_side_has_otherwise_is_a_difference(tmp_path: Path) -> None:
    async with federated(tmp_path, is_mutual=True, prices=FIRST) as pair:
        await pair.submit()
        await pair.runs_in("fjordby/sto-1")
        await pair.plane.settlement.take_over("fjordby")
        key = federation_key("nordfjord", "fjordby")
        state = pair.owner_plane.state
        held = state.federations[key]
        (version,) = held.prices
        assert version.prices is not None
        dearer = replace(version, prices=replace(version.prices, cpu_core_milli=9_999_000))
        state.put(Table.FEDERATION, key, replace(held, prices=(dearer,)))
        await state.commit()
        code, table = await hansa(pair.home, "settle", "--partner", "fjordby")
        assert code == 1
        assert "the amounts differ" in table
