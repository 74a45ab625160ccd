"""What those who keep a zone's machines refuse, on the wire."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hansa.v1 import common_pb2, zone_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.domain.model import DataClass, Refusals
from hansa_control.domain.refusals import WEEK_MINUTES

DATA_CLASSES = fields.EnumCodec(DataClass, common_pb2.DataClass, "DATA_CLASS")
TENANTS_MAX = 1_000
SPANS_MAX = 64
_TENANT = re.compile(r"\*|[a-z0-9][a-z0-9-]{0,62}/(?:\*|[a-z0-9][a-z0-9-]{0,62})")


def refusals_in(wire: zone_pb2.SiteRefusals, path: str) -> Refusals:
    """What a site refuses; an advert or an offer with something that cannot be read is refused as a whole."""
    fields.bounded(wire.times, SPANS_MAX, f"{path}.times")
    data = {DATA_CLASSES.read(one, f"{path}.data_denied[{at}]") for at, one in enumerate(wire.data_denied)}
    return Refusals(
        tenants_allowed=_tenants_in(wire.tenants_allowed, f"{path}.tenants_allowed"),
        tenants_denied=_tenants_in(wire.tenants_denied, f"{path}.tenants_denied"),
        data_denied=tuple(sorted(one.value for one in data)),
        spans=tuple(_span_in(one, f"{path}.times[{at}]") for at, one in enumerate(wire.times)),
        tenants_withheld=wire.tenants_withheld,
    )


def refusals_out(refusals: Refusals) -> zone_pb2.SiteRefusals:
    return zone_pb2.SiteRefusals(
        tenants_allowed=refusals.tenants_allowed,
        tenants_denied=refusals.tenants_denied,
        data_denied=[DATA_CLASSES.out(DataClass(name)) for name in refusals.data_denied],
        times=[zone_pb2.WeeklySpan(from_minute=begin, until_minute=end) for begin, end in refusals.spans],
        tenants_withheld=refusals.tenants_withheld,
    )


def _tenants_in(names: Sequence[str], path: str) -> tuple[str, ...]:
    fields.bounded(names, TENANTS_MAX, path)
    for at, name in enumerate(names):
        if not _TENANT.fullmatch(name):
            raise fields.refused(f"{path}[{at}]", 'is no tenant ("operator/tenant", "operator/*" or "*")')
    return tuple(sorted(set(names)))


def _span_in(wire: zone_pb2.WeeklySpan, path: str) -> tuple[int, int]:
    begin = fields.range_in(wire.from_minute, (0, WEEK_MINUTES - 1), f"{path}.from_minute")
    return begin, fields.range_in(wire.until_minute, (begin + 1, WEEK_MINUTES), f"{path}.until_minute")
