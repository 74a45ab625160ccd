"""The owner's ledger: the life of a claim, and what a zone's claims leave free.

A zone is never oversold because one ledger, its owner's, grants all of its capacity and counts every claim that may
still run something, however long ago anybody heard of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType

from hansa_control.domain.capacity import NOTHING, capacity_of, count_of
from hansa_control.domain.model import Capacity, Claim, ClaimState
from hansa_control.domain.transitions import Table


class ClaimEvent(StrEnum):
    CONFIRM = "CONFIRM"
    EXPIRE = "EXPIRE"
    READY = "READY"
    NOT_READY = "NOT_READY"
    FAIL = "FAIL"
    ZONE_LOST = "ZONE_LOST"
    ZONE_BACK = "ZONE_BACK"
    RELEASE = "RELEASE"
    STOPPED = "STOPPED"


_S, _E = ClaimState, ClaimEvent

CLAIM_MOVES: Mapping[tuple[ClaimState, ClaimEvent], ClaimState] = MappingProxyType(
    {
        # Nothing was ordered yet, so nothing has to be stopped.
        (_S.HELD, _E.CONFIRM): _S.ALLOCATED,
        (_S.HELD, _E.EXPIRE): _S.RELEASED,
        (_S.HELD, _E.RELEASE): _S.RELEASED,
        (_S.HELD, _E.ZONE_LOST): _S.RELEASED,
        (_S.HELD, _E.ZONE_BACK): _S.HELD,
        (_S.ALLOCATED, _E.READY): _S.SERVING,
        (_S.ALLOCATED, _E.FAIL): _S.FAILED,
        (_S.ALLOCATED, _E.ZONE_LOST): _S.LOST,
        (_S.ALLOCATED, _E.RELEASE): _S.RELEASING,
        (_S.ALLOCATED, _E.CONFIRM): _S.ALLOCATED,
        (_S.ALLOCATED, _E.NOT_READY): _S.ALLOCATED,
        (_S.ALLOCATED, _E.ZONE_BACK): _S.ALLOCATED,
        (_S.SERVING, _E.NOT_READY): _S.ALLOCATED,
        (_S.SERVING, _E.FAIL): _S.FAILED,
        (_S.SERVING, _E.ZONE_LOST): _S.LOST,
        (_S.SERVING, _E.RELEASE): _S.RELEASING,
        (_S.SERVING, _E.CONFIRM): _S.SERVING,
        (_S.SERVING, _E.READY): _S.SERVING,
        (_S.SERVING, _E.ZONE_BACK): _S.SERVING,
        # The agent has given the instance up; only the home operator decides what follows.
        (_S.FAILED, _E.ZONE_LOST): _S.LOST,
        (_S.FAILED, _E.RELEASE): _S.RELEASING,
        (_S.FAILED, _E.CONFIRM): _S.FAILED,
        (_S.FAILED, _E.READY): _S.FAILED,
        (_S.FAILED, _E.NOT_READY): _S.FAILED,
        (_S.FAILED, _E.FAIL): _S.FAILED,
        (_S.FAILED, _E.ZONE_BACK): _S.FAILED,
        (_S.LOST, _E.ZONE_BACK): _S.ALLOCATED,
        (_S.LOST, _E.RELEASE): _S.RELEASING,
        (_S.LOST, _E.CONFIRM): _S.LOST,
        (_S.LOST, _E.ZONE_LOST): _S.LOST,
        # What the agent says of an instance on its way out changes nothing until it is gone.
        (_S.RELEASING, _E.STOPPED): _S.RELEASED,
        (_S.RELEASING, _E.RELEASE): _S.RELEASING,
        (_S.RELEASING, _E.READY): _S.RELEASING,
        (_S.RELEASING, _E.NOT_READY): _S.RELEASING,
        (_S.RELEASING, _E.FAIL): _S.RELEASING,
        (_S.RELEASING, _E.ZONE_LOST): _S.RELEASING,
        (_S.RELEASING, _E.ZONE_BACK): _S.RELEASING,
        (_S.RELEASED, _E.RELEASE): _S.RELEASED,
        (_S.RELEASED, _E.EXPIRE): _S.RELEASED,
        (_S.RELEASED, _E.STOPPED): _S.RELEASED,
        (_S.RELEASED, _E.ZONE_LOST): _S.RELEASED,
        (_S.RELEASED, _E.ZONE_BACK): _S.RELEASED,
    }
)

CLAIM_TABLE = Table("claim", ClaimState.HELD, CLAIM_MOVES)

_MAY_ANSWER = frozenset({ClaimState.ALLOCATED, ClaimState.SERVING})


def advance(claim: Claim, event: ClaimEvent) -> Claim:
    """The claim after an event; IllegalTransition if its state does not accept it.

    A claim that cannot answer requests any more loses its endpoints and its count of ready replicas.
    """
    state = CLAIM_TABLE.after(claim.state, event)
    if state is claim.state:
        return claim
    if state in _MAY_ANSWER:
        return replace(claim, state=state)
    return replace(claim, state=state, replicas_ready=0, endpoint_urls=())


def holds_capacity(state: ClaimState) -> bool:
    """True for every state but RELEASED: what is lost or on its way out may still run."""
    return state is not ClaimState.RELEASED


def used(claims: Iterable[Claim]) -> Capacity:
    """What the claims that hold capacity take together."""
    tally = Tally()
    for claim in claims:
        tally.count(None, claim)
    return tally.total()


class Tally:
    """What the claims of one zone take together, counted claim by claim as each comes, changes or goes.

    A zone's claims are many and change one at a time, and what is free is asked for after each change.
    """

    def __init__(self) -> None:
        self._cpu_millis = self._memory_mib = 0
        self._pools: dict[str, int] = {}

    def count(self, before: Claim | None, after: Claim | None) -> None:
        """One claim was as ``before`` and is as ``after`` now; None where there is none."""
        was, now = _taken(before), _taken(after)
        if was == now:
            return
        for amount, sign in ((was, -1), (now, 1)):
            self._cpu_millis += sign * amount.cpu_millis
            self._memory_mib += sign * amount.memory_mib
            for pool, count in amount.accelerators:
                self._pools[pool] = self._pools.get(pool, 0) + sign * count

    def total(self) -> Capacity:
        return capacity_of(self._cpu_millis, self._memory_mib, self._pools)


def _taken(claim: Claim | None) -> Capacity:
    return claim.amount if claim is not None and holds_capacity(claim.state) else NOTHING


def free(total: Capacity, taken: Capacity) -> Capacity:
    """What is left of the total. No component is negative, even if the inventory shrank below its use."""
    return capacity_of(
        max(0, total.cpu_millis - taken.cpu_millis),
        max(0, total.memory_mib - taken.memory_mib),
        {pool: max(0, count - count_of(taken, pool)) for pool, count in total.accelerators},
    )


def grant(claim: Claim, total: Capacity, taken: Capacity) -> tuple[str, ...]:
    """Names of the components that the claim asks for and the total has not beside what others take; () grants it.

    Names are ``cpu_millis``, ``memory_mib`` and the keys of accelerator pools, in this order.
    """
    left, asked = free(total, taken), claim.amount
    components = [
        ("cpu_millis", asked.cpu_millis, left.cpu_millis),
        ("memory_mib", asked.memory_mib, left.memory_mib),
        *((pool, count, count_of(left, pool)) for pool, count in asked.accelerators),
    ]
    return tuple(name for name, wanted, available in components if wanted > available)
