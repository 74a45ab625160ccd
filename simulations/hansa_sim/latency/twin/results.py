"""What came of a twin: for each access point what was predicted, what was measured, and by how much they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from rich.table import Table

from hansa_sim.latency.twin.predicted import PERCENTS, Percentiles

FORMAT_VERSION = 1
WITHIN_PERCENT = {50.0: 10.0, 95.0: 15.0}
"""By how much a prediction may miss at a percentile; the others are shown, not judged."""


@dataclass(frozen=True, slots=True)
class Point:
    """An access point: the zones that serve it, requests in the window and those of all that failed, and percentiles at
    ``PERCENTS``, ms.
    """

    access_point: str
    zones: tuple[str, ...]
    requests_per_s: float
    requests: int
    failed: int
    predicted_ms: Percentiles
    measured_ms: Percentiles

    @property
    def misses_percent(self) -> Percentiles:
        """How much more was measured than predicted, percent of what was predicted."""
        return tuple(100 * (m / p - 1) for p, m in zip(self.predicted_ms, self.measured_ms, strict=True))

    @property
    def is_within(self) -> bool:
        """Whether the prediction holds: every judged percentile within its bound, and every request answered."""
        missed = dict(zip(PERCENTS, self.misses_percent, strict=True))
        return not self.failed and all(abs(missed[percent]) <= most for percent, most in WITHIN_PERCENT.items())


@dataclass(frozen=True, slots=True)
class Account:
    """What the measuring itself did: packets relayed and lost, how late the relay released them and users sent, us."""

    packets: int
    lost: int
    released_late_us: Mapping[str, float]
    sent_late_us_p99: float


@dataclass(frozen=True, slots=True)
class TwinResult:
    """A twin that has run. replicas are by zone, as the real control planes placed them; differs says where that is
    another plan than the simulation's, which is the prediction's first part.
    """

    scenario: str
    seed: int
    seconds: float
    hosts: int
    replicas: Mapping[str, int]
    differs: tuple[str, ...]
    points: tuple[Point, ...]
    left_out: Mapping[str, str]
    failures: Mapping[str, int]
    account: Account
    version: int = FORMAT_VERSION

    @property
    def holds(self) -> bool:
        """Whether everything that was predicted came so; where nobody was driven, nothing did."""
        return bool(self.points) and not self.differs and all(point.is_within for point in self.points)


def as_json(result: TwinResult) -> dict[str, Any]:
    """Plain values; figures that were not measured are null."""
    document: dict[str, Any] = asdict(result)
    for point, row in zip(result.points, document["points"], strict=True):
        row |= {"misses_percent": point.misses_percent, "within": point.is_within}
        for key in ("predicted_ms", "measured_ms", "misses_percent"):
            row[key] = [round(value, 4) if isfinite(value) else None for value in row[key]]
    return document | {"percents": list(PERCENTS), "within_percent": WITHIN_PERCENT, "holds": result.holds}


def table_of(result: TwinResult) -> Table:
    """One row for each access point: predicted / measured at each percentile, and the difference."""
    table = Table(title=f"{result.scenario}: predicted / measured, ms", title_justify="left")
    table.add_column("USERS AT")
    table.add_column("ZONE")
    for header in ("REQ/S", "REQUESTS", *(f"p{percent:g}" for percent in PERCENTS), "WITHIN"):
        table.add_column(header, justify="right")
    for point in result.points:
        figures = zip(point.predicted_ms, point.measured_ms, point.misses_percent, strict=True)
        cells = [f"{predicted:.1f} / {measured:.1f}  {miss:+.1f} %" for predicted, measured, miss in figures]
        within = "yes" if point.is_within else "NO"
        first = (point.access_point, ", ".join(point.zones), f"{point.requests_per_s:g}", str(point.requests))
        table.add_row(*first, *cells, within)
    return table


def words_of(result: TwinResult) -> Iterator[str]:
    """What stands below the table."""
    placed = ", ".join(f"{zone} x {count}" for zone, count in sorted(result.replicas.items()))
    yield f"Placed by the control planes: {placed}" + ("." if result.differs else ", as the simulation had planned.")
    yield from (f"Other than planned: {words}" for words in result.differs)
    yield from (f"Not driven: {point}: {why}." for point, why in sorted(result.left_out.items()))
    failed = sum(point.failed for point in result.points)
    if failed:
        seen = "; ".join(f"{count} x {what}" for what, count in sorted(result.failures.items()))
        yield f"{failed} requests failed: {seen}."
    bounds = ", ".join(f"{most:g} % at p{percent:g}" for percent, most in WITHIN_PERCENT.items())
    count = sum(point.is_within for point in result.points)
    yield f"{count} of {len(result.points)} access points within {bounds}."
    if not result.points:
        yield "No access point was driven: nothing is known of the prediction."
    account, late = result.account, result.account.released_late_us
    yield (
        f"{account.packets} packets relayed, {account.lost} lost; released {late['p50']:.0f} us late in the median, "
        f"{late['p99']:.0f} us at p99; requests sent {account.sent_late_us_p99:.0f} us late at p99, which counts."
    )
