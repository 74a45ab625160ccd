"""Looks at what servers would be made of, for ``hansa-agent check``: image, networks, groups, flavors, room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from hansa_agent.check import Finding, ok, problem, unknown, warning
from hansa_agent.config_openstack import OpenStackSection, ServerSection
from hansa_agent.inventory_openstack import kinds_by
from hansa_agent.openstack_api import CloudRefused, OpenStackApi
from hansa_agent.openstack_create import flavors_of, image_of
from hansa_agent.openstack_flavors import UNKNOWN, accelerators, is_of
from hansa_agent.ports import PlatformSilent, StartRefused

_NAMES_TOLD = 6
_QUOTAS = (
    ("maxTotalInstances", "totalInstancesUsed", "servers"),
    ("maxTotalCores", "totalCoresUsed", "CPUs"),
    ("maxTotalRAMSize", "totalRAMUsed", "MiB"),
)


async def check_servers(
    api: OpenStackApi, section: OpenStackSection, denied: Collection[str]
) -> AsyncIterator[Finding]:
    """``denied`` names what may not be read, so that it is not complained of twice."""
    server = section.server
    assert server is not None  # noqa: S101 - the configuration was validated
    looks = (
        ("image", "images", _image(api, server)),
        ("flavors", "flavors", _flavors(api, section, server)),
        ("availability zone", "", _availability_zone(api, server)),
        ("quota", "the project's quota", _quota(api)),
        *((f"network {network}", "", _network(api, network)) for network in server.networks),
        *((f"security group {name}", "", _security_group(api, name)) for name in server.security_groups),
    )
    for subject, needed, look in looks:
        if needed in denied:
            look.close()
            continue
        try:
            found = await look
        except (PlatformSilent, CloudRefused) as error:
            found = unknown(subject, f"not to be found out: {error}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            found = unknown(subject, f"the answer is not understood: {type(error).__name__}")
        if found is not None:
            yield found
    if not server.networks:
        yield warning("network", "none: nobody can reach what runs there", "name networks under openstack.server")


async def _image(api: OpenStackApi, server: ServerSection) -> Finding:
    try:
        uuid = await image_of(api, server.image)
    except StartRefused as refused:
        return problem("image", refused.message, "openstack image list shows what the project may use")
    needs = "cloud-init and podman" if server.start == "podman" else "cloud-init"
    return ok("image", f"{server.image} is {uuid}; that it has {needs} cannot be seen from here")


async def _flavors(api: OpenStackApi, section: OpenStackSection, server: ServerSection) -> Finding:
    every = await flavors_of(api)
    named = [one for one in every if fnmatchcase(one.name, server.flavors or "*")]
    fitting = [one for one in named if is_of(one, section.cpu_class)]
    if not fitting:
        which = f"{len(every)} are seen, {len(named)} have such a name, none has {section.cpu_class}"
        return problem("flavors", f"none may be used: {which}", "look at openstack.server.flavors and cpu_class")
    kind_of = kinds_by(section.accelerators)
    pools = [(one.name, accelerators(one, kind_of)) for one in fitting]
    unclear = sorted(name for name, found in pools if UNKNOWN in found)
    offered = sorted({pool for _, found in pools for pool in found if pool != UNKNOWN})
    names = ", ".join(sorted(one.name for one in fitting)[:_NAMES_TOLD])
    told = f"{len(fitting)} of {len(every)} may be used ({names}{', ...' if len(fitting) > _NAMES_TOLD else ''})"
    told += f", with {', '.join(offered)}" if offered else ", none with an accelerator"
    if unclear:
        message = f"{told}; what accelerators these have is not known: {', '.join(unclear[:_NAMES_TOLD])}"
        return warning("flavors", message, "say what their classes are under openstack.accelerators")
    return ok("flavors", told)


async def _availability_zone(api: OpenStackApi, server: ServerSection) -> Finding | None:
    if not server.availability_zone:
        return None
    zones = (await api.get("compute", "/os-availability-zone"))["availabilityZoneInfo"]
    states = {str(one["zoneName"]): bool(one["zoneState"]["available"]) for one in zones}
    if server.availability_zone not in states:
        there = ", ".join(sorted(states)) or "none"
        return problem("availability zone", f"there is no {server.availability_zone}; there are: {there}")
    if not states[server.availability_zone]:
        return warning("availability zone", f"{server.availability_zone} is not available at present")
    return ok("availability zone", f"{server.availability_zone} is there")


async def _quota(api: OpenStackApi) -> Finding:
    limits: Mapping[str, Any] = (await api.get("compute", "/limits"))["limits"]["absolute"]
    told, is_spent = [], False
    for most, used, unit in _QUOTAS:
        limit = int(limits.get(most, -1))
        left = limit - int(limits.get(used, 0))
        told.append(f"{unit} without bound" if limit < 0 else f"{max(0, left)} of {limit} {unit}")
        is_spent |= limit >= 0 and left <= 0
    message = f"left in the project: {', '.join(told)}"
    return warning("quota", message, "raise it, or nothing new starts") if is_spent else ok("quota", message)


async def _network(api: OpenStackApi, network: str) -> Finding:
    subject = f"network {network}"
    answer = await api.call("GET", "network", f"/v2.0/networks/{network}")
    if not answer.ok:
        message = f"Neutron answers {answer.status}: {answer.words}"
        return problem(subject, message, "openstack network list shows what the project may use")
    found = answer.body["network"]
    if not found.get("subnets"):
        return warning(subject, f"{found['name']} has no subnet, so servers get no address in it", "make one")
    return ok(subject, f"{found['name']} is there, with {len(found['subnets'])} subnets")


async def _security_group(api: OpenStackApi, name: str) -> Finding:
    """By name or id, as Nova takes it."""
    subject = f"security group {name}"
    found: list[Mapping[str, Any]] = []
    for field in ("name", "id"):
        listed = await api.get("network", f"/v2.0/security-groups?{field}={quote(name)}")
        found += listed.get("security_groups") or []
    if not found:
        return problem(subject, "the project has none of this name or id", "openstack security group list")
    if len(found) > 1:
        return problem(subject, f"the project has {len(found)} of this name; Nova refuses to choose", "name its id")
    count = len(found[0].get("security_group_rules") or [])
    if not count:
        return warning(subject, "it has no rules, so nothing gets in or out by it", "let callers in to server.port")
    return ok(subject, f"is there, with {count} rules")
