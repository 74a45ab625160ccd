"""The owner's notes on what its agreements cost: a bill is written long after the price was another."""

from __future__ import annotations

from hansa_control.domain.agreement import PriceVersion, Standing
from hansa_control.domain.agreement_life import Seen
from hansa_control.domain.charges import noted
from hansa_control.domain.model import Federation


def prices_noted(held: Federation, standing: Standing, seen: Seen, kept_ms: int) -> tuple[PriceVersion, ...]:
    """The prices of every version that was in force, with those of the one that is now.

    kept_ms: for how long usage is kept after it ended.
    """
    last = held.prices[-1] if held.prices else None
    is_new = last is None or (last.version, last.digest) != (standing.version, standing.digest)
    if seen.stance is None or not standing.digest or not is_new:
        return held.prices
    now = PriceVersion(standing.version, standing.digest, seen.now_ms, seen.stance.agreement.prices)
    return noted(held.prices, now, seen.now_ms - kept_ms)
