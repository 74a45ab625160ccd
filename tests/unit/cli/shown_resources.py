"""A workload, zones and a network as an operator would tell of them, to be shown to people."""

from __future__ import annotations

from typing import Any

import pytest

from hansa.cli.documents import Document, Screen
from hansa.v1 import common_pb2, network_pb2, residency_pb2, workload_pb2, workload_service_pb2, zone_pb2

NOW_MS = 1_790_000_100_000
DIGEST = "sha256:" + "5e" * 32


def shown(capsys: pytest.CaptureFixture[str], document: Document, columns: int = 0) -> list[str]:
    """The lines of a document, on a terminal of so many columns or, at 0, without one."""
    Screen(width_columns=columns).show(document)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def spec() -> workload_pb2.WorkloadSpec:
    return workload_pb2.WorkloadSpec(
        artefact=common_pb2.ArtefactRef(name="ocr-server", digest=DIGEST),
        accelerator=common_pb2.AcceleratorNeed(any_of=["L40S", "H100"], count=2, memory_mib_min=40_960),
        cpu_millis=1_500,
        memory_mib=1_536,
        replicas=2,
        access=[workload_pb2.AccessDemand(access_point="oslo", demand_millirps=2_500)],
        latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=24_500),
        residency=residency_pb2.ResidencyPolicy(
            site=residency_pb2.SiteRule(countries_allowed=["NO", "SE"]),
            legal=residency_pb2.LegalRule(countries_allowed=["NO"], laws_denied=["US-CLOUD-ACT"]),
            transit=residency_pb2.TransitRule(countries_allowed=["NO"], carriers_denied=["blueridge"]),
            on_change=residency_pb2.ON_CHANGE_KEEP_AND_ALERT,
        ),
    )


def placement(zone: str, state: str, **changes: Any) -> workload_pb2.Placement:
    plain: dict[str, Any] = {"claim": f"c-{zone.rpartition('/')[2]}", "replicas": 2, "message": "2 of 2 replicas ready"}
    return workload_pb2.Placement(
        zone=zone, state=workload_pb2.PlacementState.Value(f"PLACEMENT_STATE_{state}"), **{**plain, **changes}
    )


def workload(state: str = "RUNNING", *placements: workload_pb2.Placement) -> workload_pb2.Workload:
    return workload_pb2.Workload(
        name="tenants/havneby/workloads/yard-ocr",
        uid="7f3a9e12",
        spec=spec(),
        generation=3,
        etag="12",
        state=workload_pb2.WorkloadState.Value(f"WORKLOAD_STATE_{state}"),
        placements=placements,
        created_at_ms=NOW_MS - 7_200_000,
    )


def condition(kind: str, status: str, message: str = "") -> common_pb2.Condition:
    value = common_pb2.ConditionStatus.Value(f"CONDITION_STATUS_{status}")
    return common_pb2.Condition(
        type=kind, status=value, reason="Because", message=message, changed_at_ms=NOW_MS - 5_000
    )


def event(sequence: int, reason: str, message: str = "", *, warning: bool = False) -> common_pb2.Event:
    level = common_pb2.EVENT_LEVEL_WARNING if warning else common_pb2.EVENT_LEVEL_NORMAL
    return common_pb2.Event(sequence=sequence, at_ms=NOW_MS, reason=reason, message=message, level=level)


def latency(
    path: list[str], rtt_us: int = 14_800, bases: tuple[str, ...] = ("modelled",)
) -> workload_pb2.AccessLatency:
    return workload_pb2.AccessLatency(
        access_point=path[0], rtt_us=rtt_us, path=path, countries=["NO", "SE"], bases=bases
    )


