"""Zones and the network for people."""

from __future__ import annotations

from collections.abc import Iterable

from hansa.cli.documents import Cell, Document, Line, Styled, Table, line
from hansa.cli.figures import age, cpu, date, euro_per_hour, memory, plural, power, rtt_ms
from hansa.cli.output import enum_label
from hansa.cli.view_decision import basis_cell
from hansa.cli.view_upkeep import intake_label, sides_label
from hansa.names import short_zone
from hansa.v1 import common_pb2, network_pb2, workload_service_pb2, zone_pb2

_STATE_STYLE = {"AVAILABLE": "green", "SILENT": "yellow", "STALE": "yellow", "LOST": "red"}
_CONTROL = (
    common_pb2.FACT_KIND_HEADQUARTERS_COUNTRY,
    common_pb2.FACT_KIND_ULTIMATE_PARENT_COUNTRY,
    common_pb2.FACT_KIND_EXTRATERRITORIAL_LAW,
)


def zone_table(zones: Iterable[zone_pb2.Zone], now_ms: int, *, wide: bool) -> Document:
    """One row a zone: where it stands, who controls it, what is free of what it has."""
    rows = tuple(_zone_row(zone, now_ms, wide=wide) for zone in zones)
    if not rows:
        return [line("no zones")]
    headers = ("ZONE", "STATE", "SITE", "CONTROL", "ACCELERATORS FREE", "CPU FREE", "MEMORY FREE", "PRICE", "HEARD")
    more = ("NODE", "FAILS WITH", "DEVICE POWER", "SOURCE", "ARTEFACTS", "GENERATION", "FACTS", "ORIGIN")
    right, fixed = frozenset({5, 6, 7, 8}), frozenset({0, 1, 2})
    return [Table((*headers, *more) if wide else headers, rows, right=right, fixed=fixed, spare=(7, 6, 5))]


def _zone_row(zone: zone_pb2.Zone, now_ms: int, *, wide: bool) -> tuple[Cell, ...]:
    inventory = zone.inventory
    state = enum_label(zone, "state")
    if state == "AVAILABLE":
        state = _intake(zone)
    country = _values(zone, (common_pb2.FACT_KIND_SITE_COUNTRY,))
    row: tuple[Cell, ...] = (
        short_zone(zone.name),
        Styled(state, _STATE_STYLE.get(state, "yellow")),
        f"{inventory.title}, {country}" if inventory.title else country,
        _values(zone, _CONTROL),
        _accelerators(zone),
        f"{cpu(zone.free.cpu_millis)}/{cpu(inventory.capacity.cpu_millis)}",
        memory(zone.free.memory_mib),
        euro_per_hour(inventory.price_millieur_per_hour),
        age(zone.heard_at_ms, now_ms),
    )
    if not wide:
        return row
    artefacts = ",".join(artefact.name for artefact in inventory.artefacts) or "-"
    facts = "; ".join(_fact(fact) for fact in zone.facts) or "-"
    fails_with = inventory.failure_domain or inventory.node
    watts = power(inventory.device_watts) if inventory.device_watts else "unknown"
    source = f"{inventory.source}, in trouble: {inventory.trouble}" if inventory.trouble else inventory.source
    stands = (inventory.node, fails_with, watts, source, artefacts)
    return (*row, *stands, str(zone.generation), facts, origin_of(zone))


def _intake(zone: zone_pb2.Zone) -> str:
    """How a zone that is heard stands, and who closes it."""
    intake, sides = intake_label(zone.upkeep), sides_label(zone.upkeep)
    if intake != "OPEN":
        return f"{intake} by {sides}" if sides else intake
    return "CORDONED by agent" if zone.inventory.cordoned else "AVAILABLE"


def origin_of(zone: zone_pb2.Zone) -> str:
    """Through whose hands a zone goes, from its owner to the operator that offers it; "-" where that one owns it."""
    if not zone.HasField("origin"):
        return "-"
    return " > ".join((zone.origin.zone, *(handler.operator for handler in zone.origin.handlers)))


def _values(zone: zone_pb2.Zone, kinds: tuple[common_pb2.FactKind.ValueType, ...]) -> str:
    values = [fact.value for kind in kinds for fact in zone.facts if fact.kind == kind and fact.value != "none"]
    return ",".join(dict.fromkeys(values)) or "unknown"


def _accelerators(zone: zone_pb2.Zone) -> str:
    free = {amount.pool: amount.count for amount in zone.free.accelerators}
    pools = []
    for pool in zone.inventory.pools:
        mig = f"/mig-{pool.mig_profile}" if pool.mig_profile else ""
        count = free.get(f"{pool.vendor}/{pool.model}{mig}", 0)
        most = f", {pool.node_count_max} a node" if 0 < pool.node_count_max < pool.count else ""
        pools.append(f"{count}/{pool.count} {pool.model}{mig} {memory(pool.memory_mib)}{most}")
    return ", ".join(pools) or "-"


def _fact(fact: common_pb2.Fact) -> str:
    evidence = fact.evidence
    proof = f"{enum_label(evidence, 'kind').lower()} by {evidence.issuer} until {date(evidence.valid_until_ms)}"
    return f"{enum_label(fact, 'kind').lower()}={fact.value} ({proof})"


def network_document(
    network: workload_service_pb2.GetNetworkResponse, now_ms: int, *, probes: bool, wide: bool
) -> Document:
    """Links, or with ``probes`` the measurements between zones beside the model; each figure with its basis."""
    nodes, links = len(network.nodes), len(network.links)
    measured = sum(link.rtt.basis == network_pb2.LATENCY_BASIS_MEASURED for link in network.links)
    summary = line(
        Styled(f"generation {network.snapshot_generation}", "bold"),
        f": {plural(nodes, 'node')}, {plural(links, 'link')} ({measured} measured, {links - measured} modelled), "
        f"{plural(len(network.probes), 'probed pair')}",
    )
    if probes:
        return [summary, _probe_table(network, now_ms)] if network.probes else [summary]
    document: list[Line | Table] = [summary]
    if links:
        document.append(_link_table(network, now_ms, wide=wide))
    if wide and nodes:
        document += [line(), _node_table(network)]
    return document


