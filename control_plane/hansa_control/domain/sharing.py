"""Which share of each access point's requests goes to which of the zones that answer now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hansa_control.domain.joint_problem import SHARE_UNITS
from hansa_control.domain.model import Placement


def planned_shares(placement: Placement) -> dict[str, int]:
    """What a placement was planned to get, thousandths by access point, of all that it serves or stands by for.

    Named by its paths and not by the workload's spec, which may have changed since.
    """
    names = [latency.access_point for latency in placement.latencies]
    if not placement.share_permille:
        return dict.fromkeys(names, SHARE_UNITS)
    given = [share for share in placement.share_permille if share]
    return dict(zip(names, given or [0] * len(names), strict=False))


def shares_now(answering: Sequence[Placement]) -> list[dict[str, int]]:
    """The shares of placements that answer, thousandths by access point, so that each access point's add up to 1000.

    Where all of a batch answers, they are the planned ones. Where a part does not, its share goes to those that serve
    the access point too, in proportion to theirs, else to those that stand by for it, in proportion to their replicas.
    Nobody else may take it: no other was found lawful and in time for that access point.
    """
    planned = [planned_shares(placement) for placement in answering]
    if len(planned) == 1:
        return [dict.fromkeys(sorted(planned[0]), SHARE_UNITS)]  # alone, it gets all of what it is there for
    result: list[dict[str, int]] = [{} for _ in answering]
    for name in sorted({name for shares in planned for name in shares}):
        weights = {n: shares[name] for n, shares in enumerate(planned) if name in shares}
        if not any(weights.values()):
            weights = {n: answering[n].replicas for n in weights}
        for n, share in _scaled(weights).items():
            result[n][name] = share
    return result


def _scaled(weights: Mapping[int, int]) -> dict[int, int]:
    """Thousandths in proportion to weights that are not all 0; what rounding leaves goes to the greatest remainders."""
    total = sum(weights.values())
    shares = {n: weight * SHARE_UNITS // total for n, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda n: (-(weights[n] * SHARE_UNITS % total), n))
    for n in by_remainder[: SHARE_UNITS - sum(shares.values())]:
        shares[n] += 1
    return shares
