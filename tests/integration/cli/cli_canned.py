"""Realistic answers of an operator: nine zones of four operators, one workload, one decision with rejections."""

from __future__ import annotations

from hansa.v1 import (
    common_pb2,
    network_pb2,
    reason_pb2,
    residency_pb2,
    workload_pb2,
    workload_service_pb2,
    zone_pb2,
)

TENANT = "havneby"
NAME = "tenants/havneby/workloads/yard-ocr"
DIGEST = "sha256:" + "5e" * 32
T0_MS = 1_790_000_000_000
CA_PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

YARD_OCR_YAML = f"""\
kind: Workload
name: yard-ocr
artefact: {{name: ocr-server, digest: {DIGEST}}}
accelerators: {{any_of: [L40S, H100], count: 1, memory_gib_min: 40}}
resources: {{cpu: 500m, memory: 1GiB}}
replicas: 1
users:
  - {{access_point: oslo, requests_per_s: 5}}
  - {{access_point: goteborg, requests_per_s: 3}}
latency: {{percentile: 95, rtt_ms_max: 24}}
residency:
  data: [NO, SE]
  control: [NO, SE]
  transit: [NO, SE]
  deny_laws: [US-CLOUD-ACT]
  on_change: drain
"""


def spec() -> workload_pb2.WorkloadSpec:
    return workload_pb2.WorkloadSpec(
        artefact=common_pb2.ArtefactRef(name="ocr-server", digest=DIGEST),
        accelerator=common_pb2.AcceleratorNeed(any_of=["L40S", "H100"], count=1, memory_mib_min=40960),
        cpu_millis=500,
        memory_mib=1024,
        replicas=1,
        access=[
            workload_pb2.AccessDemand(access_point="oslo", demand_millirps=5000),
            workload_pb2.AccessDemand(access_point="goteborg", demand_millirps=3000),
        ],
        latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=24_000),
        residency=residency_pb2.ResidencyPolicy(
            site=residency_pb2.SiteRule(countries_allowed=["NO", "SE"]),
            legal=residency_pb2.LegalRule(countries_allowed=["NO", "SE"], laws_denied=["US-CLOUD-ACT"]),
            transit=residency_pb2.TransitRule(countries_allowed=["NO", "SE"]),
            on_change=residency_pb2.ON_CHANGE_DRAIN,
        ),
    )


def _latency(access_point: str, rtt_us: int, path: list[str], countries: list[str]) -> workload_pb2.AccessLatency:
    return workload_pb2.AccessLatency(
        access_point=access_point, rtt_us=rtt_us, path=path, countries=countries, bases=["modelled"]
    )


def _passed(constraint: str, measured: str, bound: str, evidence: str) -> workload_pb2.ConstraintResult:
    return workload_pb2.ConstraintResult(constraint=constraint, measured=measured, bound=bound, evidence=evidence)


def choice(zone: str, node: str, score: float, rtt_us: int) -> workload_pb2.Choice:
    return workload_pb2.Choice(
        zone=zone,
        score=score,
        terms=[
            workload_pb2.ScoreTerm(name="latency", value=score - 0.15),
            workload_pb2.ScoreTerm(name="price", value=0.20),
            workload_pb2.ScoreTerm(name="fill", value=-0.05),
        ],
        latencies=[
            _latency("oslo", rtt_us, ["oslo", node], ["NO"]),
            _latency("goteborg", rtt_us + 9_800, ["goteborg", "karlstad", "oslo", node], ["NO", "SE"]),
        ],
        pool="nvidia/L40S",
        passed=[
            _passed("SiteResidency", "NO", "{NO,SE}", "certificate by Norsk Akkreditering, valid until 2027-03-01"),
            _passed("LegalControl", "NO, parent NO, no law", "{NO,SE}, no US-CLOUD-ACT", "register by Bronnoysund"),
            _passed("TransitResidency", "crosses NO,SE", "{NO,SE}", "4 links, network generation 8812"),
            _passed("LatencyBound", "p95 14.2 ms", "<= 24 ms", "goteborg > karlstad > oslo, modelled"),
            _passed("GpuMemory", "L40S 48 GiB", ">= 40 GiB", "inventory generation 17"),
        ],
    )


def _rejection(
    zone: str, reason: reason_pb2.Reason.ValueType, constraint: str, found: tuple[str, str, str]
) -> workload_pb2.Rejection:
    return workload_pb2.Rejection(zone=zone, reason=reason, result=_passed(constraint, *found))


