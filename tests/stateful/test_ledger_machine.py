"""Whatever happens to a zone and its claims, in any order: it is never oversold, and what is over stays over."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.ledger import ClaimEvent, Tally, advance, free, grant, holds_capacity
from hansa_control.domain.model import (
    ArtefactRef,
    Capacity,
    Claim,
    ClaimState,
    LatencyBudget,
    ResidencyPolicy,
    WorkloadSpec,
)
from hansa_control.domain.transitions import IllegalTransition
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

POOLS = ("nvidia/H100", "nvidia/L4", "nvidia/L4/mig-1g.10gb")
SPEC = WorkloadSpec(ArtefactRef("asr", "sha256:0"), None, 1, 1, 1, (), LatencyBudget(95, 1), ResidencyPolicy())


def amounts(most: int) -> st.SearchStrategy[Capacity]:
    counts = st.tuples(*(st.integers(0, most) for _ in POOLS))
    pools = counts.map(lambda n: tuple((pool, count) for pool, count in zip(POOLS, n, strict=True) if count))
    return st.builds(Capacity, st.integers(0, most * 1000), st.integers(0, most * 1000), pools)


def components(amount: Capacity) -> dict[str, int]:
    """A sum of its own, so that the ledger's sums are not proved by themselves."""
    return {"cpu_millis": amount.cpu_millis, "memory_mib": amount.memory_mib, **dict(amount.accelerators)}


class LedgerMachine(RuleBasedStateMachine):
    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.total = Capacity()
        self.claims: dict[str, Claim] = {}
        self.tally = Tally()
        self.last_fencing_token = 0
        self.ended: set[str] = set()

    @initialize(total=amounts(8))
    def open_zone(self, total: Capacity) -> None:
        self.total = total

    @rule(target=names, amount=amounts(4))
    def hold(self, amount: Capacity) -> object:
        token = self.last_fencing_token + 1
        claim = Claim(f"c-{token}", "home", "zone", SPEC, amount, "", ClaimState.HELD, token, 0)
        if grant(claim, self.total, self.tally.total()):
            return multiple()
        self.last_fencing_token = token
        self._keep(claim)
        return claim.name

    @rule(name=names, event=st.sampled_from(ClaimEvent))
    def happen(self, name: str, event: ClaimEvent) -> None:
        before = self.claims[name]
        try:
            after = advance(before, event)
        except IllegalTransition:
            return
        assert replace(after, state=before.state, replicas_ready=0, endpoint_urls=()) == replace(
            before, replicas_ready=0, endpoint_urls=()
        )
        self._keep(after)

    @rule(name=names)
    def serve(self, name: str) -> None:
        if self.claims[name].state is ClaimState.ALLOCATED:
            ready = advance(self.claims[name], ClaimEvent.READY)
            self._keep(replace(ready, replicas_ready=1, endpoint_urls=("https://10.0.0.7:8443",)))

    @rule()
    def lose_zone(self) -> None:
        self._to_all(ClaimEvent.ZONE_LOST)
        assert not {claim.state for claim in self.claims.values()} & {
            ClaimState.HELD,
            ClaimState.ALLOCATED,
            ClaimState.SERVING,
            ClaimState.FAILED,
        }

    @rule()
    def regain_zone(self) -> None:
        self._to_all(ClaimEvent.ZONE_BACK)
        assert ClaimState.LOST not in {claim.state for claim in self.claims.values()}

    @rule(name=names)
    def grant_what_is_free(self, name: str) -> None:
        """Exactly what is free is granted, and nothing beyond it in any component."""
        left = free(self.total, self.tally.total())
        asking = replace(self.claims[name], amount=left)
        assert grant(asking, self.total, self.tally.total()) == ()
        for more in (replace(left, cpu_millis=left.cpu_millis + 1), replace(left, memory_mib=left.memory_mib + 1)):
            assert len(grant(replace(asking, amount=more), self.total, self.tally.total())) == 1

    def _to_all(self, event: ClaimEvent) -> None:
        for claim in list(self.claims.values()):
            self._keep(advance(claim, event))

    def _keep(self, claim: Claim) -> None:
        """As an owner does: what is released is counted out, and counted once."""
        self.tally.count(self.claims.get(claim.name), claim)
        self.claims[claim.name] = claim

    @invariant()
    def never_oversold(self) -> None:
        taken: dict[str, int] = {}
        for claim in self.claims.values():
            if claim.state is not ClaimState.RELEASED:
                for component, count in components(claim.amount).items():
                    taken[component] = taken.get(component, 0) + count
        counted = {name: count for name, count in taken.items() if count}
        assert components(self.tally.total()) == {"cpu_millis": 0, "memory_mib": 0, **counted}
        total = components(self.total)
        assert all(count <= total.get(component, 0) for component, count in taken.items())

    @invariant()
    def used_and_free_make_the_total(self) -> None:
        taken, left = components(self.tally.total()), components(free(self.total, self.tally.total()))
        total = components(self.total)
        assert {name: taken.get(name, 0) + left.get(name, 0) for name in total} == total

    @invariant()
    def what_is_released_stays_so(self) -> None:
        assert all(self.claims[name].state is ClaimState.RELEASED for name in self.ended)
        self.ended |= {name for name, claim in self.claims.items() if not holds_capacity(claim.state)}

    @invariant()
    def fencing_tokens_only_grow(self) -> None:
        tokens = [claim.fencing_token for claim in self.claims.values()]
        assert tokens == sorted(set(tokens))

    @invariant()
    def only_what_may_answer_has_endpoints(self) -> None:
        answering = {ClaimState.ALLOCATED, ClaimState.SERVING}
        assert all(claim.state in answering for claim in self.claims.values() if claim.endpoint_urls)


LedgerMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestLedger = LedgerMachine.TestCase
