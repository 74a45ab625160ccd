"""A workload in several forms: what one zone runs as files another runs as an image, and nothing else runs."""

from __future__ import annotations

from dataclasses import replace

from hansa_control.application.ports import Refused
from hansa_control.domain.model import ArtefactRef, HoldGrant, Reason
from home_operator import ARTEFACT, spec
from owner_operator import MANIFEST, PARTNER, ZONE, OwnerSide, advert, inventory, owner_side

IMAGE = ArtefactRef("ocr-image", "sha256:" + "c" * 64)
OTHER = ArtefactRef("ocr-image", "sha256:" + "d" * 64)
IN_TWO_FORMS = replace(spec(), artefact_forms=(IMAGE,))


async def allowing(*artefacts: ArtefactRef) -> OwnerSide:
    side = await owner_side()
    await allow(side, *artefacts)
    return side


async def allow(side: OwnerSide, *artefacts: ArtefactRef) -> None:
    told = advert("inventory", inventory(artefacts=artefacts), etag=f"{artefacts}")
    assert await side.plane.agents.adverts(ZONE, [told], []) == ()


async def ordered(side: OwnerSide) -> ArtefactRef:
    granted = await side.hold("c1", IN_TWO_FORMS)
    assert isinstance(granted, HoldGrant)
    await side.plane.owner.confirm(PARTNER, "c1", granted.fencing_token, MANIFEST)
    return run(side)


def run(side: OwnerSide) -> ArtefactRef:
    (order,) = side.plane.owner.desired_instances(ZONE)
    return order.artefact


async def test_a_zone_runs_the_form_that_its_owner_allows() -> None:
    assert await ordered(await allowing(IMAGE)) == IMAGE


async def test_the_artefact_itself_goes_before_other_forms() -> None:
    assert await ordered(await allowing(IMAGE, ARTEFACT)) == ARTEFACT


async def test_what_runs_stays_in_its_form_though_its_owner_allows_another_later() -> None:
    side = await allowing(IMAGE)
    await ordered(side)
    await allow(side, ARTEFACT, IMAGE)
    assert run(side) == IMAGE
    again = await owner_side(side.store.reopen())
    assert run(again) == IMAGE


async def test_a_form_with_another_digest_is_refused_and_says_which_is_allowed() -> None:
    refused = await (await allowing(OTHER)).hold("c1", IN_TWO_FORMS)
    assert isinstance(refused, Refused)
    (rejection,) = refused.rejections
    assert rejection.reason is Reason.ARTEFACT_NOT_ALLOWED
    assert rejection.result.measured == f"allowed as {OTHER.digest}"
    assert rejection.result.bound == f"ocr-server@{ARTEFACT.digest} or ocr-image@{IMAGE.digest}"
