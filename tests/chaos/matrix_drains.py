"""The steps of a drain: the owner empties the zone in which the subject runs, into its other one."""

from __future__ import annotations

from matrix_steps import REACHED_WITHIN_S, Scene, Step, accepted, answers, granted, starts_abroad
from small_world import PARTNER, spec_in, until

from hansa.operator_client import OperatorClient
from hansa.profile import load_profile


def _engineer(scene: Scene) -> OperatorClient:
    """A client with the owner's own certificate, on a way of its own."""
    return OperatorClient(load_profile(scene.world.prepared.operator(PARTNER) / "profile.yaml"))


def _local(zone: str) -> str:
    return zone.partition("/")[2]


async def _announced(scene: Scene) -> None:
    await accepted(scene, spec_in("DE"))
    scene.old_zone = await answers(scene)
    scene.new_zone = ""
    scene.mark()
    async with _engineer(scene) as engineer:
        await engineer.drain(_local(scene.old_zone), note="new switch")


async def _new_held(scene: Scene) -> None:
    await _announced(scene)
    await granted(scene)


async def _new_started(scene: Scene) -> None:
    await _announced(scene)
    await starts_abroad(scene)


async def _new_ready(scene: Scene) -> None:
    await _new_started(scene)
    await scene.seen("ready", lambda: scene.world.is_ready(scene.new_zone, scene.claims))


async def _old_released(scene: Scene) -> None:
    await _new_started(scene)
    await scene.seen("stopping", lambda: scene.said(scene.old_zone, "instance told to end", instance=scene.claims))


async def _emptied(scene: Scene) -> None:
    """The drained zone is empty of everything, and takes something again afterwards."""
    zone = _local(scene.old_zone)
    async with _engineer(scene) as engineer:

        async def look() -> bool:
            return not (await engineer.zone_upkeep(zone)).occupants

        await until(f"{zone} is empty", look, REACHED_WITHIN_S)
        await engineer.uncordon(zone)


_ALL = ("home", "partner", "agent", "instance")

DRAIN_STEPS: tuple[Step, ...] = (
    Step("drain", "announced", "durable at the owner, home does not know", _announced, _ALL, ("partner",),
         keeps_alive=True, end=_emptied),
    Step("drain", "new-held", "the other zone is granted, home does not know", _new_held, _ALL, ("partner",),
         keeps_alive=True, end=_emptied),
    Step("drain", "new-started", "the new instance was started, its operator does not know", _new_started, _ALL,
         ("partner", "agent"), keeps_alive=True, end=_emptied),
    Step("drain", "new-ready", "the new instance answers, only its agent may know", _new_ready, _ALL, ("agent",),
         keeps_alive=True, end=_emptied),
    Step("drain", "old-released", "the old instance is told to end", _old_released, _ALL, ("agent",),
         keeps_alive=True, end=_emptied),
)  # fmt: skip
