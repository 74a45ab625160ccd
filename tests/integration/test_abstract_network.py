"""Placing at a partner that shows gateways, zones and virtual links alone: real servers, real mutual TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from control_harness import spec
from federated_pair import YARD, Pair, federated, until
from hansa_control.adapters.authority import Role, control_plane_host
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.domain.agreement import AgreementState
from hansa_control.domain.model import Decision, NetworkLink, Reason, WorkloadId, WorkloadState

from hansa.cli.documents import Screen
from hansa.cli.view_decision import latency_table
from hansa.cli.view_zone import network_document
from hansa.client import Client
from hansa.profile import Profile
from hansa.v1 import residency_pb2, workload_pb2

OTHER = WorkloadId("harbour", "gate-ocr")
PORT = [workload_pb2.AccessDemand(access_point="oslo", demand_millirps=1_000)]
INSIDE = {"turku", "sundsvall"}


def node(name: str, country: str, latitude: float, longitude: float) -> dict[str, Any]:
    return {"name": name, "country": country, "lat": latitude, "lon": longitude, "access_point": True}


def link(a: str, b: str, length_km: float) -> dict[str, Any]:
    kind = {"carrier": "fjordby", "kind": "terrestrial", "countries": []}
    return {"name": f"{a}--{b}", "a": a, "b": b, "length_km": length_km, **kind}


# The zone stands in lulea. The way there through Finland is the shorter one.
OWNERS_MAP = {
    "nodes": [
        node("lulea", "SE", 65.58, 22.15),
        node("stockholm", "SE", 59.33, 18.07),
        node("sundsvall", "SE", 62.39, 17.31),
        node("turku", "FI", 60.45, 22.27),
    ],
    "links": [
        link("lulea", "sundsvall", 800.0),
        link("lulea", "turku", 600.0),
        link("stockholm", "sundsvall", 600.0),
        link("stockholm", "turku", 300.0),
    ],
}


@asynccontextmanager
async def abstract_pair(folder: Path, **agreed: Any) -> AsyncIterator[Pair]:
    zone, agreed = ("lul-1", "lulea", "SE"), agreed or {"network": "abstract", "gateways": ["stockholm"]}
    async with federated(folder, owners_map=OWNERS_MAP, zone=zone, is_mutual=True, **agreed) as pair:
        await until(lambda: "oslo" in {node.name for node in pair.owner_plane.queries.network().nodes})
        yield pair


def wanted(*denied: str) -> Any:
    policy = residency_pb2.ResidencyPolicy(transit=residency_pb2.TransitRule(countries_denied=denied))
    return spec_in(spec(access=PORT, residency=policy if denied else None), "spec")


def profile_of_home(pair: Pair) -> Profile:
    """Of home's API, for the app team harbour."""
    certificate = pair.home.certificate(Role.TENANT, "harbour")
    files = {"ca": pair.home.authority.cert_pem, "me": certificate.cert_pem, "key": certificate.key_pem}
    for file, pem in files.items():
        (pair.home.folder / file).write_bytes(pem)
    paths = [pair.home.folder / file for file in files]
    return Profile(pair.home.address("api"), "harbour", *paths, control_plane_host("nordfjord.hansa.example"))


async def decided(pair: Pair, *denied: str) -> Decision:
    decision, _ = await pair.plane.workloads.plan(OTHER, wanted(*denied))
    return decision


def virtual(pair: Pair) -> list[NetworkLink]:
    links = pair.plane.queries.network().links
    return [link for link in links if (link.node_a, link.node_b) == ("lulea", "stockholm")]


async def test_a_partner_sees_no_inside_and_a_link_for_each_way_that_the_law_may_ask_for(tmp_path: Path) -> None:
    async with abstract_pair(tmp_path) as pair:
        seen = pair.plane.queries.network()
        assert {node.name for node in seen.nodes} == {"oslo", "bergen", "stockholm", "lulea"}
        fast, slow = sorted(virtual(pair), key=lambda link: link.rtt.p95_us)
        assert (fast.countries, fast.length_m) == (("FI",), 900_000)
        assert (slow.countries, slow.length_m) == (("SE",), 1_400_000)
        assert not [
            name for name in pair.owner_plane.partners.offers("nordfjord") if any(one in name for one in INSIDE)
        ]


