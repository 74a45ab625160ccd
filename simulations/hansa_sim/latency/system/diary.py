"""What happened in a day: faults, when they were seen, whom they hit, who moved, and what all users got."""

from __future__ import annotations

from dataclasses import dataclass, field

from hansa_control.domain.agent_session import SessionState
from hansa_control.domain.model import Workload

from hansa_sim.latency.system.bridge import Asked
from hansa_sim.latency.system.service import Flow, Service, Sums
from hansa_sim.latency.transients import Happening, Move
from hansa_sim.latency.world import World
from hansa_sim.world import World as Platform

SECOND_US = 1_000_000


@dataclass(slots=True)
class Outage:
    """Some users of a workload are not served; ``end_us`` is None as long as that lasts."""

    workload: int
    begin_us: int
    end_us: int | None = None


@dataclass(slots=True)
class _Fall:
    """A fault that has come: zones that were not seen to be gone yet, workloads that it hit, at once or when it was
    noticed, and those of them that still lack.
    """

    title: str
    at_us: int
    unseen: set[str]
    lacking: set[int] = field(default_factory=set)
    hit: set[int] = field(default_factory=set)


class Diary:
    """Watches from the outside, as often as something may have changed. ``look`` is for the loop's quiet moments."""

    def __init__(self, world: World, platform: Platform, asked: tuple[Asked, ...], services: list[Service]) -> None:
        self.happenings: list[Happening] = []
        self.moves: list[Move] = []
        self.outages: list[Outage] = []
        self.detect_us: list[int] = []
        self.sums = [Sums() for _ in services]
        self.begin_us = 0
        self._zones = [str(zone.id) for zone in world.zones]
        self._platform, self._loop = platform, platform.loop
        self._asked, self._services = asked, services
        self._keys = [(one.home, str(one.id)) for one in asked]
        self._homes = sorted({one.home for one in asked})
        self._records: list[Workload | None] = [None] * len(asked)
        self._flows: list[Flow] = []
        self._since_us: list[int] = []
        self._told: list[list[tuple[int, ...]]] = []
        self._open: dict[int, Outage] = {}
        self._falls: list[_Fall] = []
        self._machines: list[int] = []

    def begin(self) -> None:
        """The day begins: what was before does not count."""
        self.begin_us = self._loop.day_us
        self._flows = [self._flow(number) for number in range(len(self._asked))]
        self._since_us = [self.begin_us] * len(self._asked)
        self._told = [[flow.told] for flow in self._flows]
        self._machines = self._ended()
        for number, flow in enumerate(self._flows):
            if not flow.is_whole:
                self._open[number] = Outage(number, self.begin_us)

    def end(self) -> None:
        """The day is over: everything is summed up to here."""
        for number in range(len(self._asked)):
            self._close(number)
        self.outages += self._open.values()

    # --- what is done to the platform ---

    def fallen(self, title: str, zones: frozenset[str]) -> None:
        """A fault has just come."""
        self._tell("fault", title)
        self._falls.append(_Fall(title, self._loop.day_us, set(zones)))
        self.look_at_all()

    def mended(self, title: str) -> None:
        """A fault is over."""
        self._tell("mended", title)
        self.look_at_all()

    # --- looking ---

    def look(self) -> None:
        """Takes note of what has changed; cheap where nothing has."""
        if self._flows and self._platform.is_dirty:
            self._look_at_workloads(changed_only=True)
        for fall in self._falls:
            if fall.unseen:
                self._look_for_detection(fall)

    def look_at_all(self) -> None:
        """Ways or machines are others than they were."""
        if self._flows:
            self._look_at_workloads(changed_only=False)

    def _look_at_workloads(self, *, changed_only: bool) -> None:
        planes = {home: plane for home in self._homes if (plane := self._platform.plane(home)) is not None}
        ended, before_ended = self._ended(), self._machines
        changed_only, self._machines = changed_only and ended == before_ended, ended
        workloads, before = {home: plane.state.workloads for home, plane in planes.items()}, self._records
        self._records = [workloads[home].get(key) if home in workloads else None for home, key in self._keys]
        for number, (held, former) in enumerate(zip(self._records, before, strict=True)):
            is_told = self._keys[number][0] in planes  # else users go on as they were told
            if is_told and (held is not former or not changed_only):
                self._compare(number, self._flow(number))

    def _flow(self, number: int) -> Flow:
        asked = self._asked[number]
        return self._services[asked.part].flow(asked)

    def _ended(self) -> list[int]:
        return [len(node.machine.ended_us) for node in self._platform.zones.values()]

    def _compare(self, number: int, flow: Flow) -> None:
        before = self._flows[number]
        if flow == before:
            return
        self._close(number)
        self._flows[number] = flow
        if flow.told != self._told[number][-1] and flow.told:
            self._moved(number, flow.told)
        if before.is_whole and not flow.is_whole:
            self._open[number] = Outage(number, self._loop.day_us)
            for fall in self._falls[-1:]:
                fall.lacking.add(number)
                fall.hit.add(number)
        elif flow.is_whole and not before.is_whole:
            self._served_again(number)

    def _close(self, number: int) -> None:
        now_us = self._loop.day_us
        self.sums[self._asked[number].part].add(self._flows[number], (now_us - self._since_us[number]) / SECOND_US)
        self._since_us[number] = now_us

    def _moved(self, number: int, told: tuple[int, ...]) -> None:
        history = self._told[number]
        before, is_back = history[-1], told in history
        history.append(told)
        if before:
            left, gone_to = (",".join(self._zones[column] for column in columns) for columns in (before, told))
            self.moves.append(Move(self._at_s(), str(self._asked[number].id), left, gone_to, is_back))

    def _served_again(self, number: int) -> None:
        outage = self._open.pop(number)
        outage.end_us = self._loop.day_us
        self.outages.append(outage)
        for fall in self._falls:
            if number in fall.lacking:
                fall.lacking.discard(number)
                if not fall.lacking:
                    self._tell("re-placed", f"all {len(fall.hit)} workloads that {fall.title} hit are served again")

    def _look_for_detection(self, fall: _Fall) -> None:
        for zone in sorted(fall.unseen):
            operator, _, name = zone.partition("/")
            plane = self._platform.plane(operator)
            session = plane.world.sessions.get(name) if plane else None
            if session is not None and session.state is SessionState.LOST:
                fall.unseen.discard(zone)
                self.detect_us.append(self._loop.day_us - fall.at_us)
                self._tell("detected", f"{operator} has lost {zone}")

    def _tell(self, kind: str, what: str) -> None:
        self.happenings.append(Happening(self._at_s(), kind, what))

    def _at_s(self) -> float:
        return (self._loop.day_us - self.begin_us) / SECOND_US
