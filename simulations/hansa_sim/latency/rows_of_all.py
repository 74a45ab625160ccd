"""Zones and access points of several apps, as those of all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hansa_sim.engines.measured import Stability
from hansa_sim.latency.results import PointResult, Row, ZoneResult

WORST_FIRST = (Stability.UNSTABLE, Stability.STABLE, Stability.IDLE)


def zones_of_all(rows: Sequence[Row], joined: Sequence[int]) -> tuple[ZoneResult, ...]:
    """Each zone with what runs of all apps; utilisation is by servers, waits and shares are by requests, of which
    ``joined`` came to the zones of each app.
    """
    every = max(sum(joined), 1)
    shares = [count / every for count in joined]
    return tuple(_zone([row.zones[at] for row in rows], shares) for at in range(len(rows[0].zones)))


def _zone(parts: Sequence[ZoneResult], shares: Sequence[float]) -> ZoneResult:
    servers = sum(part.servers for part in parts)
    came = [part.request_share * share for part, share in zip(parts, shares, strict=True)]
    waited = [(part.wait_ms, share) for part, share in zip(parts, came, strict=True) if part.wait_ms is not None]
    seen = sum(share for _, share in waited)
    return ZoneResult(
        zone=parts[0].zone,
        replicas=sum(part.replicas for part in parts),
        servers=servers,
        request_share=sum(came),
        utilisation=sum(part.servers * part.utilisation for part in parts) / servers if servers else 0.0,
        wait_ms=sum(wait * share for wait, share in waited) / seen if seen else None,
        stability=next(label.value for label in WORST_FIRST if label.value in {part.stability for part in parts}),
    )


def points_of_all(rows: Mapping[str, Row]) -> tuple[PointResult, ...]:
    """Each access point with its users of all apps: the zone of those who ask most, and whom nobody serves."""
    found: dict[str, list[tuple[str, PointResult]]] = {}
    for app, row in rows.items():
        for point in row.points:
            found.setdefault(point.access_point, []).append((app, point))
    return tuple(_point(each) for _, each in sorted(found.items()))


def _point(parts: Sequence[tuple[str, PointResult]]) -> PointResult:
    """Means are of those who were served, and weighted by how many these are."""
    points = [point for _, point in parts]
    served = [
        (point.mean_ms, point.requests_per_s * (1 - point.lost_share)) for point in points if point.mean_ms is not None
    ]
    rate = sum(each for _, each in served)
    return PointResult(
        access_point=points[0].access_point,
        requests_per_s=sum(point.requests_per_s for point in points),
        zone=max(points, key=lambda point: (bool(point.zone), point.requests_per_s)).zone,
        mean_ms=sum(mean * each for mean, each in served) / rate if rate else None,
        why_not="; ".join(f"{app}: {point.why_not}" for app, point in parts if point.why_not),
        lost_share=sum(point.lost_share * point.requests_per_s for point in points)
        / sum(point.requests_per_s for point in points),
    )
