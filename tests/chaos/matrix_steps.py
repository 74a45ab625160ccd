"""The steps of a workload's and of a federation's life, how each is brought about, and how it is seen from outside.

While a step is under way every message takes ``STRETCH_MS`` on its way, so that what a process has just said in its log
is not yet known to the next one: that moment is the step. Nothing in the processes knows that it is watched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fault_proxy import Way
from promises import History
from proxied_world import CLIENT_LINK, PARTNER_LINK, ProxiedWorld
from small_world import CAST, HOME, PARTNER, READY, spec_in, until

from hansa.client import Client
from hansa.errors import HansaError
from hansa.v1 import workload_pb2, zone_pb2

REACHED_WITHIN_S = 120.0
SEEN_EVERY_S = 0.005
PROPOSAL_BYTES = 1_500
"""Of what a home operator sends to its partner: past the greeting of TLS, on to certificate and first call."""


@dataclass(slots=True)
class Scene:
    """What one cell of the matrix is about."""

    world: ProxiedWorld
    client: Client
    history: History
    name: str
    uid: str = ""
    old_zone: str = ""
    new_zone: str = ""
    marks: dict[str, int] = field(default_factory=dict)
    acts: list[asyncio.Task[object]] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return f"tenants/harbour/workloads/{self.name}"

    @property
    def claims(self) -> str:
        """How the names of the subject's claims begin, and of its instances."""
        return f"c{self.uid[:16]}-"

    def mark(self) -> None:
        """From now on counts what processes say."""
        self.marks = {name: self.world.mark(name) for name in self.world.processes.names()}

    def said(self, name: str, event: str, **fields: str) -> bool:
        return self.world.said_since(name, self.marks.get(name, 0), event, **fields)

    def starts_in(self, operator: str) -> bool:
        """Whether an agent of an operator's has started an instance of the subject; in which zone is noted."""
        for zone in (f"{operator}/{zone}" for zone in CAST[operator]):
            if self.said(zone, "instance started", instance=self.claims):
                self.new_zone = zone
        return bool(self.new_zone)

    async def seen(self, what: str, look: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + REACHED_WITHIN_S
        while not look():
            assert loop.time() < deadline_s, f"never came to it: {what}"
            await asyncio.sleep(SEEN_EVERY_S)

    async def subject(self) -> workload_pb2.Workload | None:
        try:
            return await self.client.get(self.name)
        except HansaError as error:
            if error.reason != "NOT_FOUND":
                raise
            return None

    def act(self, work: Awaitable[object]) -> None:
        """Something that is asked while the fault comes; awaited when it is over."""

        async def done() -> object:
            return await work

        self.acts.append(asyncio.create_task(done()))


Begin = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Step:
    """``begin`` brings a step about from a world in which nothing is under way; it returns when the step is reached.

    ``links`` are the ways that messages of the step are on; "agent" is that of the zone it is about.
    """

    group: str
    name: str
    meaning: str
    begin: Callable[[Scene], Awaitable[None]]
    victims: tuple[str, ...]
    links: tuple[str, ...] = ()
    keeps_alive: bool = False
    """Whether an instance of the subject lives at every instant, whatever is struck but itself."""
    end: Callable[[Scene], Awaitable[None]] | None = None
    """What brings the world back to where everything may be settled, when the fault is over."""

    @property
    def full_name(self) -> str:
        return f"{self.group}/{self.name}"


# --- submit ---------------------------------------------------------------------------------------------------------


async def _submit(scene: Scene, spec: workload_pb2.WorkloadSpec) -> None:
    scene.mark()
    scene.act(scene.history.submit(scene.client, scene.name, spec))


async def _received(scene: Scene, country: str = "DE") -> None:
    scene.world.stretch()
    await _submit(scene, spec_in(country))
    await scene.seen(
        "accepted", lambda: scene.said(HOME, "submitted", workload=f"tenants/harbour/workloads/{scene.name}")
    )


async def _accepted(scene: Scene, country: str = "DE") -> None:
    await accepted(scene, spec_in(country))


async def accepted(scene: Scene, spec: workload_pb2.WorkloadSpec) -> None:
    """Accepted, and by which name its claims will go; the client's own way is as short as ever."""
    scene.world.stretch(*(link for link in scene.world.links if link != CLIENT_LINK))
    await _submit(scene, spec)
    await scene.acts[-1]
    found = await scene.subject()
    assert found is not None
    scene.uid = found.uid


async def _intended(scene: Scene) -> None:
    await _accepted(scene)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + REACHED_WITHIN_S
    while not (scene.new_zone or loop.time() > deadline_s):
        found = await scene.subject()
        scene.new_zone = next((p.zone for p in found.placements), "") if found else ""
    assert scene.new_zone, "no intent was seen"


async def _held(scene: Scene) -> None:
    await _accepted(scene)
    await granted(scene)


async def granted(scene: Scene) -> None:
    """The partner has granted a claim of the subject's since the last mark."""
    await scene.seen("granted", lambda: scene.said(PARTNER, "hold_answered", claim=scene.claims, outcome="HoldGrant"))
    await _find_new_zone(scene)


async def _confirmed(scene: Scene) -> None:
    await _accepted(scene)
    await scene.seen("confirmed", lambda: scene.said(PARTNER, "claim_confirmed", claim=scene.claims))
    await _find_new_zone(scene)


async def _find_new_zone(scene: Scene) -> None:
    found = await scene.subject()
    assert found is not None
    scene.new_zone = next((p.zone for p in found.placements if p.zone != scene.old_zone), "")


async def _started(scene: Scene, country: str = "DE") -> None:
    await _accepted(scene, country)
    await scene.seen("started", lambda: scene.starts_in(PARTNER if country == "DE" else HOME))


async def _ready(scene: Scene, country: str = "DE") -> None:
    await _accepted(scene, country)
    await answers(scene)


async def answers(scene: Scene) -> str:
    """The zone in which the subject answers, once it does."""

    async def look() -> str:
        found = await scene.subject()
        return next((p.zone for p in found.placements if p.state == READY), "") if found else ""

    scene.new_zone = await until("the subject answers", look, REACHED_WITHIN_S)
    return scene.new_zone


# --- move -----------------------------------------------------------------------------------------------------------


async def _move(scene: Scene) -> None:
    """Runs at home, and is to run at the partner's from now on: another spec."""
    await _accepted(scene, "NO")
    scene.old_zone = await answers(scene)
    scene.new_zone = ""
    scene.mark()
    await scene.history.submit(scene.client, scene.name, spec_in("DE"), generation=2)


async def starts_abroad(scene: Scene) -> None:
    """An instance of the subject was started at the partner's since the last mark."""
    await scene.seen("started", lambda: scene.starts_in(PARTNER))


async def new_answers(scene: Scene) -> None:
    """The instance that was started is ready, whoever knows of it."""
    await scene.seen("ready", lambda: scene.world.is_ready(scene.new_zone, scene.claims))


async def old_is_ended(scene: Scene) -> None:
    """The agent of the zone that is left was told to end what ran there."""
    await scene.seen("stopping", lambda: scene.said(scene.old_zone, "instance told to end", instance=scene.claims))


def then(begin: Begin, *reached: Begin) -> Begin:
    """A step that is reached after another beginning, one thing seen after the other."""

    async def begun(scene: Scene) -> None:
        for each in (begin, *reached):
            await each(scene)

    return begun


# --- delete ---------------------------------------------------------------------------------------------------------


async def _delete(scene: Scene) -> None:
    await _accepted(scene, "DE")
    scene.old_zone = scene.new_zone = await answers(scene)
    scene.world.stretch()
    scene.mark()
    scene.act(scene.history.delete(scene.client, scene.name))


async def _asked(scene: Scene) -> None:
    await _delete(scene)
    await scene.seen("accepted", lambda: scene.said(HOME, "deletion_accepted", workload=scene.full_name))


async def _taken_back(scene: Scene) -> None:
    await _delete(scene)
    await scene.seen("taken back", lambda: scene.said(PARTNER, "claim_released", claim=scene.claims))


async def _stopping(scene: Scene) -> None:
    await _delete(scene)
    await scene.seen("stopping", lambda: scene.said(scene.old_zone, "instance told to end", instance=scene.claims))


async def _stopped(scene: Scene) -> None:
    await _delete(scene)
    await scene.seen("stopped", lambda: scene.said(scene.old_zone, "instance ended", instance=scene.claims))


# --- federation -----------------------------------------------------------------------------------------------------


async def _strangers(scene: Scene) -> asyncio.Event:
    """Both operators as if they had never met, the home operator about to propose; set once it does."""
    proposes = asyncio.Event()
    for operator in (HOME, PARTNER):
        scene.world.forget_everything(operator)
    await scene.world.start_again(PARTNER)
    scene.world.stretch()
    scene.mark()
    scene.world.links[PARTNER_LINK].after_bytes(Way.TO, PROPOSAL_BYTES, proposes.set)
    scene.world.processes.start_operator(HOME)
    return proposes


async def _proposed(scene: Scene) -> None:
    async with asyncio.timeout(REACHED_WITHIN_S):
        await (await _strangers(scene)).wait()


async def _federated(scene: Scene) -> None:
    await _strangers(scene)
    await scene.seen("accepted", lambda: scene.said(PARTNER, "federated", home=HOME))


async def _streaming(scene: Scene) -> None:
    await _strangers(scene)
    await scene.seen("offers asked for", lambda: scene.said(PARTNER, "partner_connected", home=HOME))


async def _lost(scene: Scene) -> None:
    """The partner was not heard for longer than its offers live; it is heard again when the fault is over."""
    await _ready(scene)
    scene.world.links[PARTNER_LINK].cut()

    async def look() -> bool:
        zones = [zone async for zone in scene.client.zones() if f"/{PARTNER}/" in f"/{zone.name}/"]
        return bool(zones) and all(zone.state != zone_pb2.ZONE_STATE_AVAILABLE for zone in zones)

    await until("the partner's zones are stale", look, REACHED_WITHIN_S)


def _at_home(begin: Callable[[Scene, str], Awaitable[None]]) -> Callable[[Scene], Awaitable[None]]:
    async def begun(scene: Scene) -> None:
        await begin(scene, "NO")

    return begun


_ALL = ("home", "partner", "agent", "instance")

STEPS: tuple[Step, ...] = (
    Step("submit", "received", "durable at home, the client has no answer yet", _received, _ALL[:2], ("client",)),
    Step("submit", "intended", "the intent is durable, the owner is not reached", _intended, _ALL[:3], ("partner",)),
    Step("submit", "held", "the owner has granted, home does not know", _held, _ALL[:3], ("partner",)),
    Step("submit", "confirmed", "the owner has confirmed; neither home nor the agent knows", _confirmed, _ALL[:3],
         ("partner", "agent")),
    Step("submit", "started", "the instance was started, its operator does not know", _started, _ALL, ("agent",)),
    Step("submit", "ready", "it answers and everybody knows", _ready, _ALL, ("partner", "agent")),
    Step("submit-at-home", "received", "durable, the client has no answer yet", _at_home(_received), ("home",)),
    Step("submit-at-home", "started", "the instance was started, its operator does not know", _at_home(_started),
         ("home", "agent", "instance"), ("agent",)),
    Step("submit-at-home", "ready", "it answers", _at_home(_ready), ("home", "agent", "instance"), ("agent",)),
    Step("move", "new-held", "the new owner has granted, home does not know",
         then(_move, granted), _ALL, ("partner",),
         keeps_alive=True),
    Step("move", "new-started", "the new instance was started, its operator does not know",
         then(_move, starts_abroad), _ALL,
         ("partner", "agent"), keeps_alive=True),
    Step("move", "new-ready", "the new instance answers, only its agent may know",
         then(_move, starts_abroad, new_answers), _ALL, ("agent",),
         keeps_alive=True),
    Step("move", "old-released", "the old instance is told to end",
         then(_move, starts_abroad, old_is_ended), _ALL, ("agent",), keeps_alive=True),
    Step("delete", "asked", "durable at home, the client has no answer yet", _asked, _ALL, ("client", "partner")),
    Step("delete", "taken-back", "the owner has taken note, home does not know", _taken_back, _ALL[:3],
         ("partner", "agent")),
    Step("delete", "stopping", "the instance is told to end", _stopping, _ALL[:3], ("agent",)),
    Step("delete", "stopped", "the instance has ended, its operator does not know", _stopped, _ALL[:3], ("agent",)),
    Step("federation", "proposed", "the first proposal is on its way", _proposed, _ALL[:2], ("partner",)),
    Step("federation", "accepted", "the owner has accepted, home does not know", _federated, _ALL[:2], ("partner",)),
    Step("federation", "streaming", "the first offers are on their way", _streaming, _ALL[:2], ("partner",)),
    Step("federation", "lost", "the partner was silent for too long, and is heard again", _lost, _ALL[:2]),
)  # fmt: skip