async def test_a_workload_runs_over_a_stitched_path_and_its_countries_are_told(tmp_path: Path) -> None:
    async with abstract_pair(tmp_path) as pair:
        await pair.plane.workloads.submit("spiffe://a/b", "r1", YARD, wanted(), "x")
        await pair.runs_in("fjordby/lul-1")
        (latency,) = pair.workload().placements[0].latencies
        assert latency.path == ("oslo", "stockholm", "lulea")
        assert latency.countries == ("FI", "NO", "SE")


async def test_where_the_fast_way_is_denied_the_slow_one_is_taken_and_the_owner_agrees(tmp_path: Path) -> None:
    async with abstract_pair(tmp_path) as pair:
        await pair.plane.workloads.submit("spiffe://a/b", "r1", YARD, wanted("FI"), "x")
        await pair.runs_in("fjordby/lul-1")
        (latency,) = pair.workload().placements[0].latencies
        assert latency.countries == ("NO", "SE")
        (freely,) = (await decided(pair)).choices[0].latencies
        assert latency.rtt_us > freely.rtt_us


async def test_where_every_way_is_denied_the_refusal_names_the_virtual_link(tmp_path: Path) -> None:
    without_the_slow_way = {**OWNERS_MAP, "links": OWNERS_MAP["links"][:2] + OWNERS_MAP["links"][3:]}
    zone = ("lul-1", "lulea", "SE")
    shown: dict[str, Any] = {"network": "abstract", "gateways": ["stockholm"]}
    async with federated(tmp_path, owners_map=without_the_slow_way, zone=zone, **shown) as pair:
        (only,) = virtual(pair)
        decision = await decided(pair, "FI")
        assert not decision.choices
        (rejection,) = (one for one in decision.rejections if one.reason is Reason.TRANSIT_DENIED)
        assert rejection.result.measured == "crosses FI from oslo"
        assert f"link {only.name}, carrier fjordby" in rejection.result.evidence
        await pair.plane.workloads.submit("spiffe://a/b", "r1", YARD, wanted("FI"), "x")
        await until(lambda: pair.workload().state is WorkloadState.UNPLACEABLE)


async def test_a_workload_stays_where_it_is_when_less_of_the_network_is_shown(tmp_path: Path) -> None:
    async with abstract_pair(tmp_path, network="full") as pair:
        await pair.plane.workloads.submit("spiffe://a/b", "r1", YARD, wanted("FI"), "x")
        await pair.runs_in("fjordby/lul-1")
        (claim,) = pair.owner_plane.state.claims
        pair.agree(network="abstract", gateways=["stockholm"])
        await until(lambda: len(virtual(pair)) == 2)
        await pair.is_told(AgreementState.IN_FORCE, version=2)
        (latency,) = (await decided(pair, "FI")).choices[0].latencies
        assert latency.path == ("oslo", "stockholm", "lulea")
        assert list(pair.owner_plane.state.claims) == [claim]
        assert pair.workload().state is WorkloadState.RUNNING
        assert not any(one.type == "Lawful" and one.status == "FALSE" for one in pair.workload().conditions)


async def test_the_command_line_shows_every_link_of_a_stitched_path_with_its_countries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with abstract_pair(tmp_path) as pair:
        async with Client(profile_of_home(pair)) as client:
            network, planned = await client.network(), await client.plan("gate-ocr", spec(access=PORT))
        Screen(width_columns=0).show(network_document(network, 0, probes=False, wide=False))
        shown = capsys.readouterr().out
        by_name = {line.split()[0]: line.split() for line in shown.splitlines() if "--" in line}
        fast, slow = sorted(virtual(pair), key=lambda link: link.rtt.p95_us)
        assert "FI,SE" in by_name[fast.name]
        assert "SE" in by_name[slow.name]
        assert "NO,SE" in by_name["oslo--stockholm"]
        (path,) = planned.decision.choices[0].latencies
        Screen(width_columns=0).show([latency_table([path], spec().latency)])
        why = capsys.readouterr().out
        assert "FI,NO,SE" in why
        assert "oslo > stockholm > lulea" in why
