"""Strategies for small worlds of law: few countries, labels and figures, so that rules and facts often meet."""

from __future__ import annotations

from hansa_control.domain import model as m
from hypothesis import strategies as st

NOW_MS = 1_000_000
RTT = m.RoundTrip(1, 1, 1, m.LatencyBasis.MODELLED)

countries = st.sampled_from(("NO", "SE", "US"))
country_sets = st.frozensets(countries)
allow_lists = st.none() | country_sets
labels = st.sampled_from(("tdx", "sev", "iso"))
details = st.sampled_from(("", "1", "2"))
laws = st.sampled_from(("none", "CLOUD", "DSL"))
figures = st.sampled_from(("0", "50", "100", "x"))

validities = st.sampled_from(
    ((1, NOW_MS), (1, NOW_MS + 1), (NOW_MS, NOW_MS + 1), (NOW_MS + 1, NOW_MS + 2), (0, NOW_MS + 1), (1, 0))
)
evidence = st.builds(
    lambda span, issuer: m.Evidence(m.EvidenceKind.REGISTER, issuer, "register", *span, "sha256:0"),
    validities,
    st.sampled_from(("a", "b")),
)
sound_evidence = st.builds(
    lambda issuer: m.Evidence(m.EvidenceKind.REGISTER, issuer, "register", 1, NOW_MS + 1, "sha256:0"),
    st.sampled_from(("a", "b")),
)

COUNTRY_KINDS = tuple(kind for kind in m.FactKind if kind.value.endswith("_COUNTRY"))
LABEL_KINDS = (m.FactKind.PERSONNEL_CLEARANCE, m.FactKind.ATTESTATION)
FIGURE_KINDS = (m.FactKind.FOREIGN_SHARE_PERCENT, m.FactKind.CARBON_GCO2_PER_KWH, m.FactKind.RENEWABLE_PERCENT)


def _facts(proof: st.SearchStrategy[m.Evidence]) -> st.SearchStrategy[m.Fact]:
    return st.one_of(
        st.builds(m.Fact, st.sampled_from(COUNTRY_KINDS), countries, proof),
        st.builds(m.Fact, st.just(m.FactKind.EXTRATERRITORIAL_LAW), laws, proof),
        st.builds(m.Fact, st.sampled_from(LABEL_KINDS), labels, proof),
        st.builds(m.Fact, st.just(m.FactKind.CERTIFICATION), labels, proof, details, details),
        st.builds(m.Fact, st.sampled_from(FIGURE_KINDS), figures, proof),
    )


fact_lists = st.lists(_facts(evidence | sound_evidence), max_size=14).map(tuple)
needs = st.builds(m.CertificationNeed, labels, st.frozensets(details, max_size=2), st.frozensets(details, max_size=2))
shares = st.none() | st.sampled_from((0, 50, 100))
sites = st.builds(m.SiteRule, allow_lists, country_sets)
legals = st.builds(m.LegalRule, allow_lists, st.frozensets(st.sampled_from(("CLOUD", "DSL"))), country_sets, shares)
transits = st.builds(
    m.TransitRule,
    allow_lists,
    st.frozensets(st.sampled_from(("cheap", "dear"))),
    country_sets,
    st.booleans(),
    st.sampled_from(m.UnknownPaths),
)
personnels = st.builds(m.PersonnelRule, allow_lists, country_sets, st.frozensets(labels, max_size=2))
attestations = st.builds(m.AttestationRule, st.lists(st.frozensets(labels, min_size=1), max_size=2).map(tuple))
certifications = st.builds(
    m.CertificationRule, st.lists(st.lists(needs, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple)
)
energies = st.builds(m.EnergyRule, shares, shares)
predicates = st.lists(st.sampled_from(('zone.country == "NO"', '"iso" in zone.certifications')), max_size=2).map(tuple)

policies = st.builds(
    m.ResidencyPolicy,
    st.none() | sites,
    st.none() | legals,
    st.none() | transits,
    st.sampled_from(m.OnChange),
    st.none() | personnels,
    st.none() | attestations,
    st.none() | certifications,
    st.none() | energies,
    predicates,
    st.frozensets(st.sampled_from(m.DataClass), min_size=1),
    st.lists(st.sampled_from(("dora", "gdpr-eea")), unique=True).map(tuple),
)

links = st.builds(
    lambda crossed, carrier, encryption, kind: m.NetworkLink(
        "a--b",
        "a",
        "b",
        0,
        m.RoundTrip(1, 1, 1, m.LatencyBasis.MODELLED),
        crossed,
        carrier,
        kind,
        encryption=encryption,
    ),
    st.none() | country_sets.map(lambda found: tuple(sorted(found))),
    st.sampled_from(("", "cheap", "dear", "fair")),
    st.sampled_from(m.LinkEncryption),
    st.sampled_from(m.LinkKind),
)
nodes = st.builds(
    lambda country, at_sea: m.NetworkNode("n", "N", country, 0.0, 0.0, access_point=False, at_sea=at_sea),
    st.none() | countries,
    st.booleans(),
)
sources = st.builds(m.DataSource, st.just("s"), st.just("n"), st.none() | countries, st.sampled_from(m.DataClass))
