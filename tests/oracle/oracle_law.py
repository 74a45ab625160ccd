"""What the documents say of facts: which parts of a residency policy refuse a zone, and for which reasons.

Written from docs/residency.md and the docstrings of the values, in plain Python. It shares nothing with the engine but
the values themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from functools import partial
from math import asin, cos, radians, sin, sqrt
from re import fullmatch

from hansa_control.domain.model import (
    CertificationNeed,
    Fact,
    FactKind,
    NetworkNode,
    Reason,
    ResidencyPolicy,
    WorkloadSpec,
    Zone,
    ZoneId,
)
from oracle_worlds import World

Fault = tuple[str, Reason]
R = Reason


def allows(rule: object, country: str) -> bool:
    """Whether a rule on countries lets one pass; no list of allowed ones is every country that is not denied."""
    allowed, denied = rule.countries_allowed, rule.countries_denied  # type: ignore[attr-defined]
    return country not in denied and (allowed is None or country in allowed)


def standing(fact: Fact, now_ms: int) -> str:
    """valid, expired (ended or not begun), or unknown (without begin or end)."""
    begin, end = fact.evidence.valid_from_ms, fact.evidence.valid_until_ms
    if begin <= 0 or end <= 0:
        return "unknown"
    return "valid" if begin <= now_ms < end else "expired"


def of_kind(facts: Iterable[Fact], kind: FactKind, now_ms: int) -> dict[str, list[Fact]]:
    """Facts of a kind by standing; one that does not hold now and is restated by a valid one is left out."""
    mine = [fact for fact in facts if fact.kind == kind]
    valid = [fact for fact in mine if standing(fact, now_ms) == "valid"]
    stated = [(fact.value, fact.version, fact.level) for fact in valid]
    found: dict[str, list[Fact]] = {"valid": valid, "expired": [], "unknown": []}
    for fact in mine:
        how = standing(fact, now_ms)
        if how != "valid" and (fact.value, fact.version, fact.level) not in stated:
            found[how].append(fact)
    return found


def _state(
    facts: dict[str, list[Fact]], allowed: Callable[[str], bool], reasons: tuple[Reason, Reason], single: bool
) -> set[Reason]:
    """What somebody or something is: tested as a whole. reasons are for denied and for unknown."""
    denied, unknown = reasons
    found = set()
    if facts["expired"]:
        found.add(R.FACT_EXPIRED)
    if facts["unknown"] or not any(facts.values()):
        found.add(unknown)
    if any(not allowed(fact.value) for fact in facts["valid"]):
        found.add(denied)
    if single and len({fact.value for fact in facts["valid"]}) > 1:
        found.add(unknown)
    return found


def _figure(
    facts: dict[str, list[Fact]],
    read: Callable[[str], Hashable | None],
    fits: Callable[[str], bool],
    reasons: tuple[Reason, Reason],
) -> set[Reason]:
    """A number: one that cannot be read is unknown, two that differ contradict each other."""
    denied, unknown = reasons
    readable = [fact for fact in facts["valid"] if read(fact.value) is not None]
    found = set()
    if facts["expired"]:
        found.add(R.FACT_EXPIRED)
    if facts["unknown"] or not any(facts.values()) or len(readable) < len(facts["valid"]):
        found.add(unknown)
    if len({read(fact.value) for fact in readable}) > 1:
        found.add(unknown)
    if any(not fits(fact.value) for fact in readable):
        found.add(denied)
    return found


def _proof(
    facts: dict[str, list[Fact]], fits: Callable[[Fact], bool], missing: Reason, unknown: Reason | None = None
) -> set[Reason]:
    """What is proved: one valid proof is enough. missing is said where none is there, unknown where it lacks dates."""
    if any(fits(fact) for fact in facts["valid"]):
        return set()
    found = set()
    if any(fits(fact) for fact in facts["expired"]):
        found.add(R.FACT_EXPIRED)
    if any(fits(fact) for fact in facts["unknown"]):
        found.add(unknown or missing)
    return found or {missing}


def capitals(name: str) -> str:
    """Names are compared without regard to capitals and blanks around them."""
    return name.strip().upper()


def share_of(text: str) -> float | None:
    """A percentage from 0 to 100 with at most two decimals."""
    return float(text) if fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", text) and float(text) <= 100 else None


def number_of(text: str) -> int | None:
    """A whole number, zero or more."""
    return int(text) if fullmatch(r"[0-9]{1,9}", text) else None


def law_faults(world: World, zone: Zone) -> set[Fault]:
    """Every part of the policy that refuses a zone, the path apart."""
    return fact_faults(world.spec, zone, world.now_ms) | location_faults(world, zone)


def fact_faults(spec: WorkloadSpec, zone: Zone, now_ms: int) -> set[Fault]:
    """Every part of the policy on facts, and on data sources, that refuses a zone."""
    policy, facts = spec.residency, zone.facts
    found: set[Fault] = set()

    def add(constraint: str, reasons: Iterable[Reason]) -> None:
        found.update((constraint, reason) for reason in reasons)

    if (site := policy.site) is not None:
        reasons = (R.SITE_COUNTRY_DENIED, R.SITE_COUNTRY_UNKNOWN)
        country = of_kind(facts, FactKind.SITE_COUNTRY, now_ms)
        add("SiteResidency", _state(country, lambda x: allows(site, x), reasons, single=True))
        for source in spec.data_sources:
            if source.data in policy.applies_to:
                if source.country is None:
                    add("SiteResidency", [R.SITE_COUNTRY_UNKNOWN])
                elif not allows(site, source.country):
                    add("SiteResidency", [R.SITE_COUNTRY_DENIED])
    add("LegalControl", _legal(policy, facts, now_ms))
    add("Personnel", _personnel(policy, facts, now_ms))
    for technologies in policy.attestation.required if policy.attestation else ():
        wanted = {capitals(name) for name in technologies}
        proofs = of_kind(facts, FactKind.ATTESTATION, now_ms)
        add("Attestation", _proof(proofs, lambda x, w=wanted: capitals(x.value) in w, R.ATTESTATION_MISSING))  # type: ignore[misc]
    for needs in policy.certification.required if policy.certification else ():
        proofs = of_kind(facts, FactKind.CERTIFICATION, now_ms)
        add("Certification", _proof(proofs, lambda x, n=needs: any(_meets(x, y) for y in n), R.CERTIFICATION_MISSING))  # type: ignore[misc]
    add("Energy", _energy(policy, facts, now_ms))
    for text in policy.predicates:
        outcome = predicate(text, zone, now_ms)
        add("Predicate", [] if outcome else [R.PREDICATE_FAILED if outcome is None else R.PREDICATE_FALSE])
    return found


def _legal(policy: ResidencyPolicy, facts: tuple[Fact, ...], now_ms: int) -> set[Reason]:
    rule, reasons = policy.legal, (R.LEGAL_CONTROL_DENIED, R.LEGAL_CONTROL_UNKNOWN)
    if rule is None:
        return set()
    found: set[Reason] = set()
    for kind, single in ((FactKind.HEADQUARTERS_COUNTRY, True), (FactKind.ULTIMATE_PARENT_COUNTRY, False)):
        found |= _state(of_kind(facts, kind, now_ms), lambda x: allows(rule, x), reasons, single)
    if rule.laws_denied:
        denied = {capitals(law) for law in rule.laws_denied}
        laws = of_kind(facts, FactKind.EXTRATERRITORIAL_LAW, now_ms)
        found |= _state(laws, lambda x: capitals(x) not in denied, reasons, single=False)
        names = {capitals(fact.value) for fact in laws["valid"]}
        if "NONE" in names and len(names) > 1:
            found.add(R.LEGAL_CONTROL_UNKNOWN)
    if (most := rule.foreign_share_percent_max) is not None:
        shares = of_kind(facts, FactKind.FOREIGN_SHARE_PERCENT, now_ms)
        found |= _figure(shares, share_of, lambda x: (share_of(x) or 0) <= most, reasons)
    return found


def _personnel(policy: ResidencyPolicy, facts: tuple[Fact, ...], now_ms: int) -> set[Reason]:
    rule, reasons = policy.personnel, (R.PERSONNEL_DENIED, R.PERSONNEL_UNKNOWN)
    if rule is None:
        return set()
    found: set[Reason] = set()
    for kind in (FactKind.OPERATION_COUNTRY, FactKind.SUPPORT_COUNTRY):
        found |= _state(of_kind(facts, kind, now_ms), lambda x: allows(rule, x), reasons, single=False)
    held = of_kind(facts, FactKind.PERSONNEL_CLEARANCE, now_ms)
    for name in rule.clearances_required:
        missing = R.PERSONNEL_DENIED if held["valid"] else R.PERSONNEL_UNKNOWN  # others are stated, this one is not
        fits = partial(_is_named, name)
        found |= _proof(held, fits, missing, R.PERSONNEL_UNKNOWN)
    return found


def _energy(policy: ResidencyPolicy, facts: tuple[Fact, ...], now_ms: int) -> set[Reason]:
    rule, reasons = policy.energy, (R.ENERGY_DENIED, R.ENERGY_UNKNOWN)
    if rule is None:
        return set()
    found: set[Reason] = set()
    for kind, most, least in (
        (FactKind.CARBON_GCO2_PER_KWH, rule.carbon_gco2_per_kwh_max, None),
        (FactKind.RENEWABLE_PERCENT, None, rule.renewable_percent_min),
    ):
        if most is None and least is None:
            continue
        stated = of_kind(facts, kind, now_ms)
        if stated["valid"]:  # a valid figure replaces lapsed ones
            stated = {"valid": stated["valid"], "expired": [], "unknown": []}
        low, high = least or 0, most if most is not None else 10**9
        found |= _figure(stated, number_of, lambda x, a=low, b=high: a <= (number_of(x) or 0) <= b, reasons)  # type: ignore[misc]
    return found


def _is_named(name: str, fact: Fact) -> bool:
    return capitals(fact.value) == capitals(name)


def _meets(fact: Fact, need: CertificationNeed) -> bool:
    versions, levels = {capitals(x) for x in need.versions}, {capitals(x) for x in need.levels}
    return (
        capitals(fact.value) == capitals(need.scheme)
        and (not versions or capitals(fact.version) in versions)
        and (not levels or capitals(fact.level) in levels)
    )


# --- predicates: the few that worlds use, by hand --------------------------------------------------------------------


def predicate(text: str, zone: Zone, now_ms: int) -> bool | None:
    """Whether one of ``PREDICATES`` is true of a zone; None where it cannot be evaluated."""
    if text.startswith("zone.price"):
        return zone.inventory.price_millieur_per_hour < 2_000
    if "in zone.models" in text:
        return "L4" in {pool.model for pool in zone.inventory.pools}
    if text.startswith("zone.operator"):
        return zone.id.operator != "waldnetz"
    if text.startswith("zone.country"):
        country = of_kind(zone.facts, FactKind.SITE_COUNTRY, now_ms)
        known = {fact.value for fact in country["valid"]}
        return None if country["expired"] or country["unknown"] or len(known) != 1 else known == {"NO"}
    laws = of_kind(zone.facts, FactKind.EXTRATERRITORIAL_LAW, now_ms)
    names = {capitals(fact.value) for fact in laws["valid"]}
    if laws["expired"] or laws["unknown"] or not names or ("NONE" in names and len(names) > 1):
        return False
    return "US-CLOUD-ACT" not in names


# --- where a zone can be ---------------------------------------------------------------------------------------------


def location_faults(world: World, zone: Zone) -> set[Fault]:
    """What refutes the place that a zone claims, where the policy asks for places."""
    policy = world.spec.residency
    if policy.site is None and policy.legal is None and policy.transit is None and not policy.predicates:
        return set()
    found: set[Fault] = set()
    nodes = first_of(world.nodes)
    node = nodes.get(zone.inventory.node)
    claimed = of_kind(zone.facts, FactKind.SITE_COUNTRY, world.now_ms)["valid"]
    if node is not None and node.country is not None and any(fact.value != node.country for fact in claimed):
        found.add(("Location", R.SITE_COUNTRY_UNKNOWN))
    if node is not None and node.at_sea:
        found.add(("Location", R.SITE_COUNTRY_UNKNOWN))
    zones: dict[ZoneId, Zone] = {}
    for other in world.zones:
        zones.setdefault(other.id, other)
    for probe in world.probes:
        near, far = zones.get(probe.source_zone), zones.get(probe.target_zone)
        if near is None or far is None or probe.min_us <= 0 or zone.id not in _accused(world.home, near.id, far.id):
            continue
        one, other_node = nodes.get(near.inventory.node), nodes.get(far.inventory.node)
        if one is not None and other_node is not None:
            # 206 km a millisecond, there and back, less 0.6 % of the way and 50 km for both ends.
            least_us = (int(kilometres(one, other_node)) * 0.994 - 50) * 2 / 206 * 1_000
            if probe.min_us < int(least_us):
                found.add(("Location", R.LOCATION_IMPLAUSIBLE))
    return found


def _accused(own: str, source: ZoneId, target: ZoneId) -> set[ZoneId]:
    if source.operator == target.operator:
        return {source, target} if source != target else set()
    return {zone for zone in (source, target) if zone.operator != own and own in (source.operator, target.operator)}


def kilometres(one: NetworkNode, other: NetworkNode) -> float:
    """The great circle between two nodes; 0 where a place is not given."""
    places = [(node.latitude_deg, node.longitude_deg) for node in (one, other)]
    if (0.0, 0.0) in places:
        return 0.0
    (a, b), (c, d) = [(radians(x), radians(y)) for x, y in places]
    chord = sin((c - a) / 2) ** 2 + cos(a) * cos(c) * sin((d - b) / 2) ** 2
    return 2 * 6371.0088 * asin(min(1.0, sqrt(chord)))


def first_of(nodes: Iterable[NetworkNode]) -> dict[str, NetworkNode]:
    """Nodes by name; of those with the same name the first."""
    found: dict[str, NetworkNode] = {}
    for node in nodes:
        found.setdefault(node.name, node)
    return found