def zone(name: str = "solvik/sto-1", state: str = "AVAILABLE", **changes: Any) -> zone_pb2.Zone:
    operator, _, short = name.partition("/")
    evidence = common_pb2.Evidence(
        kind=common_pb2.EVIDENCE_KIND_REGISTER, issuer="Bolagsverket", valid_until_ms=1_821_500_000_000
    )
    claims = changes.pop("claims", {"SITE_COUNTRY": "SE", "HEADQUARTERS_COUNTRY": "SE", "EXTRATERRITORIAL_LAW": "none"})
    facts = [
        common_pb2.Fact(kind=common_pb2.FactKind.Value(f"FACT_KIND_{kind}"), value=value, evidence=evidence)
        for kind, value in claims.items()
    ]
    pools = [
        common_pb2.AcceleratorPool(vendor="nvidia", model="L40S", memory_mib=46_068, count=4),
        common_pb2.AcceleratorPool(vendor="nvidia", model="H100", memory_mib=9_856, count=7, mig_profile="1g.10gb"),
    ]
    inventory = zone_pb2.Inventory(
        node="stockholm",
        title="Stockholm",
        capacity=common_pb2.Capacity(cpu_millis=16_000, memory_mib=65_536),
        pools=changes.pop("pools", pools),
        artefacts=[common_pb2.ArtefactRef(name="ocr-server", digest=DIGEST)],
        price_millieur_per_hour=1_450,
        source="file",
        cordoned=changes.pop("cordoned", False),
    )
    free = [
        common_pb2.PoolAmount(pool="nvidia/L40S", count=3),
        common_pb2.PoolAmount(pool="nvidia/H100/mig-1g.10gb", count=7),
    ]
    plain: dict[str, Any] = {"generation": 17, "heard_at_ms": NOW_MS - 1_000}
    return zone_pb2.Zone(
        name=f"operators/{operator}/zones/{short}",
        inventory=inventory,
        free=common_pb2.Capacity(cpu_millis=15_500, memory_mib=64_000, accelerators=free),
        facts=facts,
        state=zone_pb2.ZoneState.Value(f"ZONE_STATE_{state}"),
        **{**plain, **changes},
    )


def rtt(p50_us: int, *, sample_count: int = 0) -> network_pb2.RoundTrip:
    basis = network_pb2.LATENCY_BASIS_MEASURED if sample_count else network_pb2.LATENCY_BASIS_MODELLED
    return network_pb2.RoundTrip(
        p50_us=p50_us,
        p95_us=p50_us * 13 // 10,
        p99_us=p50_us * 14 // 10,
        basis=basis,
        sample_count=sample_count,
        observed_at_ms=NOW_MS - 4_000 if sample_count else 0,
    )


def network() -> workload_service_pb2.GetNetworkResponse:
    def link(a: str, b: str, **changes: Any) -> network_pb2.NetworkLink:
        plain: dict[str, Any] = {"length_m": 295_400, "countries_known": True, "carrier": "nordavind"}
        kind = network_pb2.LINK_KIND_TERRESTRIAL
        return network_pb2.NetworkLink(
            **{"name": f"{a}--{b}", "node_a": a, "node_b": b, "rtt": rtt(9_800), "kind": kind, **plain, **changes}
        )

    def pair(target: str, **changes: Any) -> workload_service_pb2.ProbeComparison:
        measured = network_pb2.ProbeResult(
            source_zone="nordavind/oslo-1",
            target_zone=target,
            rtt=rtt(412, sample_count=240),
            jitter_us=38,
            loss_permille=4,
        )
        return workload_service_pb2.ProbeComparison(measured=measured, **changes)

    return workload_service_pb2.GetNetworkResponse(
        nodes=[
            network_pb2.NetworkNode(name="goteborg", title="Goteborg", country="SE", access_point=True),
            network_pb2.NetworkNode(name="oslo", title="Oslo", country="NO", access_point=True, latitude_deg=59.91),
            network_pb2.NetworkNode(name="skagerrak", at_sea=True),
            network_pb2.NetworkNode(name="somewhere"),
        ],
        links=[
            link("goteborg", "oslo", countries=["DK"]),
            link("oslo", "skagerrak", kind=network_pb2.LINK_KIND_SEA_CABLE, countries_known=False, length_m=0),
            link("oslo", "somewhere", rtt=rtt(5_100, sample_count=40), carrier=""),
        ],
        probes=[pair("solvik/sto-1", modelled=rtt(12_600)), pair("elbnetz/ham-1")],
        snapshot_generation=8_812,
    )