def rejections() -> list[workload_pb2.Rejection]:
    return [
        _rejection(
            "bluepeak/fra-9",
            reason_pb2.REASON_LEGAL_CONTROL_DENIED,
            "LegalControl",
            ("parent US; US-CLOUD-ACT", "{NO,SE}, no US-CLOUD-ACT", "register by Beispielregister, until 2027-01-31"),
        ),
        _rejection(
            "bluepeak/fra-9",
            reason_pb2.REASON_SITE_COUNTRY_DENIED,
            "SiteResidency",
            ("DE", "{NO,SE}", "declaration by bluepeak, until 2027-01-31"),
        ),
        _rejection(
            "elbnetz/ham-1",
            reason_pb2.REASON_SITE_COUNTRY_DENIED,
            "SiteResidency",
            ("DE", "{NO,SE}", "certificate by Pruefhaus Elbe, until 2027-06-30"),
        ),
        _rejection(
            "elbnetz/ham-1",
            reason_pb2.REASON_NOT_EVALUATED,
            "LatencyBound",
            ("", "<= 24 ms", "no lawful path to measure"),
        ),
        _rejection(
            "nordavind/bod-1",
            reason_pb2.REASON_LATENCY_EXCEEDED,
            "LatencyBound",
            ("p95 31.4 ms (n=240)", "<= 24 ms", "path goteborg > oslo > trondheim > bodo, probed 4 s ago"),
        ),
        _rejection(
            "nordavind/svg-1",
            reason_pb2.REASON_GPU_MEMORY_TOO_SMALL,
            "GpuMemory",
            ("L4 24 GiB", ">= 40 GiB", "inventory generation 17"),
        ),
        _rejection(
            "solvik/mma-1",
            reason_pb2.REASON_TRANSIT_DENIED,
            "TransitResidency",
            ("crosses DK", "{NO,SE}", "link goteborg--kobenhavn, network generation 8812"),
        ),
    ]


def decision(*, feasible: bool = True) -> workload_pb2.Decision:
    choices = [choice("nordavind/oslo-1", "nordavind/oslo-1", 0.83, 4_400)]
    choices.append(choice("solvik/sto-1", "solvik/sto-1", 0.71, 9_100))
    return workload_pb2.Decision(
        choices=choices if feasible else [],
        rejections=rejections(),
        zones_evaluated=7 if feasible else 5,
        snapshot_generation=8812,
        elapsed_us=1240,
        nearest_fix="raise the latency budget to 32 ms -> nordavind/bod-1",
    )


def workload(
    state: workload_pb2.WorkloadState.ValueType = workload_pb2.WORKLOAD_STATE_RUNNING, name: str = NAME
) -> workload_pb2.Workload:
    running = state == workload_pb2.WORKLOAD_STATE_RUNNING
    unplaceable = state == workload_pb2.WORKLOAD_STATE_UNPLACEABLE
    placement = workload_pb2.Placement(
        claim="c-7f3a9e12",
        zone="nordavind/oslo-1",
        replicas=1,
        state=workload_pb2.PLACEMENT_STATE_READY if running else workload_pb2.PLACEMENT_STATE_STARTING,
        endpoint_urls=["https://127.0.0.1:18443"] if running else [],
        endpoint_ca_pem=CA_PEM,
        latencies=decision().choices[0].latencies,
        fencing_token=41,
    )
    placed = state not in (workload_pb2.WORKLOAD_STATE_PENDING, workload_pb2.WORKLOAD_STATE_UNPLACEABLE)
    conditions = [
        _condition("Placed", holds=placed, reason="NoFeasibleZone" if unplaceable else "Confirmed"),
        _condition("Ready", holds=running, reason="InstancesAnswer" if running else "Waiting"),
    ]
    return workload_pb2.Workload(
        name=name,
        uid="w-0001",
        spec=spec(),
        generation=1,
        etag="9d3c",
        state=state,
        placements=[placement] if placed else [],
        conditions=conditions,
        created_at_ms=T0_MS,
    )


def _condition(kind: str, *, holds: bool, reason: str) -> common_pb2.Condition:
    return common_pb2.Condition(
        type=kind,
        status=common_pb2.CONDITION_STATUS_TRUE if holds else common_pb2.CONDITION_STATUS_FALSE,
        reason=reason,
        message="" if holds else "0/5 zones feasible" if reason == "NoFeasibleZone" else "instances start",
        observed_generation=1,
        changed_at_ms=T0_MS + 900,
    )


def events(first: int = 1, last: int = 4) -> list[common_pb2.Event]:
    known = [
        ("Submitted", "accepted from havneby/app, generation 1"),
        ("Held", "claim c-7f3a9e12 holds 1 x nvidia/L40S in nordavind/oslo-1 for 10 s"),
        ("Confirmed", "nordavind/oslo-1 starts 1 replica"),
        ("Ready", "https://127.0.0.1:18443 answers"),
    ]
    return [
        common_pb2.Event(
            sequence=number,
            at_ms=T0_MS + number * 200,
            workload=NAME,
            reason=known[number - 1][0],
            message=known[number - 1][1],
            level=common_pb2.EVENT_LEVEL_NORMAL,
        )
        for number in range(first, last + 1)
    ]


def explained() -> workload_service_pb2.ExplainWorkloadResponse:
    return workload_service_pb2.ExplainWorkloadResponse(
        decision=decision(), current_zone="nordavind/oslo-1", decided_at_ms=T0_MS + 100, now=decision()
    )


