"""The life of instances against a model machine room: whatever happens, what runs in the end is what is ordered."""

from __future__ import annotations

import hypothesis.strategies as st
from hansa_agent.instance_life import Act, Phase
from hansa_agent.ports import Instant
from hansa_agent.reconciliation import Action, Reconciliation, RestartPolicy
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hansa.v1.instance_pb2 import DesiredInstance

POLICY = RestartPolicy(backoff_ms_min=100, backoff_ms_max=800, quick_failures_max=4, ready_timeout_ms=3_000)
INSTANCES = ["a-0", "a-1", "b-0"]


class Highest:
    """Chance that always takes the upper end."""

    def uniform(self, low: float, high: float) -> float:
        return high

    def integer(self, low: int, high: int) -> int:
        return high


class MachineRoom(RuleBasedStateMachine):
    """Carries out actions in order, an instance at a time; processes end when told to, killed, or by themselves."""

    @initialize()
    def begin(self) -> None:
        self.reconciliation = Reconciliation(POLICY, Highest())
        self.now_ms = 1_000
        self.desired: dict[str, DesiredInstance] = {}
        self.running: dict[str, DesiredInstance] = {}
        self.tokens: dict[str, int] = {}
        self.told: set[str] = set()
        self.exited: list[str] = []

    def _now(self) -> Instant:
        return Instant(self.now_ms, self.now_ms)

    def _do(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            name = action.instance
            if action.act is Act.START:
                assert name not in self.running, "two processes of one instance"
                self.running[name] = action.order
            elif action.act is Act.STOP:
                self.told.add(name)
            elif action.act is Act.KILL:
                self._end(name)
            else:
                assert name not in self.running, "forgotten while it runs"

    def _end(self, name: str) -> None:
        if self.running.pop(name, None) is not None:
            self.told.discard(name)
            self.exited.append(name)

    @rule(
        orders=st.dictionaries(
            st.sampled_from(INSTANCES), st.tuples(st.sampled_from(["x", "y"]), st.integers(0, 1)), max_size=3
        )
    )
    def operator_orders(self, orders: dict[str, tuple[str, int]]) -> None:
        self.desired = {}
        for name, (artefact, growth) in orders.items():
            self.tokens[name[0]] = self.tokens.get(name[0], 1) + growth
            order = DesiredInstance(instance=name, claim=name[0], fencing_token=self.tokens[name[0]])
            order.artefact.name = artefact
            self.desired[name] = order
        self._do(self.reconciliation.desire(self.desired, self._now()))

    @rule(passed_ms=st.sampled_from([10, 200, 1_000, 12_000]))
    def time_passes(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self._do(self.reconciliation.tick(self._now()))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def process_ends(self, data: st.DataObject) -> None:
        self._end(data.draw(st.sampled_from(sorted(self.running))))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def process_is_ready(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        self._do(self.reconciliation.on_ready(name, self._now()))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def process_ceases_to_be_ready(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        self._do(self.reconciliation.on_unready(name, "does not answer", self._now()))

    @precondition(lambda self: self.exited)
    @rule()
    def end_is_noticed(self) -> None:
        self._do(self.reconciliation.on_exited(self.exited.pop(0), "ended", self._now()))

    @invariant()
    def everything_ordered_has_a_life(self) -> None:
        assert set(self.desired) <= set(self.reconciliation.lives)

    @invariant()
    def what_runs_unordered_is_being_stopped(self) -> None:
        for name in self.running.keys() - self.desired.keys():
            assert self.reconciliation.lives[name].phase is Phase.STOPPING

    @invariant()
    def tokens_are_known_as_long_as_anything_of_the_claim_exists(self) -> None:
        for order in self.running.values():
            assert self.reconciliation.tokens()[order.claim] >= order.fencing_token

    def teardown(self) -> None:
        for _ in range(60):
            while self.exited:
                self.end_is_noticed()
            for name in sorted(self.told):
                self._end(name)
            for name in sorted(self.running):
                self._do(self.reconciliation.on_ready(name, self._now()))
            self.time_passes(1_000)
        failed = {name for name, life in self.reconciliation.lives.items() if life.phase is Phase.FAILED}
        assert set(self.running) == set(self.desired) - failed
        assert set(self.reconciliation.lives) == set(self.desired)
        for name, order in self.running.items():
            assert order.artefact == self.desired[name].artefact
            assert self.reconciliation.lives[name].order == self.desired[name]


MachineRoom.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAgentReconciliation = MachineRoom.TestCase
