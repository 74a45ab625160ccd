"""Cordon, drain and maintenance of the operator's own zones: asked once, kept durably, told to everybody concerned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches

from hansa_control.application.ports import Clock, RefusalError, Table
from hansa_control.application.state import State
from hansa_control.application.world import World
from hansa_control.domain import upkeep as rules
from hansa_control.domain.batches import LIVE, batches_of
from hansa_control.domain.model import (
    Claim,
    ClaimState,
    Condition,
    ConditionStatus,
    Reason,
    Upkeep,
    Window,
    Workload,
    ZoneId,
)
from hansa_control.domain.upkeep import UpkeepAsked, UpkeepInvalid

_UNSAID = "it has not been looked at yet"


@dataclass(frozen=True, slots=True)
class Occupant:
    """A claim that takes capacity of a zone, whether it is known to have nowhere else to go, and why it is there."""

    claim: str
    home: str
    workload: str
    state: ClaimState
    stranded: bool
    why: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What holds of a zone, and what each side asks: its operator, and the site through its agent."""

    upkeep: Upkeep
    operator: Upkeep
    site: Upkeep


class UpkeepDesk:
    """Keeps what was asked for each zone, and joins to it what the site asks. Partners see what follows in the offers;
    their home operators move what is theirs.
    """

    def __init__(self, operator: str, records: tuple[State, World], clock: Clock) -> None:
        self._operator = operator
        self._state, self._world = records
        self._clock = clock
        self._timed: set[str] = set()
        self.on_changed: Callable[[ZoneId], None] = lambda zone: None

    # --- asking ---

    async def cordon(self, zone: ZoneId, note: str) -> Upkeep:
        """The zone takes in nothing new; durable on return, as with every other change. RefusalError, likewise."""
        return await self._kept(rules.cordoned(self._asked(zone), note))

    async def uncordon(self, zone: ZoneId) -> Upkeep:
        """The zone is neither cordoned nor drained."""
        return await self._kept(rules.uncordoned(self._asked(zone)))

    async def drain(self, zone: ZoneId, note: str, due_ms: int) -> Upkeep:
        """What runs in the zone moves away. By due_ms (wall clock, 0 none) it is to be empty; nothing is stopped."""
        if due_ms and due_ms <= self._clock.wall_ms():
            raise RefusalError(Reason.INVALID_FIELD, "has passed", "due_ms")
        return await self._kept(rules.drained(self._asked(zone), note, due_ms))

    async def announce(self, zone: ZoneId, window: Window) -> Upkeep:
        """Maintenance at a time."""
        asked = self._asked(zone)
        try:
            return await self._kept(rules.announced(asked, window, self._clock.wall_ms()))
        except UpkeepInvalid as error:
            raise RefusalError(Reason.INVALID_FIELD, str(error), f"window.{error.field}") from error

    async def withdraw(self, zone: ZoneId, from_ms: int) -> Upkeep:
        """Takes back the window of that begin; every window, if it is 0."""
        asked = self._asked(zone)
        try:
            return await self._kept(rules.withdrawn(asked, from_ms))
        except UpkeepInvalid as error:
            raise RefusalError(Reason.NOT_FOUND, str(error), error.field) from error

    def _asked(self, zone: ZoneId) -> UpkeepAsked:
        """What is asked for a zone so far; RefusalError for a zone that is not the operator's own."""
        if zone.operator != self._operator:
            message = f"{zone} is {zone.operator}'s; only its owner decides on it"
            raise RefusalError(Reason.PERMISSION_DENIED, message, "name")
        known = self._world.zone_names()
        if zone.zone not in known:
            near = get_close_matches(zone.zone, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise RefusalError(Reason.NOT_FOUND, f"no zone {zone}{hint}", "name")
        return self._state.upkeep.get(zone.zone, UpkeepAsked(zone.zone))

    async def _kept(self, asked: UpkeepAsked) -> Upkeep:
        asked = rules.without_past(asked, self._clock.wall_ms())
        self._put(asked)
        self.follow(asked.zone)
        await self._state.commit()
        return self._world.upkeep(asked.zone)

    def _put(self, asked: UpkeepAsked) -> None:
        if asked.is_nothing:
            self._state.delete(Table.UPKEEP, asked.zone)
        elif self._state.upkeep.get(asked.zone) != asked:
            self._state.put(Table.UPKEEP, asked.zone, asked)

    # --- time ---

    def tick(self) -> None:
        """Takes note of what begins or ends by itself."""
        now_ms = self._clock.wall_ms()
        for zone in sorted(self._timed):
            if (asked := self._state.upkeep.get(zone)) is not None:
                self._put(rules.without_past(asked, now_ms))
            self.follow(zone)

    def recover(self) -> None:
        """After loading: what was asked before holds, by either side."""
        for zone in sorted({*self._state.upkeep, *self._world.zone_names()}):
            self.follow(zone)

    def follow(self, zone: str) -> None:
        """What either side asks for a zone may be another: what follows from it counts from now on."""
        self._timed.discard(zone)
        if any(asked.windows for asked in self._sides(zone)):
            self._timed.add(zone)
        if self._world.set_upkeep(zone, self._decided(zone).upkeep):
            self.on_changed(ZoneId(self._operator, zone))

    def _sides(self, zone: str) -> tuple[UpkeepAsked, UpkeepAsked]:
        inventory = self._world.inventory(zone)
        wish = inventory.wish if inventory is not None else None
        return self._state.upkeep.get(zone, UpkeepAsked(zone)), rules.wished(zone, wish)

    def _decided(self, zone: str) -> Decided:
        now_ms = self._clock.wall_ms()
        operator, site = (rules.upkeep_at(asked, now_ms) for asked in self._sides(zone))
        return Decided(rules.merged(operator, site), operator, site)

    # --- looking ---

    def upkeep(self, zone: ZoneId) -> Upkeep:
        """As it is now; RefusalError for a zone that is not the operator's own."""
        self._asked(zone)
        return self._world.upkeep(zone.zone)

    def decided(self, zone: ZoneId) -> Decided:
        """The same, and what each side asks."""
        self._asked(zone)
        return replace(self._decided(zone.zone), upkeep=self._world.upkeep(zone.zone))

    def occupants(self, zone: ZoneId) -> tuple[Occupant, ...]:
        """What takes capacity of the zone, by home and claim."""
        self._asked(zone)
        claims = sorted(self._world.claims_in(zone.zone), key=lambda claim: (claim.home, claim.name))
        return tuple(self._occupant(claim) for claim in claims)

    def _occupant(self, claim: Claim) -> Occupant:
        workload = claim.manifest.workload if claim.manifest else ""
        held = self._state.workloads.get(workload) if claim.home == self._operator else None
        stranded = held is not None and _condition(held, "Stranded").status is ConditionStatus.TRUE
        return Occupant(claim.name, claim.home, workload, claim.state, stranded, self._why(claim, held))

    def _why(self, claim: Claim, held: Workload | None) -> str:
        if claim.state is ClaimState.RELEASING:
            return "given back; it is being stopped"
        if claim.state is ClaimState.HELD:
            return "held for a placement that is not confirmed yet"
        if claim.home != self._operator:
            return f"{claim.home} has not moved it yet"
        if held is None:
            return "its workload is not known any more"
        stranded = _condition(held, "Stranded")
        if stranded.status is ConditionStatus.TRUE:
            return f"nowhere else to go: {stranded.message}"
        batches = batches_of(held.placements, LIVE)
        if len(batches) > 1:
            return f"moves to {', '.join(str(part.zone) for part in batches[-1].parts)}"
        return _UNSAID if claim.state is not ClaimState.LOST else "the zone is not heard"


def _condition(workload: Workload, kind: str) -> Condition:
    none = Condition(kind, ConditionStatus.UNKNOWN, "", "", 0, 0)
    return next((condition for condition in workload.conditions if condition.type == kind), none)
