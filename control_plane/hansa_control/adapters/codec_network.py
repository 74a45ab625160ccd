"""The network on the wire: nodes, links, round-trip times, probes."""

from __future__ import annotations

from hansa.v1 import network_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.domain.arcs import HALF_PERMILLE
from hansa_control.domain.model import (
    LatencyBasis,
    LinkEncryption,
    LinkKind,
    NetworkLink,
    NetworkNode,
    NodeProbe,
    OneWayDelay,
    ProbedKind,
    ProbeResult,
    RoundTrip,
)

RTT_US_MAX = 3_600_000_000
LENGTH_M_MAX = 100_000_000
COUNT_MAX = 2**31 - 1
BANDWIDTH_KBPS_MAX = 10**12

LATENCY_BASES = fields.EnumCodec(LatencyBasis, network_pb2.LatencyBasis, "LATENCY_BASIS")
PROBED_KINDS = fields.EnumCodec(ProbedKind, network_pb2.ProbedKind, "PROBED_KIND")
LINK_KINDS = fields.EnumCodec(LinkKind, network_pb2.LinkKind, "LINK_KIND")
LINK_ENCRYPTIONS = fields.EnumCodec(LinkEncryption, network_pb2.LinkEncryption, "LINK_ENCRYPTION")


def round_trip_in(wire: network_pb2.RoundTrip, path: str) -> RoundTrip:
    """A distribution whose percentiles do not fall."""
    p50_us = fields.range_in(wire.p50_us, (0, RTT_US_MAX), f"{path}.p50_us")
    p95_us = fields.range_in(wire.p95_us, (p50_us, RTT_US_MAX), f"{path}.p95_us")
    return RoundTrip(
        p50_us=p50_us,
        p95_us=p95_us,
        p99_us=fields.range_in(wire.p99_us, (p95_us, RTT_US_MAX), f"{path}.p99_us"),
        basis=LATENCY_BASES.read(wire.basis, f"{path}.basis"),
        sample_count=fields.range_in(wire.sample_count, (0, COUNT_MAX), f"{path}.sample_count"),
        observed_at_ms=fields.time_ms_in(wire.observed_at_ms, f"{path}.observed_at_ms"),
    )


def round_trip_out(rtt: RoundTrip) -> network_pb2.RoundTrip:
    return network_pb2.RoundTrip(
        p50_us=rtt.p50_us,
        p95_us=rtt.p95_us,
        p99_us=rtt.p99_us,
        basis=LATENCY_BASES.out(rtt.basis),
        sample_count=rtt.sample_count,
        observed_at_ms=rtt.observed_at_ms,
    )


def node_in(wire: network_pb2.NetworkNode, path: str) -> NetworkNode:
    """A node; one at sea has no country and lets nobody in."""
    if wire.at_sea and (wire.country or wire.access_point):
        what = "country" if wire.country else "access_point"
        raise fields.refused(f"{path}.{what}", "is set on a node at sea")
    return NetworkNode(
        name=fields.network_name_in(wire.name, f"{path}.name"),
        title=fields.text_in(wire.title, f"{path}.title"),
        country=fields.country_in(wire.country, f"{path}.country") if wire.country else None,
        latitude_deg=fields.degrees_in(wire.latitude_deg, 90.0, f"{path}.latitude_deg"),
        longitude_deg=fields.degrees_in(wire.longitude_deg, 180.0, f"{path}.longitude_deg"),
        access_point=wire.access_point,
        at_sea=wire.at_sea,
        coarse=wire.coarse,
    )


def node_out(node: NetworkNode) -> network_pb2.NetworkNode:
    return network_pb2.NetworkNode(
        name=node.name,
        title=node.title,
        country=node.country or "",
        latitude_deg=node.latitude_deg,
        longitude_deg=node.longitude_deg,
        access_point=node.access_point,
        at_sea=node.at_sea,
        coarse=node.coarse,
    )


def link_in(wire: network_pb2.NetworkLink, path: str) -> NetworkLink:
    """A link between two different nodes. Countries that are not known must not be listed."""
    if wire.node_a == wire.node_b:
        raise fields.refused(f"{path}.node_b", f"{wire.node_b!r} is the other end as well")
    if wire.countries and not wire.countries_known:
        raise fields.refused(f"{path}.countries", "are listed although countries_known is not set")
    countries = fields.countries_in(wire.countries, f"{path}.countries")
    return NetworkLink(
        name=fields.network_name_in(wire.name, f"{path}.name"),
        node_a=fields.network_name_in(wire.node_a, f"{path}.node_a"),
        node_b=fields.network_name_in(wire.node_b, f"{path}.node_b"),
        length_m=fields.range_in(wire.length_m, (0, LENGTH_M_MAX), f"{path}.length_m"),
        rtt=round_trip_in(wire.rtt, f"{path}.rtt"),
        countries=countries if wire.countries_known else None,
        carrier=fields.network_name_in(wire.carrier, f"{path}.carrier"),
        kind=LINK_KINDS.read(wire.kind, f"{path}.kind"),
        forward_permille=_share_in(wire.forward_permille, f"{path}.forward_permille"),
        one_way=wire.one_way,
        bandwidth_kbps=fields.range_in(wire.bandwidth_kbps, (0, BANDWIDTH_KBPS_MAX), f"{path}.bandwidth_kbps"),
        encryption=LINK_ENCRYPTIONS.read_or(wire.encryption, LinkEncryption.UNKNOWN),
    )


