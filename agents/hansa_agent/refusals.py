"""What those who keep the machines refuse to start: told to the operator, and held against every order all the same.

Pure. An order that does not say whose workload it is, or what data it brings, is refused where that matters.
"""

from __future__ import annotations

from hansa.v1 import zone_pb2
from hansa.v1.common_pb2 import DataClass
from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.config_refusals import DAY_MINUTES, WEEK_MINUTES, RefusalsSection

_MONDAY_MINUTE = 3 * DAY_MINUTES
"""The minute of the week at which the Unix epoch began, a Thursday."""
_KINDS = frozenset(DataClass.values()) - {DataClass.DATA_CLASS_UNSPECIFIED}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Complaint = tuple[str, str]
"""A field of the order, dotted, and one sentence for a person."""


def message_of(section: RefusalsSection | None) -> zone_pb2.SiteRefusals | None:
    """As it is told in the inventory; None where nothing is refused."""
    if section is None or section == RefusalsSection():
        return None
    return zone_pb2.SiteRefusals(
        tenants_allowed=sorted(set(section.tenants.allow)),
        tenants_denied=sorted(set(section.tenants.deny)),
        data_denied=[DataClass.Value(f"DATA_CLASS_{name.upper()}") for name in section.data_classes.deny],
        times=[zone_pb2.WeeklySpan(from_minute=begin, until_minute=end) for begin, end in _spans(section)],
    )


def refused(desired: DesiredInstance, section: RefusalsSection | None, wall_ms: int) -> Complaint | None:
    """The first thing that the site refuses about an instance that is to start now, or None."""
    if section is None:
        return None
    return _tenant(desired.asker, section) or _data(desired, section) or _time(section, wall_ms)


def _tenant(asker: str, section: RefusalsSection) -> Complaint | None:
    allowed, denied = set(section.tenants.allow), set(section.tenants.deny)
    if not (allowed or denied):
        return None
    if not asker:
        return "instance.asker", "TENANT_UNKNOWN: the site refuses some tenants, and the order does not say whose it is"
    names = {asker, f"{asker.partition('/')[0]}/*", "*"}
    if names & denied or (allowed and not names & allowed):
        return "instance.asker", f"TENANT_REFUSED: the site takes no workloads of {asker}"
    return None


def _data(desired: DesiredInstance, section: RefusalsSection) -> Complaint | None:
    denied = section.data_classes.deny
    if not denied:
        return None
    if not desired.data:
        return (
            "instance.data",
            "DATA_REFUSED: the site refuses some kinds of data, and the order names none",
        )
    if not _KINDS.issuperset(desired.data):
        return "instance.data", "DATA_REFUSED: the order brings a kind of data that the agent does not know"
    brought = sorted({DataClass.Name(one).removeprefix("DATA_CLASS_").lower() for one in desired.data})
    if found := [name for name in brought if name in denied]:
        return "instance.data", f"DATA_REFUSED: the site takes no {', '.join(found)}"
    return None


def _time(section: RefusalsSection, wall_ms: int) -> Complaint | None:
    minute = (wall_ms // 60_000 + _MONDAY_MINUTE) % WEEK_MINUTES
    for begin, end in _spans(section):
        if begin <= minute < end:
            return "instance", f"TIME_REFUSED: the site starts nothing from {_moment(begin)} to {_moment(end)} UTC"
    return None


def _spans(section: RefusalsSection) -> list[tuple[int, int]]:
    return section.spans()


def _moment(minute: int) -> str:
    day, rest = divmod(minute, DAY_MINUTES)
    return f"{_DAYS[day % 7]} {rest // 60:02d}:{rest % 60:02d}"
