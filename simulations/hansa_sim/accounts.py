"""What must hold of the operators' books of usage, worked out from what is on their disks and not with their code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hansa_control.application.control_plane import ControlPlane
from hansa_control.domain.model import ClaimState
from hansa_control.domain.usage import LineKey, UsageLine

from hansa_sim.operators import OperatorNode

Metered = tuple[str, str, str, int]
"""Owner, home operator, claim, fencing token."""


class Accounts:
    """Remembers which claims served somebody, and holds the books against that and against one another."""

    def __init__(self) -> None:
        self._served: set[Metered] = set()

    def see(self, owner: str, plane: ControlPlane) -> None:
        """Notes what serves now. It was confirmed before it was started, so its line is on disk."""
        for claim in plane.state.claims.values():
            if claim.state is ClaimState.SERVING:
                self._served.add((owner, claim.home, claim.name, claim.fencing_token))

    def wrong(self, operators: Mapping[str, OperatorNode]) -> Iterator[str]:
        """What is wrong with the books once all is calm; nothing if both sides say the same of every claim."""
        for owner, node in operators.items():
            book = {key: line for key, line in node.store.book.items() if key.owner == owner}
            yield from self._unmetered(owner, book)
            yield from _counted_twice(book.values())
            yield from _unlike_the_ledger(owner, node, book.values())
            for home, other in operators.items():
                if home != owner:
                    yield from _unequal((owner, home), book, other.store.book)
        for home, node in operators.items():
            for asked in node.plane.state.asked.values() if node.plane is not None else ():
                if asked.given_back_at_ms:
                    yield f"{home}: claim {asked.claim} was given back to {asked.owner} and is not settled"

    def _unmetered(self, owner: str, book: Mapping[LineKey, UsageLine]) -> Iterator[str]:
        metered = {key[:4] for key in book}
        for served in sorted(self._served - metered):
            if served[0] == owner:
                yield f"{owner} has served claim {served[2]} of {served[1]} and has no line of it"


def _unequal(
    sides: tuple[str, str], owners: Mapping[LineKey, UsageLine], homes: Mapping[LineKey, UsageLine]
) -> Iterator[str]:
    owner, home = sides
    by_owner = {key: _told(line) for key, line in owners.items() if key.home == home}
    by_home = {key: _told(line) for key, line in homes.items() if key.owner == owner}
    for key in sorted({*by_owner, *by_home}):
        if by_owner.get(key) != by_home.get(key):
            yield (
                f"{owner} and {home} differ on claim {key.claim}, run {key.span}: "
                f"{by_owner.get(key, 'nothing')} by the owner's book, {by_home.get(key, 'nothing')} by the home's"
            )


def _told(line: UsageLine) -> tuple[object, ...]:
    amounts = (line.zone, line.workload, line.pool, line.accelerators, line.cpu_millis, line.memory_mib)
    return (*amounts, line.from_ms, line.until_ms)


def _counted_twice(lines: Iterable[UsageLine]) -> Iterator[str]:
    """Two lines of one claim that count the same time."""
    ends: dict[tuple[str, str], int] = {}
    for line in sorted(lines, key=lambda one: (one.home, one.claim, one.from_ms, one.span)):
        claim = (line.home, line.claim)
        if line.from_ms < ends.get(claim, 0):
            yield f"{line.owner} counts time of claim {line.claim} of {line.home} twice"
        ends[claim] = line.until_ms or 2**63


def _unlike_the_ledger(owner: str, node: OperatorNode, lines: Iterable[UsageLine]) -> Iterator[str]:
    """Meters that run without a claim that is allocated, and the other way round."""
    if node.plane is None:
        return
    running = {(line.home, line.claim, line.fencing_token) for line in lines if not line.until_ms}
    allocated = {
        (claim.home, claim.name, claim.fencing_token)
        for claim in node.plane.state.claims.values()
        if claim.state in {ClaimState.ALLOCATED, ClaimState.SERVING}
    }
    for home, claim, _ in sorted(running ^ allocated):
        told = "runs without an allocation" if (home, claim) in {one[:2] for one in running} else "stands still"
        yield f"{owner}: the meter of claim {claim} of {home} {told}"
