"""What is decided on a zone's taking in workloads, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hansa.cli.documents import Document, Line, Styled, Table, line
from hansa.cli.figures import plural, timestamp
from hansa.cli.output import enum_label
from hansa.names import short_workload
from hansa.v1 import zone_pb2, zone_service_pb2

_WORDS = {
    "OPEN": "takes in workloads",
    "CORDONED": "takes in nothing new",
    "MAINTENANCE": "takes in nothing new: maintenance is announced",
    "DRAINING": "is being emptied",
    "UNSTEADY": "is held down for a while, since it has come and gone repeatedly",
}


def intake_label(upkeep: zone_pb2.ZoneUpkeep) -> str:
    """OPEN, CORDONED, MAINTENANCE or DRAINING."""
    return enum_label(upkeep, "intake") if upkeep.intake else "OPEN"


def sides_label(upkeep: zone_pb2.ZoneUpkeep) -> str:
    """Whose decision it is that the zone is closed: operator, site, or both; empty if nobody's."""
    return " and ".join(zone_pb2.ZoneSide.Name(side).removeprefix("ZONE_SIDE_").lower() for side in upkeep.sides)


def upkeep_line(zone: str, upkeep: zone_pb2.ZoneUpkeep) -> Line:
    """One sentence on a zone."""
    by = "until" if upkeep.intake == zone_pb2.ZONE_INTAKE_UNSTEADY else "to be empty by"
    due = f", {by} {timestamp(upkeep.due_ms)}" if upkeep.due_ms else ""
    why = f" ({upkeep.note})" if upkeep.note else ""
    sides = sides_label(upkeep)
    asked = f", as {sides} {'ask' if len(upkeep.sides) > 1 else 'asks'}" if sides else ""
    return line(Styled(zone, "bold"), f" {_WORDS.get(intake_label(upkeep), intake_label(upkeep))}{due}{asked}{why}")


def upkeep_document(zone: str, seen: zone_service_pb2.GetZoneUpkeepResponse) -> Document:
    """What was decided, the windows, and what is in the zone."""
    windows = seen.upkeep.windows
    rows = tuple((timestamp(one.from_ms), timestamp(one.until_ms), one.note or "-") for one in windows)
    announced = [Table(("FROM", "UNTIL", "WHY"), rows, fixed=frozenset({0, 1}))] if rows else []
    rest: Document = occupant_table(seen.occupants) if seen.occupants else [line("nothing is in it")]
    apart = (("  the operator alone:", seen.operator_upkeep), ("  the site alone:", seen.site_upkeep))
    both = [upkeep_line(side, upkeep) for side, upkeep in apart if seen.upkeep.sides]
    return [upkeep_line(zone, seen.upkeep), *both, *announced, *rest]


def occupant_table(occupants: Iterable[zone_service_pb2.ZoneOccupant]) -> Document:
    """One row a claim: whose it is, and why it is there."""
    rows = tuple((short_workload(one.workload) or "-", one.home, one.state, one.claim, one.why) for one in occupants)
    return [Table(("WORKLOAD", "HOME", "STATE", "CLAIM", "WHY IT IS HERE"), rows, fixed=frozenset({0, 1, 2}))]


def left_text(occupants: Sequence[zone_service_pb2.ZoneOccupant]) -> str:
    """How much is left, in one line: by reason, the most frequent first."""
    if not occupants:
        return "nothing is left"
    tally = Counter(one.why for one in occupants)
    reasons = sorted(tally.items(), key=lambda item: (-item[1], item[0]))
    more = f"; {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
    told = "; ".join(f"{count} {why}" for why, count in reasons[:3])
    return f"{plural(len(occupants), 'claim')} left: {told}{more}"
