"""The steps of an agreement's life: the owner writes what is agreed anew while the subject runs in its zones.

A step is reached when the owner follows its file; the home operator does not know yet. When the fault is over the
agreement is in force again, so that what was promised can be settled.
"""

from __future__ import annotations

from matrix_steps import REACHED_WITHIN_S, Scene, Step, accepted, answers
from small_world import DIGEST, HOME, PARTNER, spec_in, until

from hansa.spec_file import parse_workload_text
from hansa.v1 import workload_pb2

LONG_NOTICE, SHORT_NOTICE = {"notice": "600s"}, {"notice": "2s"}
ANYWHERE = """\
kind: Workload
name: any
artefact: {{name: tiny, digest: {digest}}}
resources: {{cpu: 500m, memory: 64MiB}}
users: [{{access_point: hamburg, requests_per_s: 1}}]
latency: {{rtt_ms_max: 200}}
residency: {{data: ['NO', DE], control: ['NO', DE]}}
prefer: {{ordered: [{{zones: [waldnetz/hamburg-1, waldnetz/berlin-1]}}]}}
"""


async def _abroad(scene: Scene, spec: workload_pb2.WorkloadSpec) -> None:
    """The subject answers in a zone of the partner's."""
    await accepted(scene, spec)
    scene.old_zone = await answers(scene)
    assert scene.old_zone.startswith(f"{PARTNER}/"), "as its preferences say"
    scene.mark()


async def _followed(scene: Scene, change: str) -> None:
    await scene.seen(change, lambda: scene.said(PARTNER, "agreement", home=HOME, change=change))


async def _amended(scene: Scene) -> None:
    await _abroad(scene, spec_in("DE"))
    scene.world.agree(quotas=[{"zones": ["*"], "of": "all", "claims": 40}])
    await _followed(scene, "AMEND")


async def _suspended(scene: Scene) -> None:
    await _abroad(scene, spec_in("DE"))
    scene.world.agree(standing="suspended")
    await _followed(scene, "SUSPEND")


async def _draining(scene: Scene) -> None:
    """What may run at home as well, though farther from its users."""
    await _abroad(scene, parse_workload_text(ANYWHERE.format(digest=DIGEST), "harbour").spec)
    scene.world.agree(standing="terminated", terms=LONG_NOTICE)
    await _followed(scene, "TERMINATE")


async def _ended(scene: Scene) -> None:
    """What may run nowhere else: what is left of it at the deadline is stopped."""
    await _abroad(scene, spec_in("DE"))
    scene.world.agree(standing="terminated", terms=SHORT_NOTICE)
    await _followed(scene, "DEADLINE")


async def _in_force(scene: Scene) -> None:
    scene.world.agree()
    await scene.world.sees_all_zones()


async def _drained(scene: Scene) -> None:
    """Nothing is left at the partner's, and something answers at home."""

    async def look() -> bool:
        found = await scene.subject()
        zones = [placement.zone for placement in found.placements] if found else []
        return bool(zones) and all(zone.startswith(f"{HOME}/") for zone in zones)

    await until("the subject is at home", look, REACHED_WITHIN_S)
    await _followed(scene, "DRAINED")
    await _in_force(scene)


async def _stopped(scene: Scene) -> None:
    async def look() -> bool:
        return not any(one.name.startswith(scene.claims) for one in scene.world.instances())

    await until("nothing of the subject runs", look, REACHED_WITHIN_S)
    await _in_force(scene)


_ALL = ("home", "partner", "agent", "instance")

AGREEMENT_STEPS: tuple[Step, ...] = (
    Step("agreement", "amended", "another version is in force at the owner, home does not know", _amended, _ALL,
         ("partner",), keeps_alive=True, end=_in_force),
    Step("agreement", "suspended", "the owner takes nothing new, home does not know", _suspended, _ALL,
         ("partner",), keeps_alive=True, end=_in_force),
    Step("agreement", "draining", "notice was given and all must leave; home does not know", _draining, _ALL,
         ("partner", "agent"), keeps_alive=True, end=_drained),
    Step("agreement", "ended", "the deadline has passed, what was left there is being stopped", _ended, _ALL[:3],
         ("partner", "agent"), end=_stopped),
)  # fmt: skip
