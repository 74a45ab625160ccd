"""Resource names in the sense of AIP-122, their short forms, and the nearest valid word for a wrong one.

A workload is ``tenants/havneby/workloads/yard-ocr``, or ``yard-ocr`` where the tenant is known. A zone is
``operators/nordavind/zones/oslo-1``, or ``nordavind/oslo-1``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

from hansa.errors import invalid_field

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
ID_RULE = "1 to 63 of a-z, 0-9 and -, beginning with a letter and not ending with -"


class WorkloadName(NamedTuple):
    """Identity of a workload at its home operator."""

    tenant: str
    workload: str

    def __str__(self) -> str:
        return f"tenants/{self.tenant}/workloads/{self.workload}"

    @property
    def short(self) -> str:
        return self.workload


class ZoneName(NamedTuple):
    """Identity of a zone; two operators may each have one of the same name."""

    operator: str
    zone: str

    def __str__(self) -> str:
        return f"operators/{self.operator}/zones/{self.zone}"

    @property
    def short(self) -> str:
        return f"{self.operator}/{self.zone}"


def parse_workload(text: str, tenant: str = "", *, field: str = "name") -> WorkloadName:
    """Reads the full form, or the short one if a tenant is given; raises HansaError INVALID_FIELD with the rule."""
    parts = text.split("/")
    if len(parts) == 1 and tenant:
        return WorkloadName(checked_id(tenant, "tenant"), checked_id(text, field))
    if len(parts) == 4 and parts[0] == "tenants" and parts[2] == "workloads":
        return WorkloadName(checked_id(parts[1], field), checked_id(parts[3], field))
    short = "WORKLOAD or " if tenant else ""
    raise invalid_field(field, f"{text!r} is no workload name; expected {short}tenants/TENANT/workloads/WORKLOAD")


def parse_zone(text: str, *, field: str = "zone") -> ZoneName:
    """Reads ``operators/O/zones/Z`` or ``O/Z``; raises HansaError INVALID_FIELD with the rule."""
    parts = text.split("/")
    if len(parts) == 2:
        return ZoneName(checked_id(parts[0], field), checked_id(parts[1], field))
    if len(parts) == 4 and parts[0] == "operators" and parts[2] == "zones":
        return ZoneName(checked_id(parts[1], field), checked_id(parts[3], field))
    raise invalid_field(field, f"{text!r} is no zone; expected OPERATOR/ZONE, for example nordavind/oslo-1")


def short_workload(name: str) -> str:
    """The last part of a resource name, for people; anything else comes back as it is."""
    return name.rsplit("/", 1)[-1]


def short_zone(name: str) -> str:
    """``operator/zone`` of a zone's resource name, for people; anything else comes back as it is."""
    parts = name.split("/")
    return f"{parts[1]}/{parts[3]}" if len(parts) == 4 and parts[0] == "operators" else name


def checked_id(text: str, field: str) -> str:
    """The id itself if it keeps the rule; else HansaError INVALID_FIELD with the nearest id that does."""
    if _ID.fullmatch(text):
        return text
    nearest = _nearest_id(text)
    hint = f"; nearest valid: {nearest}" if nearest else ""
    raise invalid_field(field, f"{text!r} is not {ID_RULE}{hint}")


def nearest(word: str, valid: Iterable[str], *, alike_min: float = 0.6) -> str:
    """The valid word most like this one, compared without case; empty if none is alike (0 nothing, 1 the same)."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    close = difflib.get_close_matches(word.casefold(), list(by_folded), n=1, cutoff=alike_min)
    return by_folded[close[0]] if close else ""


def hint(word: str, valid: Iterable[str]) -> str:
    """What to append to an error about a wrong word: the nearest valid one, or all of them if they are few."""
    words = sorted(valid)
    close = nearest(word, words)
    if close:
        return f"; did you mean {close}?"
    return f"; valid: {', '.join(words)}" if 0 < len(words) <= 12 else ""


def _nearest_id(text: str) -> str:
    folded = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-").lstrip("0123456789-")[:63].rstrip("-")
    return folded if _ID.fullmatch(folded) else ""