def _link_table(network: workload_service_pb2.GetNetworkResponse, now_ms: int, *, wide: bool) -> Table:
    country_by_node = {node.name: node.country for node in network.nodes}
    rows = tuple(
        (
            link.name,
            enum_label(link, "kind").lower().replace("_", " "),
            f"{link.length_m / 1000:.0f}" if link.length_m else "-",
            _crossed(link, country_by_node),
            link.carrier or "-",
            *_figures(link.rtt),
            _basis(link.rtt),
            age(link.rtt.observed_at_ms, now_ms),
            *(_carried(link) if wide else ()),
        )
        for link in network.links
    )
    more = ("DIRECTION", "MBIT/S", "ENCRYPTION") if wide else ()
    headers = ("LINK", "KIND", "KM", "COUNTRIES", "CARRIER", "RTT p50", "p95", "p99", "BASIS", "AGE")
    right = frozenset({2, 5, 6, 7, 9, 11})
    return Table((*headers, *more), rows, right=right, fixed=frozenset({0, 3}), spare=(9, 7, 2, 1))


def _crossed(link: network_pb2.NetworkLink, country_by_node: dict[str, str]) -> Cell:
    if not link.countries_known:
        return Styled("unknown", "red")
    ends = (country_by_node.get(link.node_a, ""), country_by_node.get(link.node_b, ""))
    return ",".join(sorted({country for country in (*ends, *link.countries) if country})) or "-"


def _carried(link: network_pb2.NetworkLink) -> tuple[str, str, str]:
    """In which direction and how unevenly, how much, and whether encrypted."""
    share_permille = link.forward_permille or 500
    if link.one_way:
        direction = f"one way to {link.node_b}"
    elif share_permille == 500:
        direction = "both"
    else:
        direction = f"{share_permille / 10:g} % to {link.node_b}"
    encryption = enum_label(link, "encryption").lower()
    return direction, f"{link.bandwidth_kbps / 1000:g}" if link.bandwidth_kbps else "unknown", encryption


def _figures(rtt: network_pb2.RoundTrip) -> tuple[str, str, str]:
    return rtt_ms(rtt.p50_us), rtt_ms(rtt.p95_us), rtt_ms(rtt.p99_us)


def _basis(rtt: network_pb2.RoundTrip) -> Cell:
    label = enum_label(rtt, "basis").lower()
    return Styled(f"measured n={rtt.sample_count}", "green") if label == "measured" else basis_cell([label])


def _probe_table(network: workload_service_pb2.GetNetworkResponse, now_ms: int) -> Table:
    has_one_way = any(comparison.measured.HasField("one_way") for comparison in network.probes)
    rows = tuple(
        (*_probe_row(comparison, now_ms), *((_one_way(comparison.measured),) if has_one_way else ()))
        for comparison in network.probes
    )
    measured = ("PROBED p50", "p95", "JITTER", "LOSS", "BASIS", "AGE")
    one_way = ("ONE WAY THERE, BACK p50",) if has_one_way else ()
    headers = ("FROM", "TO", *measured, "GRAPH p50", "p95", "BASIS", *one_way)
    figures, kept = frozenset({2, 3, 4, 5, 7, 8, 9}), frozenset({0, 1, 6})
    return Table(headers, rows, right=figures, fixed=kept, spare=(4, 7, 5, 3, 9, 10))


def _probe_row(comparison: workload_service_pb2.ProbeComparison, now_ms: int) -> tuple[Cell, ...]:
    probe, model = comparison.measured, comparison.modelled
    known = comparison.HasField("modelled")
    return (
        probe.source_zone,
        _probed(probe),
        rtt_ms(probe.rtt.p50_us),
        rtt_ms(probe.rtt.p95_us),
        rtt_ms(probe.jitter_us),
        f"{probe.loss_permille / 10:.1f} %",
        _basis(probe.rtt),
        age(probe.rtt.observed_at_ms, now_ms),
        rtt_ms(model.p50_us) if known else "-",
        rtt_ms(model.p95_us) if known else "-",
        _basis(model) if known else "no path",
    )


def _probed(probe: network_pb2.ProbeResult) -> str:
    """What answered: a zone, or a node of the network with what it is."""
    if not probe.target_node:
        return probe.target_zone
    kind = network_pb2.ProbedKind.Name(probe.target_kind).removeprefix("PROBED_KIND_").lower().replace("_", " ")
    return f"{probe.target_node} ({kind})"


def _one_way(probe: network_pb2.ProbeResult) -> str:
    """Delays by the clocks of both ends, with by how much they may be off; the clocks often do not allow them."""
    if not probe.HasField("one_way"):
        return "-"
    delay = probe.one_way
    return f"{rtt_ms(delay.there_p50_us)}, {rtt_ms(delay.back_p50_us)} +- {rtt_ms(delay.error_us)}"


def _node_table(network: workload_service_pb2.GetNetworkResponse) -> Table:
    rows = tuple(
        (
            node.name,
            node.title or "-",
            "at sea" if node.at_sea else node.country or "unknown",
            "access point" if node.access_point else "-",
            f"{node.latitude_deg:.3f}, {node.longitude_deg:.3f}",
        )
        for node in network.nodes
    )
    return Table(("NODE", "CITY", "COUNTRY", "ROLE", "LATITUDE, LONGITUDE"), rows)
