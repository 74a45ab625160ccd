"""Every malformed field of every inbound message is refused by its path, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hansa_control.adapters import codec_federation, codec_network, codec_service, codec_workload, codec_zone
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import LinkEncryption, LinkKind, OnChange, Reason

from hansa.v1 import (
    common_pb2,
    federation_service_pb2,
    instance_pb2,
    network_pb2,
    workload_pb2,
    workload_service_pb2,
    zone_pb2,
)

DIGEST = "sha256:" + "0" * 64
Change = Callable[[Any], None]


def assert_refused(read: Callable[[Any, str], Any], message: Any, change: Change, field: str) -> None:
    read(message, "it")
    change(message)
    with pytest.raises(RefusalError) as refusal:
        read(message, "it")
    assert refusal.value.reason is Reason.INVALID_FIELD
    assert refusal.value.field == f"it.{field}"


def set_to(path: str, value: Any) -> Change:
    """Sets a field by its dotted path, indices as numbers."""

    def change(message: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            message = message[int(step)] if step.isdigit() else getattr(message, step)
        setattr(message, last, value)

    return change


# --- workload specifications ---


def good_spec() -> workload_pb2.WorkloadSpec:
    spec = workload_pb2.WorkloadSpec(
        artefact=common_pb2.ArtefactRef(name="ocr", digest=DIGEST),
        accelerator=common_pb2.AcceleratorNeed(any_of=["L4", "L40S"], count=1, memory_mib_min=16_000),
        cpu_millis=500,
        memory_mib=512,
        replicas=2,
        access=[
            workload_pb2.AccessDemand(access_point="oslo", demand_millirps=10),
            workload_pb2.AccessDemand(access_point="malmo", demand_millirps=20),
        ],
        latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=25_000),
    )
    spec.residency.site.countries_allowed.extend(["NO", "SE"])
    spec.residency.legal.countries_allowed.append("NO")
    spec.residency.legal.laws_denied.append("US-CLOUD-ACT")
    spec.residency.transit.countries_allowed.append("NO")
    spec.residency.transit.carriers_denied.append("fjordby")
    return spec


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda s: s.ClearField("artefact"), "artefact"),
        (set_to("artefact.name", "OCR"), "artefact.name"),
        (set_to("artefact.digest", "abc"), "artefact.digest"),
        (set_to("accelerator.count", 0), "accelerator.count"),
        (set_to("accelerator.count", 65), "accelerator.count"),
        (set_to("accelerator.memory_mib_min", -1), "accelerator.memory_mib_min"),
        (lambda s: s.accelerator.any_of.append("L4/8"), "accelerator.any_of[2]"),
        (lambda s: s.accelerator.any_of.append("L4"), "accelerator.any_of[2]"),
        (lambda s: s.accelerator.any_of.extend(f"M{i}" for i in range(40)), "accelerator.any_of"),
        (set_to("cpu_millis", 0), "cpu_millis"),
        (set_to("memory_mib", -5), "memory_mib"),
        (set_to("replicas", 0), "replicas"),
        (set_to("replicas", 1001), "replicas"),
        (lambda s: s.ClearField("access"), "access"),
        (set_to("access.1.access_point", "Malmö"), "access[1].access_point"),
        (set_to("access.1.access_point", "oslo"), "access[1]"),
        (set_to("access.0.demand_millirps", 0), "access[0].demand_millirps"),
        (lambda s: s.access.extend(good_spec().access[0] for _ in range(200)), "access"),
        (lambda s: s.ClearField("latency"), "latency"),
        (set_to("latency.percentile", 90), "latency.percentile"),
        (set_to("latency.rtt_us_max", 0), "latency.rtt_us_max"),
        (set_to("residency.on_change", 9), "residency.on_change"),
        (lambda s: s.residency.site.ClearField("countries_allowed"), "residency.site.countries_allowed"),
        (lambda s: s.residency.legal.ClearField("countries_allowed"), "residency.legal.countries_allowed"),
        (lambda s: s.residency.transit.ClearField("countries_allowed"), "residency.transit.countries_allowed"),
        (lambda s: s.residency.site.countries_allowed.append("NOR"), "residency.site.countries_allowed[2]"),
        (lambda s: s.residency.legal.laws_denied.append("cloud act"), "residency.legal.laws_denied[1]"),
        (lambda s: s.residency.transit.carriers_denied.append("/"), "residency.transit.carriers_denied[1]"),
    ],
)
def test_a_malformed_spec_is_refused_by_its_field(change: Change, field: str) -> None:
    assert_refused(codec_workload.spec_in, good_spec(), change, field)


def test_an_absent_policy_restricts_nothing() -> None:
    spec = good_spec()
    spec.ClearField("residency")
    policy = codec_workload.spec_in(spec, "spec").residency
    assert (policy.site, policy.legal, policy.transit) == (None, None, None)
    assert policy.on_change is OnChange.DRAIN


# --- zones ---


def good_fact() -> common_pb2.Fact:
    evidence = common_pb2.Evidence(
        kind=common_pb2.EVIDENCE_KIND_REGISTER,
        issuer="register",
        scheme="company-register",
        valid_from_ms=1,
        valid_until_ms=2,
        digest=DIGEST,
    )
    return common_pb2.Fact(kind=common_pb2.FACT_KIND_SITE_COUNTRY, value="NO", evidence=evidence)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_to("kind", 0), "kind"),
        (set_to("kind", 77), "kind"),
        (set_to("value", "no"), "value"),
        (lambda f: f.ClearField("evidence"), "evidence"),
        (set_to("evidence.kind", 0), "evidence.kind"),
        (set_to("evidence.issuer", ""), "evidence.issuer"),
        (set_to("evidence.scheme", " "), "evidence.scheme"),
        (set_to("evidence.valid_from_ms", -1), "evidence.valid_from_ms"),
        (set_to("evidence.valid_until_ms", 1), "evidence.valid_until_ms"),
        (set_to("evidence.digest", ""), "evidence.digest"),
        (set_to("evidence.digest", "sha1:00"), "evidence.digest"),
    ],
)
def test_a_malformed_fact_is_refused_by_its_field(change: Change, field: str) -> None:
    assert_refused(codec_zone.fact_in, good_fact(), change, field)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("FOREIGN_SHARE_PERCENT", "half"), ("EXTRATERRITORIAL_LAW", "cloud act"), ("HEADQUARTERS_COUNTRY", "EU")],
)
def test_a_fact_is_refused_when_its_value_does_not_fit_its_kind(kind: str, value: str) -> None:
    fact = good_fact()
    fact.kind = common_pb2.FactKind.Value(f"FACT_KIND_{kind}")
    fact.value = value
    with pytest.raises(RefusalError) as refusal:
        codec_zone.fact_in(fact, "fact")
    assert refusal.value.field == "fact.value"


def test_an_unknown_end_of_validity_is_taken_since_deciding_rejects_it() -> None:
    fact = good_fact()
    fact.evidence.valid_until_ms = 0
    assert codec_zone.fact_in(fact, "fact").evidence.valid_until_ms == 0


def test_the_law_none_declares_that_no_such_law_applies() -> None:
    fact = good_fact()
    fact.kind, fact.value = common_pb2.FACT_KIND_EXTRATERRITORIAL_LAW, "none"
    assert codec_zone.fact_in(fact, "fact").value == "none"


def good_inventory() -> zone_pb2.Inventory:
    return zone_pb2.Inventory(
        node="oslo",
        capacity=common_pb2.Capacity(
            cpu_millis=1, memory_mib=1, accelerators=[common_pb2.PoolAmount(pool="nvidia/L4", count=2)]
        ),
        pools=[common_pb2.AcceleratorPool(vendor="nvidia", model="L4", memory_mib=23_034, count=2)],
        artefacts=[common_pb2.ArtefactRef(name="ocr", digest=DIGEST)],
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_to("node", ""), "node"),
        (set_to("title", "\a"), "title"),
        (set_to("capacity.cpu_millis", -1), "capacity.cpu_millis"),
        (set_to("capacity.memory_mib", -1), "capacity.memory_mib"),
        (set_to("capacity.accelerators.0.pool", "L4"), "capacity.accelerators[0].pool"),
        (set_to("capacity.accelerators.0.count", -1), "capacity.accelerators[0].count"),
        (set_to("capacity.accelerators.0.count", 3), "capacity.accelerators"),
        (set_to("capacity.accelerators.0.pool", "nvidia/L40S"), "capacity.accelerators"),
        (set_to("failure_domain", "Hall 2"), "failure_domain"),
        (set_to("device_watts", -1), "device_watts"),
        (set_to("device_watts", 100_001), "device_watts"),
        (set_to("pools.0.vendor", "NVIDIA"), "pools[0].vendor"),
        (set_to("pools.0.model", ""), "pools[0].model"),
        (set_to("pools.0.memory_mib", 0), "pools[0].memory_mib"),
        (set_to("pools.0.count", 0), "pools[0].count"),
        (set_to("pools.0.mig_profile", "1g"), "pools[0].mig_profile"),
        (set_to("pools.0.node_count_max", 3), "pools[0].node_count_max"),
        (set_to("pools.0.node_count_max", -1), "pools[0].node_count_max"),
        (lambda i: i.pools.append(i.pools[0]), "pools[1]"),
        (lambda i: i.pools.extend(i.pools[0] for _ in range(64)), "pools"),
        (set_to("artefacts.0.digest", ""), "artefacts[0].digest"),
        (lambda i: i.artefacts.extend(i.artefacts[0] for _ in range(1000)), "artefacts"),
        (set_to("probe_address", "nowhere"), "probe_address"),
        (set_to("price_millieur_per_hour", -1), "price_millieur_per_hour"),
        (set_to("source", "x" * 300), "source"),
    ],
)
def test_a_malformed_inventory_is_refused_by_its_field(change: Change, field: str) -> None:
    assert_refused(codec_zone.inventory_in, good_inventory(), change, field)


def test_a_zero_count_is_dropped_and_pools_are_sorted() -> None:
    amounts = [
        common_pb2.PoolAmount(pool=f"nvidia/{model}", count=n) for model, n in (("L4", 1), ("H100", 2), ("A2", 0))
    ]
    capacity = codec_zone.capacity_in(common_pb2.Capacity(accelerators=amounts), "capacity")
    assert capacity.accelerators == (("nvidia/H100", 2), ("nvidia/L4", 1))


def good_zone() -> zone_pb2.Zone:
    return zone_pb2.Zone(
        name="operators/fjordby/zones/sto-1",
        inventory=good_inventory(),
        free=common_pb2.Capacity(cpu_millis=1),
        facts=[good_fact()],
        state=zone_pb2.ZONE_STATE_AVAILABLE,
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_to("name", "fjordby/sto-1"), "name"),
        (set_to("name", "operators/Fjordby/zones/sto-1"), "name"),
        (set_to("inventory.node", ""), "inventory.node"),
        (set_to("free.cpu_millis", -1), "free.cpu_millis"),
        (lambda z: z.free.accelerators.add(pool="nvidia/L4", count=9), "free.accelerators"),
        (set_to("facts.0.value", "XX"), "facts[0].value"),
        (lambda z: z.facts.extend(good_fact() for _ in range(100)), "facts"),
        (set_to("state", 0), "state"),
        (set_to("generation", -1), "generation"),
        (set_to("heard_at_ms", -1), "heard_at_ms"),
    ],
)
def test_a_malformed_zone_of_a_partner_is_refused_by_its_field(change: Change, field: str) -> None:
    assert_refused(codec_zone.zone_in, good_zone(), change, field)


def good_instance() -> instance_pb2.InstanceStatus:
    return instance_pb2.InstanceStatus(
        instance="c1-0",
        claim="c1",
        state=instance_pb2.INSTANCE_STATE_READY,
        endpoint_url="https://127.0.0.1:8443",
        fencing_token=3,
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_to("instance", ""), "instance"),
        (set_to("claim", "C 1"), "claim"),
        (set_to("state", 0), "state"),
        (set_to("endpoint_url", ""), "endpoint_url"),
        (set_to("endpoint_url", "http://127.0.0.1:1"), "endpoint_url"),
        (set_to("restarts", -1), "restarts"),
        (set_to("fencing_token", -1), "fencing_token"),
        (set_to("started_at_ms", -1), "started_at_ms"),
        (set_to("message", "x" * 3000), "message"),
    ],
)
def test_a_malformed_instance_is_refused_by_its_field(change: Change, field: str) -> None:
    assert_refused(codec_zone.instance_in, good_instance(), change, field)


def test_an_instance_that_is_not_ready_needs_no_endpoint() -> None:
    status = good_instance()
    status.state, status.endpoint_url = instance_pb2.INSTANCE_STATE_STARTING, ""
    assert codec_zone.instance_in(status, "instance").endpoint_url == ""


# --- network ---


def good_rtt(basis: Any = network_pb2.LATENCY_BASIS_MEASURED) -> network_pb2.RoundTrip:
    return network_pb2.RoundTrip(p50_us=10, p95_us=20, p99_us=30, basis=basis)


def good_link() -> network_pb2.NetworkLink:
    return network_pb2.NetworkLink(
        name="oslo--malmo",
        node_a="oslo",
        node_b="malmo",
        length_m=1,
        rtt=good_rtt(),
        countries=["SE"],
        countries_known=True,
        carrier="nordfjord",
        kind=network_pb2.LINK_KIND_TERRESTRIAL,
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_to("name", "A--B"), "name"),
        (set_to("node_b", "oslo"), "node_b"),
        (set_to("node_a", ""), "node_a"),
        (set_to("length_m", -1), "length_m"),
        (set_to("rtt.p50_us", -1), "rtt.p50_us"),
        (set_to("rtt.p95_us", 9), "rtt.p95_us"),
        (set_to("rtt.p99_us", 19), "rtt.p99_us"),
        (set_to("rtt.basis", 0), "rtt.basis"),
        (set_to("countries_known", False), "countries"),
        (lambda link: link.countries.append("sweden"), "countries[1]"),
        (set_to("carrier", ""), "carrier"),
        (set_to("kind", 0), "kind"),
        (set_to("forward_permille", 1_000), "forward_permille"),
        (set_to("forward_permille", -1), "forward_permille"),
        (set_to("bandwidth_kbps", -1), "bandwidth_kbps"),
        (set_to("bandwidth_kbps", 10**12 + 1), "bandwidth_kbps"),
    ],
)
def test_a_malformed_link_is_refused_by_its_field(change: Change, field: str) -> None:
    assert_refused(codec_network.link_in, good_link(), change, field)


def test_what_an_older_sender_leaves_out_of_a_link_is_half_both_ways_and_unknown() -> None:
    link = codec_network.link_in(good_link(), "link")
    assert (link.forward_permille, link.one_way, link.bandwidth_kbps) == (500, False, 0)
    assert link.encryption is LinkEncryption.UNKNOWN


def test_an_encryption_that_only_a_newer_sender_knows_counts_as_unknown() -> None:
    link = good_link()
    link.encryption = 77  # type: ignore[assignment]
    assert codec_network.link_in(link, "link").encryption is LinkEncryption.UNKNOWN


def test_countries_that_are_not_known_are_none_and_not_no_countries() -> None:
    link = good_link()
    link.ClearField("countries")
    assert codec_network.link_in(link, "link").countries == ()
    link.countries_known = False
    assert codec_network.link_in(link, "link").countries is None
    assert codec_network.link_in(link, "link").kind is LinkKind.TERRESTRIAL


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_to("name", ""), "name"),
        (set_to("country", "SWE"), "country"),
        (set_to("latitude_deg", 91.0), "latitude_deg"),
        (set_to("longitude_deg", float("nan")), "longitude_deg"),
        (set_to("at_sea", True), "country"),
    ],
)
def test_a_malformed_node_is_refused_by_its_field(change: Change, field: str) -> None:
    node = network_pb2.NetworkNode(name="oslo", country="NO", access_point=True)
    assert_refused(codec_network.node_in, node, change, field)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_to("source_zone", "oslo-1"), "source_zone"),
        (set_to("target_zone", "a/b/c"), "target_zone"),
        (set_to("rtt.basis", network_pb2.LATENCY_BASIS_MODELLED), "rtt.basis"),
        (set_to("min_us", -1), "min_us"),
        (set_to("jitter_us", -1), "jitter_us"),
        (set_to("loss_permille", 1001), "loss_permille"),
    ],
)
def test_a_malformed_probe_is_refused_by_its_field(change: Change, field: str) -> None:
    probe = network_pb2.ProbeResult(source_zone="a/b", target_zone="c/d", rtt=good_rtt())
    assert_refused(codec_network.probe_in, probe, change, field)


# --- partners ---


def test_rejections_of_a_newer_partner_read_as_its_own_reason() -> None:
    wire = workload_pb2.Rejection(zone="fjordby/sto-1", reason=4242)  # type: ignore[arg-type]
    response = federation_service_pb2.HoldResponse(refusal=federation_service_pb2.HoldRefusal(rejections=[wire]))
    refused = codec_federation.hold_response_in(response)
    assert isinstance(refused, codec_federation.Refused)
    assert refused.rejections[0].reason is Reason.OWNER_REFUSED


def test_a_refusal_without_any_reason_is_itself_refused() -> None:
    response = federation_service_pb2.HoldResponse(refusal=federation_service_pb2.HoldRefusal())
    with pytest.raises(RefusalError) as refusal:
        codec_federation.hold_response_in(response)
    assert refusal.value.field == "refusal.rejections"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_to("context_id", ""), "context_id"),
        (set_to("claim", ""), "claim"),
        (set_to("fencing_token", -1), "fencing_token"),
        (set_to("workload", "ocr"), "workload"),
        (set_to("client_ca_pem", b""), "client_ca_pem"),
        (lambda c: c.client_ids.append("acme"), "client_ids[0]"),
    ],
)
def test_a_malformed_confirmation_is_refused_by_its_field(change: Change, field: str) -> None:
    request = federation_service_pb2.ConfirmRequest(
        context_id="x",
        claim="c1",
        workload="tenants/acme/workloads/ocr",
        client_ca_pem=b"-----BEGIN CERTIFICATE-----",
    )
    codec_federation.confirm_request_in(request)
    change(request)
    with pytest.raises(RefusalError) as refusal:
        codec_federation.confirm_request_in(request)
    assert refusal.value.field == field


# --- app teams ---


@pytest.mark.parametrize("token", ["x", "!!!!", "TGlzdFpvbmVzUmVxdWVzdAo=", "AAAA"])
def test_a_page_token_that_nobody_gave_is_refused(token: str) -> None:
    with pytest.raises(RefusalError) as refusal:
        codec_service.page_in(workload_service_pb2.ListZonesRequest(page_token=token))
    assert refusal.value.field == "page_token"


def test_a_page_token_of_another_method_is_refused() -> None:
    zone = codec_zone.zone_in(good_zone(), "zone")
    token = codec_service.zones_out([zone, zone], 1).next_page_token
    assert codec_service.page_in(workload_service_pb2.ListZonesRequest(page_token=token)).after == "fjordby/sto-1"
    with pytest.raises(RefusalError):
        codec_service.page_in(workload_service_pb2.ListWorkloadsRequest(page_token=token))


@pytest.mark.parametrize(("size", "limit"), [(0, 100), (1, 1), (1000, 1000)])
def test_a_page_has_a_size_or_the_default(size: int, limit: int) -> None:
    assert codec_service.page_in(workload_service_pb2.ListZonesRequest(page_size=size)).limit == limit


@pytest.mark.parametrize("size", [-1, 1001])
def test_a_page_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(RefusalError) as refusal:
        codec_service.page_in(workload_service_pb2.ListZonesRequest(page_size=size))
    assert refusal.value.field == "page_size"


def test_the_payload_digest_leaves_the_request_id_out_and_nothing_else() -> None:
    def digest(**changes: Any) -> str:
        fields = {"request_id": "r1", "name": "tenants/acme/workloads/ocr", "spec": good_spec()}
        return codec_service.payload_digest(workload_service_pb2.SubmitWorkloadRequest(**{**fields, **changes}))

    other = good_spec()
    other.replicas = 3
    assert digest() == digest(request_id="r2")
    assert len({digest(), digest(name="tenants/acme/workloads/other"), digest(spec=other)}) == 3


def test_submitting_and_deleting_never_share_a_digest() -> None:
    submit = workload_service_pb2.SubmitWorkloadRequest(request_id="r1")
    delete = workload_service_pb2.DeleteWorkloadRequest(request_id="r1")
    assert codec_service.payload_digest(submit) != codec_service.payload_digest(delete)
