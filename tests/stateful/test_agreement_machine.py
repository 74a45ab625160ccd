"""An agreement under any sequence of edits, hours and claims: nothing new unless in force, notice before the end."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.domain.agreement import Agreement, AgreementState, Stance, Standing, Terms, Wish
from hansa_control.domain.agreement_life import AGREEMENT_TABLE, STEPS_MAX, AgreementEvent, Seen, due, follow
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

S = AgreementState
NOTICES = (0, 50, 500)


class AgreementMachine(RuleBasedStateMachine):
    """The owner's file, its clock and its partner's claims change at will; the standing follows after each change."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_000
        self.stance: Stance | None = Stance(Agreement(terms=Terms(0, 0, 50)))
        self.is_used = False
        self.standing = Standing()
        self.before = self.standing
        self.events: tuple[AgreementEvent, ...] = ()
        self._follow()

    def _follow(self) -> None:
        self.before = self.standing
        self.standing, self.events = follow(self.standing, Seen(self.stance, self.now_ms, self.is_used))

    @rule(
        wish=st.sampled_from(Wish),
        until_ms=st.sampled_from([0, 1_500, 2_500, 4_000]),
        notice_ms=st.sampled_from(NOTICES),
        text=st.sampled_from(["a", "b"]),
    )
    def edit(self, wish: Wish, until_ms: int, notice_ms: int, text: str) -> None:
        self.stance = Stance(Agreement(reference=text, terms=Terms(0, until_ms, notice_ms)), wish)
        self._follow()

    @rule(wish=st.sampled_from(Wish))
    def wish(self, wish: Wish) -> None:
        if self.stance is not None:
            self.stance = replace(self.stance, wish=wish)
        self._follow()

    @rule()
    def lose_the_line(self) -> None:
        self.stance = None
        self._follow()

    @rule(pass_ms=st.sampled_from([1, 49, 50, 400, 1_000]))
    def pass_time(self, pass_ms: int) -> None:
        self.now_ms += pass_ms
        self._follow()

    @rule(is_used=st.booleans())
    def claim_or_release(self, *, is_used: bool) -> None:
        # What is not in force takes no claim.
        self.is_used = is_used and (self.is_used or self.standing.state is S.IN_FORCE)
        self._follow()

    @invariant()
    def it_has_come_to_rest(self) -> None:
        assert len(self.events) < STEPS_MAX
        assert due(self.standing, Seen(self.stance, self.now_ms, self.is_used)) is None

    @invariant()
    def every_step_is_in_the_table(self) -> None:
        state: AgreementState | None = self.before.state
        for event in self.events:
            state = AGREEMENT_TABLE.after(state, event)
        assert state is self.standing.state

    @invariant()
    def in_force_means_wanted_and_valid(self) -> None:
        if self.standing.state is S.IN_FORCE:
            assert self.stance is not None
            assert self.stance.wish is Wish.IN_FORCE
            assert self.standing.digest == self.stance.agreement.digest()
            assert not 0 < self.standing.valid_until_ms <= self.now_ms

    @invariant()
    def what_runs_is_ended_after_its_notice_alone(self) -> None:
        ended = self.standing.state is S.TERMINATED and self.before.state is not S.TERMINATED
        if ended and self.is_used:
            assert AgreementEvent.DEADLINE in self.events
            assert self.standing.deadline_ms <= self.now_ms

    @invariant()
    def only_what_ends_has_a_deadline(self) -> None:
        has_deadline = self.standing.deadline_ms > 0
        assert has_deadline or self.standing.state not in {S.DRAINING, S.EXPIRED}
        assert not has_deadline or self.standing.state in {S.DRAINING, S.EXPIRED, S.TERMINATED}

    @invariant()
    def the_version_never_falls_and_rises_with_what_is_agreed(self) -> None:
        assert self.standing.version >= self.before.version
        if self.standing.version > self.before.version:
            assert self.standing.digest != self.before.digest

    @invariant()
    def terminated_is_final(self) -> None:
        assert self.before.state is not S.TERMINATED or self.standing == self.before


AgreementMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestAgreement = AgreementMachine.TestCase
