"""``hansa-agent check`` on a real cloud: what it sees with all rights, and how it says which one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from cloud_settings import READER_ROLE
from hansa_agent.check import Finding, Level, as_lines
from hansa_agent.check_run import findings_of
from hansa_agent.config import LoadedConfig
from hansa_agent.openstack_check import check_cloud
from hansa_agent.openstack_rights import READS
from hansa_agent.ports import Instant
from hansa_agent.system import SystemClock, SystemIds
from openstack_cloud import ROOT
from server_bench import Bench
from test_openstack_wiring import configuration

PAGE = ROOT / "docs" / "agents-openstack.md"


class Late(SystemClock):
    """A machine whose clock is behind."""

    def now(self) -> Instant:
        real = super().now()
        return Instant(real.monotonic_ms, real.wall_ms - 60_000)


@pytest.fixture
def network(bench: Bench) -> Iterator[str]:
    """A network of the agent's project, without a subnet."""
    api = bench.api
    made = api._ask("POST", "network", "/v2.0/networks", {"network": {"name": "edge"}})
    assert made.ok, made.words
    yield str(made.body["network"]["id"])
    assert api._ask("DELETE", "network", f"/v2.0/networks/{made.body['network']['id']}", None).ok


async def told(bench: Bench, clock: SystemClock | None = None, **server: Any) -> dict[str, list[Finding]]:
    """What the check says, by subject."""
    section = {"accelerators": [], "server": {"image": "tiny"} | server}
    found: dict[str, list[Finding]] = {}
    for one in await check_cloud(LoadedConfig(configuration(bench, **section)), clock or SystemClock()):
        found.setdefault(one.subject, []).append(one)
    return found


def levels(found: dict[str, list[Finding]], level: Level) -> set[str]:
    return {subject for subject, several in found.items() if any(one.level is level for one in several)}


async def test_credential_with_two_roles_leaves_nothing_to_complain_of(bench: Bench, network: str) -> None:
    withdraw = bench.credential("member", READER_ROLE)
    try:
        (bench.folder / "clouds.yaml").chmod(0o600)
        found = await told(bench, networks=[network], security_groups=["default"], availability_zone="nova")
    finally:
        withdraw()
        bench.password()
    print(*as_lines(one for several in found.values() for one in several), sep="\n")
    assert levels(found, Level.PROBLEM) == set()
    assert levels(found, Level.WARNING) == {f"network {network}", "security group default"}, "no subnet, no rules"
    assert found["cloud"][0].message == f"signed in as agent in project edge: {READER_ROLE}, member, reader"
    assert found["credential"][0].message == "an application credential that does not expire"
    assert found["rights"][0].message == (
        "may be read: resource providers, inventories, traits, what is held, servers, the project's quota, flavors, "
        "server groups, images"
    )
    assert found["read hosts that are down"][0].level is Level.UNKNOWN
    assert "nvidia/A100, nvidia/H100, nvidia/L40S" in found["flavors"][0].message
    assert found["compute"][0].message.startswith("microversions up to 2.")
    assert levels(found, Level.OK) >= {"placement", "clock", "image", "quota", "availability zone"}


async def test_each_right_that_is_missing_is_named_with_the_rule_that_denies_it(bench: Bench) -> None:
    withdraw = bench.credential("reader", expires_at=f"{datetime.now(UTC) + timedelta(days=5):%Y-%m-%dT%H:%M:%S}")
    try:
        found = await told(bench)
    finally:
        withdraw()
        bench.password()
    assert levels(found, Level.PROBLEM) == {"roles", "read resource providers"}
    (denied,) = found["read resource providers"]
    assert "placement:resource_providers:list denies it" in denied.message and PAGE.name in denied.remedy
    assert "reader may not make servers" in found["roles"][0].message
    assert "expires in 4 days" in found["credential"][0].message and found["credential"][0].level is Level.WARNING


async def test_password_of_an_administrator_and_a_file_that_others_read_are_warned_of(bench: Bench) -> None:
    bench.as_admin = True
    bench.reopen()
    (bench.folder / "clouds.yaml").chmod(0o644)
    found = await told(bench)
    assert {"clouds file", "credential", "roles"} <= levels(found, Level.WARNING)
    assert "hosts that are down" in found["rights"][0].message


async def test_clocks_that_differ_are_told_and_by_how_much(bench: Bench) -> None:
    found = await told(bench, Late())
    assert found["clock"][0].level is Level.WARNING
    assert any(f"{seconds} s ahead of this machine's" in found["clock"][0].message for seconds in (59, 60, 61))


@pytest.mark.parametrize(
    ("server", "subject", "words"),
    [
        ({"image": "huge"}, "image", "no active image 'huge'"),
        ({"flavors": "XL-*"}, "flavors", "5 are seen, 0 have such a name"),
        ({"availability_zone": "az9"}, "availability zone", "there is no az9; there are: nova"),
        ({"security_groups": ["web"]}, "security group web", "none of this name or id"),
        (
            {"networks": ["0c7d5d6e-93a8-4c0d-a9a8-8b1b7f9b2a10"]},
            "network 0c7d5d6e-93a8-4c0d-a9a8-8b1b7f9b2a10",
            "Neutron answers 404",
        ),
    ],
)
async def test_what_the_configuration_names_and_the_cloud_has_not_is_a_problem(
    bench: Bench, server: dict[str, Any], subject: str, words: str
) -> None:
    found = await told(bench, **server)
    assert levels(found, Level.PROBLEM) == {subject}
    assert words in found[subject][0].message


async def test_aggregate_that_placement_does_not_know_is_a_problem(bench: Bench) -> None:
    path = configuration(bench, aggregates=["6f1b0a0e-5f6b-4b62-9f2d-0b1f6f0d3c11"])
    found = [one for one in await check_cloud(LoadedConfig(path), SystemClock()) if one.subject == "aggregates"]
    assert [one.level for one in found] == [Level.PROBLEM] and "has no member" in found[0].message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("password: secret", "password: wrong", "Keystone refuses (401)"), ("/v3", ":1/v3", "Keystone is not reached")],
)
async def test_way_into_the_cloud_that_is_closed_is_the_only_finding(
    bench: Bench, old: str, new: str, words: str
) -> None:
    path, clouds = configuration(bench), bench.folder / "clouds.yaml"
    clouds.chmod(0o600)
    clouds.write_text(clouds.read_text().replace(old, new))
    (only,) = await check_cloud(LoadedConfig(path), SystemClock())
    assert only.level is Level.PROBLEM and words in only.message


async def test_whole_check_looks_at_the_cloud_and_at_programs_where_only_the_inventory_is_the_clouds(
    bench: Bench,
) -> None:
    path = configuration(bench, accelerators=[])
    content = yaml.safe_load(path.read_text()) | {"runtime": "process", "artefacts": []}
    path.write_text(yaml.safe_dump(content))
    subjects = {one.subject for one in await findings_of(path, SystemClock(), SystemIds())}
    assert {"cloud", "rights", "artefacts"} <= subjects and "image" not in subjects


def test_rules_of_placement_are_those_that_the_page_grants_and_the_clouds_of_the_tests_have() -> None:
    rules = {one.rule for one in READS if one.service == "placement"}
    page = PAGE.read_text()
    assert [
        rule for rule in rules if f'"{rule}": "rule:admin_or_service_api or role:hansa-inventory"' not in page
    ] == []
    assert page.count('"placement:') == len(rules), "no more than that is granted"
