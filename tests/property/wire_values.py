"""Strategies for every domain value that crosses the wire, as valid as the codecs demand."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.application.ports import HoldRequest
from hansa_control.domain import model as m
from hansa_control.domain.seals import GrantTerms, Seal, Signed
from hypothesis import strategies as st

COUNTRIES = ("NO", "SE", "FI", "DE", "US", "EE")

names = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=30)
some_text = texts.filter(bool)
countries = st.sampled_from(COUNTRIES)
country_sets = st.frozensets(countries, min_size=1)
digests = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
times_ms = st.integers(0, 4_000_000_000_000)
tokens = st.integers(0, 2**63 - 1)
small = st.integers(0, 1_000_000)
urls = st.integers(1, 65_535).map(lambda port: f"https://203.0.113.7:{port}")
zone_ids = st.builds(m.ZoneId, names, names)
labels = st.sampled_from(("ISO-27001", "EUCS", "intel-tdx", "amd-sev-snp", "hemmelig", "BSI C5", "2022", "high"))
laws = st.sampled_from(("US-CLOUD-ACT", "XX-LAW-1", "FISA-702"))

evidence = st.builds(
    lambda kind, issuer, scheme, start, length, digest: m.Evidence(kind, issuer, scheme, start, start + length, digest),
    st.sampled_from(m.EvidenceKind),
    some_text,
    some_text,
    st.integers(1, 2_000_000_000_000),
    st.integers(1, 10**11),
    digests,
)
facts = st.one_of(
    st.builds(
        m.Fact,
        st.sampled_from([kind for kind in m.FactKind if kind.value.endswith("_COUNTRY")]),
        countries,
        evidence,
    ),
    st.builds(
        m.Fact, st.just(m.FactKind.FOREIGN_SHARE_PERCENT), st.sampled_from(("0", "100", "24.5", "99.99")), evidence
    ),
    st.builds(m.Fact, st.just(m.FactKind.EXTRATERRITORIAL_LAW), laws | st.just("none"), evidence),
    st.builds(m.Fact, st.sampled_from((m.FactKind.PERSONNEL_CLEARANCE, m.FactKind.ATTESTATION)), labels, evidence),
    st.builds(m.Fact, st.just(m.FactKind.CERTIFICATION), labels, evidence, st.just("") | labels, st.just("") | labels),
    st.builds(m.Fact, st.just(m.FactKind.CARBON_GCO2_PER_KWH), st.integers(0, 100_000).map(str), evidence),
    st.builds(m.Fact, st.just(m.FactKind.RENEWABLE_PERCENT), st.integers(0, 100).map(str), evidence),
)
pools = st.builds(
    m.AcceleratorPool,
    st.sampled_from(("nvidia", "amd")),
    st.sampled_from(("L4", "L40S", "H100", "MI300X")),
    st.integers(1, 200_000),
    st.integers(1, 64),
    st.sampled_from(("", "1g.10gb", "3g.40gb+me")),
)
artefacts = st.builds(m.ArtefactRef, names, digests)


@st.composite
def capacities(draw: st.DrawFn, of: tuple[m.AcceleratorPool, ...] = ()) -> m.Capacity:
    counts = [(pool.key, draw(st.integers(0, pool.count))) for pool in of]
    return m.Capacity(draw(small), draw(small), tuple(sorted((key, count) for key, count in counts if count)))


@st.composite
def inventories(draw: st.DrawFn) -> m.Inventory:
    described = tuple(draw(st.lists(pools, max_size=4, unique_by=lambda pool: pool.key)))
    return m.Inventory(
        node=draw(names),
        title=draw(texts),
        capacity=draw(capacities(described)),
        pools=described,
        artefacts=tuple(draw(st.lists(artefacts, max_size=3))),
        probe_address=draw(st.sampled_from(("", "127.0.0.1:862", "[::1]:4000", "probe.example:1"))),
        price_millieur_per_hour=draw(small),
        source=draw(texts),
        cordoned=draw(st.booleans()),
        failure_domain=draw(st.just("") | names),
        trouble=draw(st.just("") | st.just("1 node is not ready")),
        device_watts=draw(st.integers(0, 100_000)),
        wish=draw(st.none() | wishes),
        refusals=draw(st.none() | refusals),
    )


windows = st.builds(m.Window, times_ms, times_ms, st.integers(0, 604_800_000), st.text("ab ", max_size=9))
lasting = windows.map(lambda one: m.Window(one.from_ms, one.from_ms + 1, one.lead_ms, one.note))
tenants = st.lists(st.sampled_from(["*", "a/*", "a/b", "c/d"]), unique=True).map(sorted).map(tuple)
refusals = st.builds(
    m.Refusals,
    tenants,
    tenants,
    st.lists(st.sampled_from([one.value for one in m.DataClass]), unique=True).map(sorted).map(tuple),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(5_001, 10_080)), max_size=3).map(tuple),
    st.booleans(),
)
wish_windows = st.lists(lasting, max_size=3).map(tuple)
wishes = st.builds(m.SiteWish, st.booleans(), st.booleans(), st.text("ab ", max_size=9), times_ms, wish_windows)
upkeeps = st.builds(
    m.Upkeep,
    st.sampled_from(m.Intake),
    st.text("ab ", max_size=9),
    times_ms,
    st.lists(windows, min_size=1, max_size=3).map(tuple),
    st.sampled_from([(), (m.ZoneSide.SITE,), tuple(m.ZoneSide)]),
)


@st.composite
def zones(draw: st.DrawFn) -> m.Zone:
    inventory = draw(inventories())
    return m.Zone(
        id=draw(zone_ids),
        inventory=inventory,
        free=draw(capacities(inventory.pools)),
        facts=tuple(draw(st.lists(facts, max_size=4))),
        state=draw(st.sampled_from(m.ZoneState)),
        generation=draw(tokens),
        heard_at_ms=draw(times_ms),
        upkeep=draw(st.just(m.Upkeep()) | upkeeps),
    )


round_trips = st.builds(
    lambda figures, basis, count, seen: m.RoundTrip(*sorted(figures), basis, count, seen),
    st.lists(st.integers(0, 10_000_000), min_size=3, max_size=3),
    st.sampled_from(m.LatencyBasis),
    small,
    times_ms,
)
measured = round_trips.map(lambda rtt: m.RoundTrip(rtt.p50_us, rtt.p95_us, rtt.p99_us, m.LatencyBasis.MEASURED))
degrees = st.floats(allow_nan=False, allow_infinity=False)
nodes = st.one_of(
    st.builds(
        m.NetworkNode,
        names,
        texts,
        st.none() | countries,
        st.floats(-90, 90),
        st.floats(-180, 180),
        st.booleans(),
        st.just(False),
    ),
    st.builds(
        m.NetworkNode,
        names,
        texts,
        st.none(),
        st.floats(-90, 90),
        st.floats(-180, 180),
        st.just(False),
        st.just(True),
    ),
)
links = st.builds(
    lambda name, ends, length, rtt, crossed, carrier, kind, directions, *rest: m.NetworkLink(
        name, ends[0], ends[1], length, rtt, crossed, carrier, kind, *directions, *rest
    ),
    names,
    st.lists(names, min_size=2, max_size=2, unique=True),
    small,
    round_trips,
    st.none() | st.frozensets(countries).map(lambda found: tuple(sorted(found))),
    names,
    st.sampled_from(m.LinkKind),
    st.tuples(st.integers(1, 999), st.booleans()),
    st.integers(0, 10**12),
    st.sampled_from(m.LinkEncryption),
)
delays_us = st.integers(1_001, 10_000_000)
one_ways = st.builds(
    m.OneWayDelay, delays_us, delays_us, delays_us, delays_us, st.integers(0, 1_000), st.integers(1, 9)
)
shares = st.integers(0, 1000)
node_probes = st.builds(
    m.NodeProbe,
    zone_ids,
    st.sampled_from(m.ProbedKind),
    names,
    measured,
    small,
    small,
    shares,
    st.none() | one_ways,
)
probes = st.builds(m.ProbeResult, zone_ids, zone_ids, measured, small, small, shares, st.none() | one_ways)
instances = st.builds(
    m.InstanceStatus, names, names, st.sampled_from(m.InstanceState), urls, small, texts, tokens, times_ms
)
# Allowed and denied countries as a rule can say them: not neither of the two.
country_rules = st.tuples(st.none() | st.frozensets(countries), st.frozensets(countries)).filter(
    lambda rule: rule[0] is not None or bool(rule[1])
)
label_sets = st.frozensets(labels, max_size=3)
certification_needs = st.builds(m.CertificationNeed, labels, label_sets, label_sets)
predicates = st.sampled_from(('zone.country == "NO"', "zone.price_eur_per_hour < 2", '"L4" in zone.models'))
policies = st.builds(
    m.ResidencyPolicy,
    st.none() | country_rules.map(lambda rule: m.SiteRule(*rule)),
    st.none()
    | st.builds(
        lambda rule, denied, share: m.LegalRule(rule[0], denied, rule[1], share),
        country_rules,
        st.frozensets(laws),
        st.none() | st.integers(0, 100),
    ),
    st.none()
    | st.builds(
        lambda rule, carriers, encrypted, unknown: m.TransitRule(rule[0], carriers, rule[1], encrypted, unknown),
        country_rules,
        st.frozensets(names, max_size=3),
        st.booleans(),
        st.sampled_from(m.UnknownPaths),
    ),
    st.sampled_from(m.OnChange),
    st.none() | st.builds(lambda rule, names: m.PersonnelRule(*rule, names), country_rules, label_sets),
    st.none()
    | st.builds(
        m.AttestationRule, st.lists(st.frozensets(labels, min_size=1, max_size=3), min_size=1, max_size=3).map(tuple)
    ),
    st.none()
    | st.builds(
        m.CertificationRule,
        st.lists(st.lists(certification_needs, min_size=1, max_size=3).map(tuple), min_size=1, max_size=2).map(tuple),
    ),
    st.none()
    | st.builds(m.EnergyRule, st.none() | st.integers(0, 100_000), st.none() | st.integers(0, 100)).filter(
        lambda rule: rule != m.EnergyRule()
    ),
    st.lists(predicates, max_size=3).map(tuple),
    st.frozensets(st.sampled_from(m.DataClass), min_size=1),
    st.lists(st.sampled_from(("gdpr-eea", "eu-sovereign@2026-11-01")), unique=True).map(tuple),
)
needs = st.builds(
    m.AcceleratorNeed,
    st.lists(st.sampled_from(("L4", "L40S", "H100")), unique=True).map(tuple),
    st.integers(1, 64),
    small,
)
accesses = st.lists(
    st.builds(m.AccessDemand, names, st.integers(1, 10**9)),
    min_size=1,
    max_size=5,
    unique_by=lambda d: d.access_point,
).map(tuple)


@st.composite
def service_times(draw: st.DrawFn, model: str) -> m.ServiceTime:
    mean = draw(st.integers(1, 3_600_000_000))
    p95 = draw(st.integers(mean, 3_600_000_000_000))
    return m.ServiceTime(model, mean, p95, draw(st.integers(p95, 3_600_000_000_000)), draw(st.integers(0, 100_000)))


@st.composite
def services(draw: st.DrawFn, replicas: int) -> m.ServiceProfile:
    """Of so many replicas at most: what they serve at once is bounded together."""
    some = st.lists(st.sampled_from(("L4", "L40S", "amd/MI300X", "nvidia/H100/mig-1g.10gb")), unique=True)
    models = draw(some.filter(bool) | some.map(lambda found: [*found, ""]))
    size = st.integers(0, 2**40)
    times = tuple(draw(service_times(model)) for model in models)
    return m.ServiceProfile(times, draw(st.integers(1, 10_000 // replicas)), draw(size), draw(size))


@st.composite
def spreads(draw: st.DrawFn, replicas: int, zones_max: int) -> tuple[m.SpreadRule, ...]:
    rules = []
    for level in draw(st.lists(st.sampled_from(m.SpreadLevel), unique=True)):
        domains = draw(st.integers(1, zones_max))
        bound = st.integers(-(-replicas // zones_max), 1000)
        rules.append(m.SpreadRule(level, domains, draw(bound if domains == 1 else st.just(0) | bound)))
    return tuple(rules)


selectors = st.builds(
    m.Selector,
    st.frozensets(names, max_size=3),
    st.frozensets(countries, max_size=3),
    st.lists(zone_ids, max_size=3, unique=True).map(tuple),
    st.just("") | predicates,
).filter(lambda selector: selector != m.Selector())
preferences = st.builds(
    m.Preferences,
    st.lists(selectors, max_size=3).map(tuple),
    st.lists(st.builds(m.SoftConstraint, selectors, st.integers(1, 1_000_000)), max_size=3).map(tuple),
)
weights = st.integers(0, 1_000_000)
objectives = st.builds(m.Objective, weights, weights, weights).filter(lambda found: found != m.Objective(0, 0, 0))
sources = st.lists(
    st.builds(m.DataSource, names, names, st.none() | countries, st.sampled_from(m.DataClass)),
    max_size=3,
    unique_by=lambda source: source.name,
).map(tuple)


partition_rules = st.just(m.PartitionRule()) | st.builds(
    m.PartitionRule, st.just(m.OnPartition.REPLACE), st.integers(1_000, 604_800_000)
)


@st.composite
def specs(draw: st.DrawFn) -> m.WorkloadSpec:
    replicas = draw(st.integers(1, 1000))
    replicas_max = draw(st.just(0) | st.integers(replicas, 1000))
    zones_max = draw(st.integers(1, replicas_max or replicas))
    service = draw(st.none() | services(max(replicas, replicas_max)))
    response_us_max = draw(st.integers(0, 3_600_000_000)) if service else 0
    return m.WorkloadSpec(
        artefact=draw(artefacts),
        artefact_forms=tuple(draw(st.lists(artefacts, max_size=2, unique_by=lambda form: (form.name, form.digest)))),
        accelerator=draw(st.none() | needs),
        cpu_millis=draw(st.integers(1, 1_000_000)),
        memory_mib=draw(st.integers(1, 1_000_000)),
        replicas=replicas,
        access=draw(accesses),
        latency=m.LatencyBudget(draw(st.sampled_from((50, 95, 99))), draw(st.integers(1, 60_000_000)), response_us_max),
        residency=draw(policies),
        replicas_max=replicas_max,
        zones=m.ZoneBounds(draw(st.integers(1, zones_max)), zones_max),
        spread=draw(spreads(replicas, zones_max)),
        service=service,
        preferences=draw(preferences),
        objective=draw(objectives),
        data_sources=draw(sources),
        price_millieur_per_hour_max=draw(st.integers(0, 10**12)),
        priority=draw(st.integers(-1000, 1000)),
        disruption=m.Disruption(draw(st.integers(0, replicas)), draw(st.booleans())),
        on_partition=draw(partition_rules),
    )


claims = st.builds(
    m.ClaimStatus,
    names,
    st.sampled_from(m.ClaimState),
    st.integers(0, 1000),
    st.lists(urls, max_size=3).map(tuple),
    texts,
    tokens,
)
results = st.builds(m.ConstraintResult, texts, texts, texts, texts)
rejections = st.builds(m.Rejection, zone_ids, st.sampled_from(m.Reason), results)
holds = st.builds(HoldRequest, names, names, specs(), st.integers(1, 3_600_000))
PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
plain_grants = st.builds(m.HoldGrant, names, tokens, st.integers(0, 3_600_000), st.sampled_from(("", "nvidia/L4")))
digests = st.sampled_from(("sha256:" + "a" * 64, "sha256:" + "0" * 64))


@st.composite
def sealed_grants(draw: st.DrawFn) -> m.HoldGrant:
    """A grant with a seal of its own fields; whether the signature is any good is no matter of the wire."""
    grant = draw(plain_grants)
    words = [draw(names) for _ in range(4)]
    terms = GrantTerms(
        owner=words[0],
        home=words[1],
        context_id=words[2],
        claim=grant.claim,
        zone=words[3],
        pool=grant.pool,
        fencing_token=grant.fencing_token,
        lease_ms=grant.lease_ms,
        spec_digest=draw(digests),
        policy_asked_digest=draw(digests),
        policy_applied_digest=draw(digests),
        granted_at_ms=draw(st.integers(1, 2**40)),
        format=draw(st.integers(1, 3)),
        underlying_digest=draw(st.just("") | digests),
    )
    signed = Signed(draw(st.sampled_from(("ES256", "EdDSA"))), draw(st.binary(max_size=80)), PEM)
    return replace(grant, seal=Seal(terms, signed, draw(st.none() | policies)))


grants = plain_grants | sealed_grants()
manifests = st.builds(
    m.Manifest,
    st.builds(lambda tenant, workload: str(m.WorkloadId(tenant, workload)), names, names),
    st.just(PEM),
    st.lists(names.map(lambda name: f"spiffe://home.hansa.example/tenant/{name}"), max_size=3).map(tuple),
)
federations = st.builds(
    m.Federation,
    names,
    names,
    names,
    st.just(m.FederationState.ACTIVE),
    st.integers(1, 86_400_000),
    st.just(PEM),
)
latencies = st.builds(
    m.AccessLatency,
    names,
    small,
    st.lists(names, min_size=1, max_size=3).map(tuple),
    st.lists(countries, min_size=1, max_size=3).map(tuple),
    st.lists(some_text, min_size=1, max_size=2).map(tuple),
)
