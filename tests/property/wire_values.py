"""Strategies for every domain value that crosses the wire, as valid as the codecs demand."""

from __future__ import annotations

from hansa_control.application.ports import HoldRequest
from hansa_control.domain import model as m
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
        st.sampled_from((m.FactKind.SITE_COUNTRY, m.FactKind.HEADQUARTERS_COUNTRY, m.FactKind.ULTIMATE_PARENT_COUNTRY)),
        countries,
        evidence,
    ),
    st.builds(
        m.Fact, st.just(m.FactKind.FOREIGN_SHARE_PERCENT), st.sampled_from(("0", "100", "24.5", "99.99")), evidence
    ),
    st.builds(m.Fact, st.just(m.FactKind.EXTRATERRITORIAL_LAW), laws | st.just("none"), evidence),
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
probes = st.builds(m.ProbeResult, zone_ids, zone_ids, measured, small, small, st.integers(0, 1000))
instances = st.builds(
    m.InstanceStatus, names, names, st.sampled_from(m.InstanceState), urls, small, texts, tokens, times_ms
)
policies = st.builds(
    m.ResidencyPolicy,
    st.none() | st.builds(m.SiteRule, country_sets),
    st.none() | st.builds(m.LegalRule, country_sets, st.frozensets(laws)),
    st.none() | st.builds(m.TransitRule, country_sets, st.frozensets(names, max_size=3)),
    st.sampled_from(m.OnChange),
)
needs = st.builds(
    m.AcceleratorNeed,
    st.lists(st.sampled_from(("L4", "L40S", "H100")), unique=True).map(tuple),
    st.integers(1, 64),
    small,
)
specs = st.builds(
    m.WorkloadSpec,
    artefacts,
    st.none() | needs,
    st.integers(1, 1_000_000),
    st.integers(1, 1_000_000),
    st.integers(1, 1000),
    st.lists(
        st.builds(m.AccessDemand, names, st.integers(1, 10**9)),
        min_size=1,
        max_size=5,
        unique_by=lambda d: d.access_point,
    ).map(tuple),
    st.builds(m.LatencyBudget, st.sampled_from((50, 95, 99)), st.integers(1, 60_000_000)),
    policies,
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
holds = st.builds(HoldRequest, names, names, specs, st.integers(1, 3_600_000))
grants = st.builds(m.HoldGrant, names, tokens, st.integers(0, 3_600_000), st.sampled_from(("", "nvidia/L4")))
PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
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
