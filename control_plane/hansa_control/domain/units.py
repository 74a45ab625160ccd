"""Distances, latency models and the way figures are written for people.

Layer: beside nothing but the model's ``RoundTrip``. All times are integer microseconds, rounded up, so that rounding
never makes a path look faster than the formula says.
"""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

import numpy as np

from hansa_control.domain.model import LatencyBasis, RoundTrip

EARTH_RADIUS_KM = 6371.0088
"""Mean radius R1 of the Earth (IUGG)."""

FIBRE_KM_PER_MS = 200
"""Light in fibre: c divided by a group index of about 1.5, in whole kilometres a millisecond."""

MODEL_SLOPE_PERCENT = 194
"""Measured over ideal round-trip time, percent: routes are longer than great circles and routers take time.

Fitted with ``MODEL_FIXED_US`` on 105 European pairs of the published Azure region round-trip table; median error 11 %.
"""

MODEL_FIXED_US = 5_400
"""What a path costs whatever its length: access, last mile, the machine's own stack. Once a path, not once a link."""

MODEL_BAND_PERCENT = {50: 100, 95: 132, 99: 140}
"""Percentiles as a multiple of the modelled median, percent.

95 % and 99 % quantile of measured over modelled across the same 105 pairs. This is how far *pairs* scatter around the
line, taken as an upper band for a pair that nobody has measured; it is not jitter of one pair over time.
"""

PERCENTILES = (50, 95, 99)


def great_circle_km(
    latitude_a_deg: float, longitude_a_deg: float, latitude_b_deg: float, longitude_b_deg: float
) -> float:
    """Shortest way over the ground between two points, kilometres (haversine formula on a sphere)."""
    lat_a, lat_b = radians(latitude_a_deg), radians(latitude_b_deg)
    half_lat = sin((lat_b - lat_a) / 2)
    half_lon = sin(radians(longitude_b_deg - longitude_a_deg) / 2)
    chord = half_lat * half_lat + cos(lat_a) * cos(lat_b) * half_lon * half_lon
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(chord)))


def modelled_link_rtt(length_m: int) -> RoundTrip:
    """Round-trip time of one link by the calibrated model, without the fixed part that a path has once.

    ``1.94 x 2 x km / 200`` ms, and its bands. Raises ValueError on a negative length.
    """
    # A kilometre a millisecond is a metre a microsecond, so no factor of a thousand is left.
    return _banded(_two_way_m(length_m) * MODEL_SLOPE_PERCENT, FIBRE_KM_PER_MS * 100)


def physical_link_rtt(length_m: int) -> RoundTrip:
    """Round-trip time of one link at the speed of light in fibre: ``2 x km / 200`` ms, the same at every percentile.

    Nothing that runs through fibre of this length is faster. Raises ValueError on a negative length.
    """
    bound_us = _ceil_div(_two_way_m(length_m), FIBRE_KM_PER_MS)
    return RoundTrip(bound_us, bound_us, bound_us, LatencyBasis.PHYSICAL)


def attachment_rtt() -> RoundTrip:
    """The fixed 5.4 ms of the calibrated model, which a zone's attachment carries so that a path has it once."""
    return _banded(MODEL_FIXED_US, 1)


def format_ms(us: int) -> str:
    """Microseconds as milliseconds for people, rounded up to a tenth: a figure over a bound never reads as within."""
    tenths = _ceil_div(us, 100)
    whole, tenth = divmod(tenths, 10)
    return f"{whole}.{tenth} ms" if tenth else f"{whole} ms"


def format_ms_exact(us: int) -> str:
    """Microseconds as milliseconds for people, as precise as given: for bounds that somebody chose."""
    whole, rest = divmod(us, 1_000)
    return f"{whole}.{rest:03d}".rstrip("0") + " ms" if rest else f"{whole} ms"


def format_euro(millieur: int) -> str:
    """Thousandths of a euro for people: ``EUR 1.20``, ``EUR 0.005``."""
    whole, rest = divmod(millieur, 1_000)
    return f"EUR {whole}.{rest // 10:02d}" if rest % 10 == 0 else f"EUR {whole}.{rest:03d}"


def format_utc_date(epoch_ms: int) -> str:
    """The UTC day of a wall-clock time, ``2027-01-31``."""
    return str(np.datetime64(epoch_ms, "ms").astype("datetime64[D]"))


def format_utc_minute(epoch_ms: int) -> str:
    """A wall-clock time for people, to the minute, ``2027-01-31 14:05 UTC``."""
    return str(np.datetime64(epoch_ms, "ms").astype("datetime64[m]")).replace("T", " ") + " UTC"


def format_set(names: frozenset[str] | tuple[str, ...]) -> str:
    """A set for people: ``{NO,SE}``, sorted."""
    return "{" + ",".join(sorted(names)) + "}"


def _two_way_m(length_m: int) -> int:
    if length_m < 0:
        raise ValueError(f"length_m is {length_m}; a length is never negative")
    return 2 * length_m


def _banded(numerator: int, denominator: int) -> RoundTrip:
    """Median ``numerator / denominator`` microseconds with the model's bands around it, each rounded up."""
    at = {p: _ceil_div(numerator * band, denominator * 100) for p, band in MODEL_BAND_PERCENT.items()}
    return RoundTrip(at[50], at[95], at[99], LatencyBasis.MODELLED)


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
