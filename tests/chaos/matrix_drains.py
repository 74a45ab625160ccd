"""The steps of a drain: the owner empties the zone in which the subject runs, into its other one."""

from __future__ import annotations

from matrix_steps import (
    REACHED_WITHIN_S,
    Scene,
    Step,
    accepted,
    answers,
    granted,
    new_answers,
    old_is_ended,
    starts_abroad,
    then,
)
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
    Step("drain", "new-held", "the other zone is granted, home does not know", then(_announced, granted),
         _ALL, ("partner",),
         keeps_alive=True, end=_emptied),
    Step("drain", "new-started", "the new instance was started, its operator does not know",
         then(_announced, starts_abroad),
         _ALL,
         ("partner", "agent"), keeps_alive=True, end=_emptied),
    Step("drain", "new-ready", "the new instance answers, only its agent may know",
         then(_announced, starts_abroad, new_answers),
         _ALL, ("agent",),
         keeps_alive=True, end=_emptied),
    Step("drain", "old-released", "the old instance is told to end", then(_announced, starts_abroad, old_is_ended),
         _ALL, ("agent",),
         keeps_alive=True, end=_emptied),
)  # fmt: skip