def _zone(operator: str, zone: str, place: tuple[str, str, str], gpu: tuple[str, int]) -> zone_pb2.Zone:
    title, country, control = place
    model, memory_mib = gpu
    evidence = common_pb2.Evidence(
        kind=common_pb2.EVIDENCE_KIND_REGISTER,
        issuer="Bronnoysund",
        scheme="company-register",
        valid_from_ms=T0_MS - 1,
        valid_until_ms=T0_MS + 31_536_000_000,
        digest=DIGEST,
    )
    facts = [
        (common_pb2.FACT_KIND_SITE_COUNTRY, country),
        (common_pb2.FACT_KIND_HEADQUARTERS_COUNTRY, country),
        (common_pb2.FACT_KIND_ULTIMATE_PARENT_COUNTRY, control),
        (common_pb2.FACT_KIND_EXTRATERRITORIAL_LAW, "US-CLOUD-ACT" if control == "US" else "none"),
    ]
    pools = [common_pb2.AcceleratorPool(vendor="nvidia", model=model, memory_mib=memory_mib, count=4)] if model else []
    free = [common_pb2.PoolAmount(pool=f"nvidia/{model}", count=3)] if model else []
    return zone_pb2.Zone(
        name=f"operators/{operator}/zones/{zone}",
        inventory=zone_pb2.Inventory(
            node=title.lower(),
            title=title,
            capacity=common_pb2.Capacity(cpu_millis=16_000, memory_mib=65_536),
            pools=pools,
            artefacts=[common_pb2.ArtefactRef(name="ocr-server", digest=DIGEST)],
            price_millieur_per_hour=1450,
            source="file",
        ),
        free=common_pb2.Capacity(cpu_millis=15_500, memory_mib=64_512, accelerators=free),
        facts=[common_pb2.Fact(kind=kind, value=value, evidence=evidence) for kind, value in facts],
        state=zone_pb2.ZONE_STATE_AVAILABLE,
        generation=17,
        heard_at_ms=T0_MS,
    )


def zones() -> list[zone_pb2.Zone]:
    found = [
        _zone("bluepeak", "fra-9", ("Frankfurt", "DE", "US"), ("H100", 81_920)),
        _zone("elbnetz", "ham-1", ("Hamburg", "DE", "DE"), ("L40S", 49_152)),
        _zone("nordavind", "bod-1", ("Bodo", "NO", "NO"), ("L40S", 49_152)),
        _zone("nordavind", "oslo-1", ("Oslo", "NO", "NO"), ("L40S", 49_152)),
        _zone("nordavind", "svg-1", ("Stavanger", "NO", "NO"), ("L4", 24_576)),
        _zone("solvik", "mma-1", ("Malmo", "SE", "SE"), ("", 0)),
        _zone("solvik", "sto-1", ("Stockholm", "SE", "SE"), ("L40S", 49_152)),
    ]
    found[2].state = zone_pb2.ZONE_STATE_LOST
    found[4].inventory.cordoned = True
    return found


def _rtt(basis: network_pb2.LatencyBasis.ValueType, p50_us: int, *, sample_count: int = 0) -> network_pb2.RoundTrip:
    return network_pb2.RoundTrip(
        p50_us=p50_us,
        p95_us=p50_us * 11 // 10,
        p99_us=p50_us * 12 // 10,
        basis=basis,
        sample_count=sample_count,
        observed_at_ms=T0_MS,
    )


def network() -> workload_service_pb2.GetNetworkResponse:
    modelled, measured = network_pb2.LATENCY_BASIS_MODELLED, network_pb2.LATENCY_BASIS_MEASURED

    def link(a: str, b: str, rtt: network_pb2.RoundTrip, *, known: bool = True) -> network_pb2.NetworkLink:
        return network_pb2.NetworkLink(
            name=f"{a}--{b}",
            node_a=a,
            node_b=b,
            length_m=295_000,
            rtt=rtt,
            countries_known=known,
            carrier="nordavind",
            kind=network_pb2.LINK_KIND_TERRESTRIAL,
        )

    return workload_service_pb2.GetNetworkResponse(
        nodes=[
            network_pb2.NetworkNode(name="goteborg", title="Goteborg", country="SE", access_point=True),
            network_pb2.NetworkNode(name="oslo", title="Oslo", country="NO", access_point=True),
            network_pb2.NetworkNode(name="skagerrak", title="Skagerrak", at_sea=True),
        ],
        links=[
            link("goteborg", "oslo", _rtt(modelled, 9_800)),
            link("oslo", "skagerrak", _rtt(modelled, 5_100), known=False),
        ],
        probes=[
            workload_service_pb2.ProbeComparison(
                measured=network_pb2.ProbeResult(
                    source_zone="nordavind/oslo-1",
                    target_zone="solvik/sto-1",
                    rtt=_rtt(measured, 412, sample_count=240),
                    min_us=301,
                    jitter_us=38,
                    loss_permille=4,
                ),
                modelled=_rtt(modelled, 12_600),
            ),
            workload_service_pb2.ProbeComparison(
                measured=network_pb2.ProbeResult(
                    source_zone="nordavind/oslo-1",
                    target_zone="elbnetz/ham-1",
                    rtt=_rtt(measured, 388, sample_count=240),
                )
            ),
        ],
        snapshot_generation=8812,
    )
