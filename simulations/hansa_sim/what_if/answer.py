"""What would come of it: where every workload is before and after, what its users feel, who breaks a promise."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hansa_control.domain.batches import LIVE, batches_of
from hansa_control.domain.explain import histogram
from hansa_control.domain.model import Decision, Rejection

from hansa_sim.what_if.changes import Changes, suppose
from hansa_sim.what_if.estate import Estate, Resident, keeps_silence
from hansa_sim.what_if.settling import Settled, settle
from hansa_sim.what_if.sides import AccessFelt, Side, Sides


class Outcome(StrEnum):
    """What becomes of a workload."""

    STAYS = "stays"
    MOVES = "moves"
    PLACED = "gets a place"
    NOWHERE = "has no lawful place"
    GIVES_WAY = "gives way"
    UNHEARD = "waits for its owner to be heard"
    PARTLY = "runs in part"
    WAITS = "has no place, before or after"


LOSES_ITS_PLACE = frozenset({Outcome.NOWHERE, Outcome.GIVES_WAY, Outcome.UNHEARD, Outcome.PARTLY})


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one workload. Bounds are of its budget, us; response_us_max is 0 for none.

    why says in production's words why it has no place, nearest_fix what would mend that; gave_way_to is for whom.
    """

    workload: str
    outcome: Outcome
    before: Side
    after: Side
    rtt_us_max: int
    response_us_max: int
    percentile: int
    why: str = ""
    nearest_fix: str = ""
    rejections: tuple[Rejection, ...] = ()
    gave_way_to: str = ""
    home_is_silent: bool = False

    @property
    def over_budget(self) -> tuple[AccessFelt, ...]:
        """Access points whose users wait too long, or have no way, and did not before."""
        before = {at.access_point for at in self.before.felt if not self._is_kept(at)}
        return tuple(at for at in self.after.felt if not self._is_kept(at) and at.access_point not in before)

    def _is_kept(self, at: AccessFelt) -> bool:
        if at.rtt_us is None or at.rtt_us > self.rtt_us_max:
            return False
        return not self.response_us_max or at.response_us is None or at.response_us <= self.response_us_max

    @property
    def breaks_law(self) -> bool:
        """Whether it stays where it may not be, and might before."""
        return bool(self.after.broken) and not self.before.broken

    @property
    def loses_fallback(self) -> bool:
        return bool(self.before.fallback and self.after.zones and not self.after.fallback)

    @property
    def gains_fallback(self) -> bool:
        return bool(self.after.fallback and self.before.zones and not self.before.fallback)

    @property
    def breaks_promise(self) -> bool:
        """Whether something that was promised would be kept no more. Losing a fallback alone breaks nothing yet."""
        return self.outcome in LOSES_ITS_PLACE or bool(self.over_budget) or self.breaks_law


@dataclass(frozen=True)
class Answer:
    """What comes of what was supposed. unsettled are workloads that would move without it, too."""

    supposed: tuple[str, ...]
    changes: tuple[Change, ...]
    unsettled: tuple[str, ...]
    zones_before: int
    zones_after: int

    @property
    def breaks_promise(self) -> bool:
        """Whether anybody's promise would be broken."""
        return any(change.breaks_promise for change in self.changes)

    def of(self, *outcomes: Outcome) -> tuple[Change, ...]:
        """The changes with one of these outcomes."""
        return tuple(change for change in self.changes if change.outcome in outcomes)


def answer(present: Estate, changes: Changes) -> Answer:
    """What would become of every workload; SuppositionError where what is supposed does not fit.

    Workloads first come to rest in the world as it is, so that nothing is put down to the change that would happen
    without it.
    """
    before = settle(present)
    after = settle(suppose(before.at_rest(), changes))
    sides = Sides(before), Sides(after)
    found = tuple(_change(name, (before, after), sides) for name in before.residents)
    unsettled = tuple(name for name, one in before.residents.items() if _has_moved(present, name, one))
    return Answer(changes.words(), found, unsettled, _used(before), _used(after))


def _change(name: str, settled: tuple[Settled, Settled], sides: tuple[Sides, Sides]) -> Change:
    before, after = sides[0].of(name), sides[1].of(name)
    workload = settled[1].residents[name].workload
    outcome = _outcome(name, settled, before, after)
    judgement = settled[1].refused.get(name)
    decision = judgement.explained() if judgement is not None and outcome is not Outcome.WAITS else None
    budget = workload.spec.latency
    return Change(
        workload=name,
        outcome=outcome,
        before=before,
        after=after,
        rtt_us_max=budget.rtt_us_max,
        response_us_max=budget.response_us_max,
        percentile=budget.percentile,
        why=_why(decision),
        nearest_fix=decision.nearest_fix if decision else "",
        rejections=decision.rejections if decision else (),
        gave_way_to=settled[1].gave_way.get(name, ""),
        home_is_silent=workload.home in settled[1].estate.silent,
    )


def _outcome(name: str, settled: tuple[Settled, Settled], before: Side, after: Side) -> Outcome:
    resident, estate = settled[1].residents[name], settled[1].estate
    if any(keeps_silence(estate, resident.workload, at.zone) for at in resident.live):
        return Outcome.UNHEARD
    if not after.zones:
        if name in settled[1].gave_way:
            return Outcome.GIVES_WAY
        return Outcome.NOWHERE if before.zones else Outcome.WAITS
    if not before.zones:
        return Outcome.PLACED
    if _is_torn(resident) and not _is_torn(settled[0].residents[name]):
        return Outcome.PARTLY
    return Outcome.STAYS if before.zones == after.zones else Outcome.MOVES


def _is_torn(resident: Resident) -> bool:
    return any(batch.is_torn for batch in batches_of(resident.placements))


def _why(decision: Decision | None) -> str:
    return histogram(decision).describe() if decision else ""


def _has_moved(present: Estate, name: str, resident: Resident) -> bool:
    """Whether it is elsewhere once it has come to rest than it is now."""
    told = next(one for one in present.workloads if one.name == name)
    now = {at.zone for at in told.placements if at.state in LIVE}
    return now != {at.zone for at in resident.live}


def _used(settled: Settled) -> int:
    return len({at.zone for resident in settled.residents.values() for at in resident.live})