def _share_in(permille: int, path: str) -> int:
    """The share of the way from node_a to node_b; 0, which older senders leave it at, is half."""
    return fields.range_in(permille, (1, 999), path) if permille else HALF_PERMILLE


def link_out(link: NetworkLink) -> network_pb2.NetworkLink:
    return network_pb2.NetworkLink(
        name=link.name,
        node_a=link.node_a,
        node_b=link.node_b,
        length_m=link.length_m,
        rtt=round_trip_out(link.rtt),
        countries=link.countries or (),
        countries_known=link.countries is not None,
        carrier=link.carrier,
        kind=LINK_KINDS.out(link.kind),
        forward_permille=link.forward_permille,
        one_way=link.one_way,
        bandwidth_kbps=link.bandwidth_kbps,
        encryption=LINK_ENCRYPTIONS.out(link.encryption),
    )


def probe_in(wire: network_pb2.ProbeResult, path: str) -> ProbeResult | NodeProbe:
    """A measurement, to a zone or to a node; its basis must say so."""
    rtt = round_trip_in(wire.rtt, f"{path}.rtt")
    if rtt.basis is not LatencyBasis.MEASURED:
        raise fields.refused(f"{path}.rtt.basis", f"{rtt.basis} is not MEASURED")
    if wire.target_node:
        return _node_probe_in(wire, rtt, path)
    return ProbeResult(
        source_zone=fields.zone_id_in(wire.source_zone, f"{path}.source_zone"),
        target_zone=fields.zone_id_in(wire.target_zone, f"{path}.target_zone"),
        rtt=rtt,
        min_us=fields.range_in(wire.min_us, (0, RTT_US_MAX), f"{path}.min_us"),
        jitter_us=fields.range_in(wire.jitter_us, (0, RTT_US_MAX), f"{path}.jitter_us"),
        loss_permille=fields.range_in(wire.loss_permille, (0, 1000), f"{path}.loss_permille"),
        one_way=_one_way_in(wire.one_way, f"{path}.one_way") if wire.HasField("one_way") else None,
    )


def _node_probe_in(wire: network_pb2.ProbeResult, rtt: RoundTrip, path: str) -> NodeProbe:
    if wire.target_zone:
        raise fields.refused(f"{path}.target_node", "is set beside target_zone")
    return NodeProbe(
        source_zone=fields.zone_id_in(wire.source_zone, f"{path}.source_zone"),
        kind=PROBED_KINDS.read(wire.target_kind, f"{path}.target_kind"),
        probed_node=fields.network_name_in(wire.target_node, f"{path}.target_node"),
        rtt=rtt,
        min_us=fields.range_in(wire.min_us, (0, RTT_US_MAX), f"{path}.min_us"),
        jitter_us=fields.range_in(wire.jitter_us, (0, RTT_US_MAX), f"{path}.jitter_us"),
        loss_permille=fields.range_in(wire.loss_permille, (0, 1000), f"{path}.loss_permille"),
        one_way=_one_way_in(wire.one_way, f"{path}.one_way") if wire.HasField("one_way") else None,
    )


def _one_way_in(wire: network_pb2.OneWayDelay, path: str) -> OneWayDelay:
    """Delays that are larger than what their clocks may be off."""
    bounds = (0, RTT_US_MAX)
    found = OneWayDelay(
        there_p50_us=fields.range_in(wire.there_p50_us, bounds, f"{path}.there_p50_us"),
        there_p95_us=fields.range_in(wire.there_p95_us, bounds, f"{path}.there_p95_us"),
        back_p50_us=fields.range_in(wire.back_p50_us, bounds, f"{path}.back_p50_us"),
        back_p95_us=fields.range_in(wire.back_p95_us, bounds, f"{path}.back_p95_us"),
        error_us=fields.range_in(wire.error_us, bounds, f"{path}.error_us"),
        sample_count=fields.range_in(wire.sample_count, (1, 2**31 - 1), f"{path}.sample_count"),
    )
    if found.error_us >= min(found.there_p50_us, found.back_p50_us):
        raise fields.refused(f"{path}.error_us", f"{found.error_us} is not smaller than the delays")
    return found


def _one_way_out(one_way: OneWayDelay) -> network_pb2.OneWayDelay:
    return network_pb2.OneWayDelay(
        there_p50_us=one_way.there_p50_us,
        there_p95_us=one_way.there_p95_us,
        back_p50_us=one_way.back_p50_us,
        back_p95_us=one_way.back_p95_us,
        error_us=one_way.error_us,
        sample_count=one_way.sample_count,
    )


def probe_out(probe: ProbeResult | NodeProbe) -> network_pb2.ProbeResult:
    told = network_pb2.ProbeResult(
        source_zone=str(probe.source_zone),
        rtt=round_trip_out(probe.rtt),
        min_us=probe.min_us,
        jitter_us=probe.jitter_us,
        loss_permille=probe.loss_permille,
        one_way=None if probe.one_way is None else _one_way_out(probe.one_way),
    )
    if isinstance(probe, NodeProbe):
        told.target_node, told.target_kind = probe.probed_node, PROBED_KINDS.out(probe.kind)
    else:
        told.target_zone = str(probe.target_zone)
    return told
