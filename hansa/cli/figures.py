"""Figures as people read them: round-trip times, memory, CPU, ages, money."""

from __future__ import annotations

from datetime import UTC, datetime


def rtt_ms(rtt_us: int) -> str:
    """Microseconds as milliseconds, for example "31.4 ms"; two decimals below one millisecond."""
    return f"{rtt_us / 1000:.{1 if rtt_us >= 1000 else 2}f} ms"


def bound_ms(rtt_us_max: int) -> str:
    """A bound in microseconds as milliseconds, as it was written, for example "<= 24 ms"."""
    return f"<= {rtt_us_max / 1000:g} ms"


def memory(mib: int) -> str:
    """MiB in the largest unit that keeps one decimal honest."""
    if mib >= 1024:
        return f"{mib / 1024:.1f}".removesuffix(".0") + " GiB"
    return f"{mib} MiB"


def cpu(millis: int) -> str:
    """Thousandths of a core as cores."""
    return f"{millis / 1000:.3f}".rstrip("0").rstrip(".")


def age(since_ms: int, now_ms: int) -> str:
    """How long ago; a dash if the time is not known."""
    if not since_ms:
        return "-"
    seconds = max(now_ms - since_ms, 0) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def clock_time(at_ms: int) -> str:
    """Time of day, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S") if at_ms else "-"


def date(at_ms: int) -> str:
    """Date, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d") if at_ms else "unknown"


def timestamp(at_ms: int) -> str:
    """Date and time to the second, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at_ms else "unknown"


def euro_per_hour(millieur: int) -> str:
    """Thousandths of a euro as euro an hour."""
    return f"{millieur / 1000:.2f} EUR/h"


def percent(permille: int) -> str:
    """Thousandths as percent, for example "62.5 %"."""
    return f"{permille / 10:g} %"


def power(watts: int) -> str:
    """Watts, or kilowatts from a thousand on."""
    return f"{watts / 1000:.1f} kW" if watts >= 1000 else f"{watts} W"


def carbon_per_hour(mg: int) -> str:
    """Milligrams of CO2 equivalent as grams an hour."""
    return f"{mg / 1000:.1f} gCO2/h"


def plural(count: int, noun: str) -> str:
    """A number and a noun, for example "1 zone" and "2 zones"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def seconds(amount_ms: int, divisor: int, *, signed: bool = False) -> str:
    """An amount times milliseconds as seconds to the millisecond, without rounding twice; "0" is exactly that."""
    if not amount_ms:
        return "0"
    sign = "-" if amount_ms < 0 else "+" if signed else ""
    seconds, rest = divmod(abs(amount_ms), 1000 * divisor)
    return f"{sign}{seconds:,}.{rest // divisor:03d}"
