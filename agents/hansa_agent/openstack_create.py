"""Makes a server: image, flavor and server group are looked up, and what the cloud answers becomes a refusal or not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.config_openstack import ServerSection
from hansa_agent.openstack_api import BUSY, Answer, CloudBusy, OpenStackApi
from hansa_agent.openstack_flavors import Flavor, flavor_in
from hansa_agent.openstack_marks import metadata_of, server_name, zone_tag
from hansa_agent.ports import StartRefused

FLAVORS_PAGE, FLAVOR_PAGES_MAX = 500, 20
_PASSING = (401, 403, 409)
_GROUP_POLICIES = {"soft": "soft-anti-affinity", "hard": "anti-affinity"}


async def flavors_of(api: OpenStackApi) -> list[Flavor]:
    """Every flavor that the project may use; raises what ``OpenStackApi.get`` raises."""
    found: list[Flavor] = []
    marker = ""
    for _ in range(FLAVOR_PAGES_MAX):
        after = f"&marker={quote(marker)}" if marker else ""
        page = (await api.get("compute", f"/flavors/detail?limit={FLAVORS_PAGE}{after}")).get("flavors", [])
        found += [flavor_in(one) for one in page if not one.get("OS-FLV-DISABLED:disabled")]
        if len(page) < FLAVORS_PAGE:
            break
        marker = str(page[-1]["id"])
    return found


async def image_of(api: OpenStackApi, name: str) -> str:
    """The id of the newest image of that name, or of that id; raises ``StartRefused`` if there is none."""
    for query in (f"name={quote(name)}", f"id={quote(name)}"):
        path = f"/v2/images?{query}&status=active&sort=created_at:desc&limit=1"
        images = (await api.get("image", path)).get("images", [])
        if images:
            return str(images[0]["id"])
    raise StartRefused(f"the cloud has no active image {name!r} for this project", permanent=True)


async def group_of(api: OpenStackApi, zone: str, claim: str, section: ServerSection) -> str:
    """The id of the server group that keeps the instances of a claim apart; empty if none is wanted.

    Two of the same name may come of a lost answer; the one with the first id is used by everybody.
    """
    if not section.anti_affinity:
        return ""
    name = group_name(zone, claim)
    path = "/os-server-groups"
    listed = (await api.get("compute", path)).get("server_groups", [])
    found = sorted(str(one["id"]) for one in listed if one["name"] == name)
    if found:
        return found[0]
    wanted = {"server_group": {"name": name, "policy": _GROUP_POLICIES[section.anti_affinity]}}
    answer = await api.call("POST", "compute", path, wanted)
    if not answer.ok:
        raise refusal(answer)
    return str(answer.body["server_group"]["id"])


def group_name(zone: str, claim: str) -> str:
    """The name of the group of a claim; it begins as all groups of the zone do."""
    return f"{group_prefix(zone)}{hashlib.sha256(claim.encode()).hexdigest()[:20]}"


def group_prefix(zone: str) -> str:
    return f"{zone_tag(zone)}-claim-"


def server_body(
    zone: str, order: DesiredInstance, section: ServerSection, made_of: Mapping[str, str]
) -> dict[str, Any]:
    """What Nova is asked for. ``made_of`` has image, flavor, group (or empty) and user_data (base64)."""
    server: dict[str, Any] = {
        "name": server_name(zone, order.instance),
        "imageRef": made_of["image"],
        "flavorRef": made_of["flavor"],
        "metadata": metadata_of(zone, order),
        "tags": [zone_tag(zone)],
        "user_data": made_of["user_data"],
        "config_drive": True,
        "networks": [{"uuid": network} for network in section.networks] or "none",
    }
    if section.networks and section.security_groups:
        server["security_groups"] = [{"name": name} for name in section.security_groups]
    if section.availability_zone:
        server["availability_zone"] = section.availability_zone
    hints = {"os:scheduler_hints": {"group": made_of["group"]}} if made_of["group"] else {}
    return {"server": server, **hints}


async def create(api: OpenStackApi, body: Mapping[str, Any]) -> str:
    """Asks for a server and returns its id.

    Raises ``StartRefused`` with the cloud's own words, or ``PlatformSilent`` if nobody knows whether there is one now.
    """
    answer = await api.call("POST", "compute", "/servers", body)
    if answer.ok:
        return str(answer.body["server"]["id"])
    if answer.status in BUSY or answer.status >= 500:
        raise CloudBusy(f"compute answers {answer.status}: {answer.words}", answer.retry_after_s)
    raise refusal(answer)


def refusal(answer: Answer) -> StartRefused:
    """What a refusal is worth: a quota (403), a conflict (409) and a credential (401) may be mended, the rest not."""
    return StartRefused(f"the cloud refuses ({answer.status}): {answer.words}", permanent=answer.status not in _PASSING)
