"""The immutable world that a decision is made on.

A ``Snapshot`` is rebuilt at every change of capacity, so it is thin: zones and a reference to a ``Network``. The
network (nodes, links and their arrays) changes rarely, is costly to build, and is shared by all snapshots between two
changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter

from hansa_control.domain.columns import Columns, build_columns, changed_rows, patch_columns
from hansa_control.domain.containers import Memo
from hansa_control.domain.graphs import from_networkx, to_networkx
from hansa_control.domain.model import NetworkLink, NetworkNode, ProbeResult, RoundTrip, Zone, ZoneId
from hansa_control.domain.network import Network, attachment_of, build_network, effective_rtt, slower

__all__ = [
    "Measured",
    "Memo",
    "Network",
    "Snapshot",
    "assemble_snapshot",
    "attachment_of",
    "build_network",
    "build_snapshot",
    "effective_rtt",
    "from_networkx",
    "to_networkx",
]


SAMPLES_BEYOND_MIN = 10
"""How many probes must lie beyond a percentile for it to mean something."""

KNOWLEDGE_WEIGHT_MAX = 2_000_000
MEASURED_WEIGHT_MAX = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What agents probed, and what follows for paths: by zone, the slowest round trip from a zone at each node.

    Each probe's percentiles are read for what its own samples support, before the slowest is taken: else a probe of few
    samples would hide one of many, or lend itself their weight.
    """

    probes: tuple[ProbeResult, ...] = ()
    floors: Mapping[ZoneId, Mapping[str, RoundTrip]] = field(default_factory=dict)
    kept: Memo = field(default_factory=lambda: Memo(MEASURED_WEIGHT_MAX), repr=False)

    @classmethod
    def between(cls, probes: Iterable[ProbeResult], zones: Iterable[Zone]) -> Measured:
        """Probes between these zones; a round trip bounds both directions. Others are kept and bound nothing."""
        kept = tuple(probes)
        node_of = {zone.id: zone.inventory.node for zone in zones}
        floors: dict[ZoneId, dict[str, RoundTrip]] = {}
        for probe in kept:
            rtt = supported(probe.rtt)
            pairs = ((probe.source_zone, probe.target_zone), (probe.target_zone, probe.source_zone))
            for near, far in pairs if probe.source_zone in node_of and probe.target_zone in node_of else ():
                known = floors.setdefault(far, {})
                former = known.get(node_of[near])
                known[node_of[near]] = slower(former, rtt) if former else rtt
        return cls(kept, floors)


def supported(measured: RoundTrip) -> RoundTrip:
    """A measurement with the median for each percentile beyond which too few probes lie to mean something."""
    at = {p: measured.sample_count * (100 - p) // 100 >= SAMPLES_BEYOND_MIN for p in (95, 99)}
    if all(at.values()):
        return measured
    p95_us = measured.p95_us if at[95] else measured.p50_us
    return replace(measured, p95_us=p95_us, p99_us=measured.p99_us if at[99] else measured.p50_us)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Zones sorted by id on a network, with what agents measured, as of taken_at_ms (wall clock, UTC).

    own is the operator whose view it is; promises is what it holds against others for promises that they broke,
    thousandths by operator, sorted; places_checked says whether its probes refute claimed places. columns are the
    zones once more, as arrays. knowledge holds what was worked out about law and facts; it outlives the snapshot,
    because facts change far less often than capacity or links.
    """

    generation: int
    network: Network
    measured: Measured
    taken_at_ms: int
    columns: Columns = field(repr=False)
    index: Mapping[ZoneId, int] = field(repr=False)
    knowledge: Memo = field(repr=False)
    own: str = ""
    places_checked: bool = True
    promises: tuple[tuple[str, int], ...] = ()

    @property
    def zones(self) -> tuple[Zone, ...]:
        return self.columns.zones

    @property
    def probes(self) -> tuple[ProbeResult, ...]:
        return self.measured.probes

    @property
    def nodes(self) -> tuple[NetworkNode, ...]:
        return tuple(self.network.nodes)

    @property
    def links(self) -> tuple[NetworkLink, ...]:
        return tuple(self.network.links)

    def zone(self, zone_id: ZoneId) -> Zone | None:
        """The zone of that id, or None."""
        row = self.index.get(zone_id)
        return None if row is None else self.columns.zones[row]

    def with_zones(self, generation: int, zones: Iterable[Zone], taken_at_ms: int) -> Snapshot:
        """A later snapshot with other zones on the same network and probes; cheap where few of them are new values."""
        return self.updated(generation, zones, taken_at_ms)

    def with_changed(self, generation: int, changed: Iterable[Zone], taken_at_ms: int) -> Snapshot:
        """A later snapshot in which these zones, all of them known, have changed; the cheapest way."""
        rows = {self.index[zone.id]: zone for zone in changed}
        columns = patch_columns(self.columns, rows)
        return replace(self, generation=generation, columns=columns, taken_at_ms=taken_at_ms)

    def updated(
        self,
        generation: int,
        zones: Iterable[Zone],
        taken_at_ms: int,
        network: Network | None = None,
        measured: Measured | None = None,
    ) -> Snapshot:
        """A later snapshot; what is not given stays, and so does what is known of zones that are the same value."""
        ordered = _by_id(zones)
        changed = changed_rows(self.columns, ordered)
        later = replace(
            self,
            generation=generation,
            network=network or self.network,
            measured=measured or self.measured,
            taken_at_ms=taken_at_ms,
        )
        if changed is None:
            return replace(later, columns=build_columns(ordered), index=_index(ordered))
        return replace(later, columns=patch_columns(self.columns, changed))


def build_snapshot(
    generation: int,
    zones: Iterable[Zone],
    nodes: Iterable[NetworkNode],
    links: Iterable[NetworkLink],
    taken_at_ms: int,
) -> Snapshot:
    """A snapshot from its parts, without probes (``assemble_snapshot`` takes them, on a network that is kept).

    Of things with the same name the first given stays, so give your own first.
    """
    return assemble_snapshot(generation, zones, build_network(generation, nodes, links), Measured(), taken_at_ms)


def assemble_snapshot(
    generation: int, zones: Iterable[Zone], network: Network, measured: Measured, taken_at_ms: int
) -> Snapshot:
    """A snapshot on a network that is already built, with what was probed."""
    ordered = _by_id(zones)
    columns = build_columns(ordered)
    return Snapshot(generation, network, measured, taken_at_ms, columns, _index(ordered), Memo(KNOWLEDGE_WEIGHT_MAX))


def _by_id(zones: Iterable[Zone]) -> list[Zone]:
    """Zones in the order of their ids; of those with the same id the first."""
    ordered = sorted(zones, key=attrgetter("id"))
    return [zone for n, zone in enumerate(ordered) if not n or zone.id != ordered[n - 1].id]


def _index(zones: list[Zone]) -> dict[ZoneId, int]:
    return {zone.id: row for row, zone in enumerate(zones)}
