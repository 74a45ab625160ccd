"""Looks at the cloud for ``hansa-agent check``: who the agent is there, what it may read, and whose clock is right.

Nothing is made: whether servers may be is judged by the credential's roles, and said so.
"""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from hansa_agent.check import Finding, ok, problem, unknown, warning
from hansa_agent.config import LoadedConfig
from hansa_agent.config_openstack import OpenStackSection
from hansa_agent.config_yaml import ConfigError
from hansa_agent.openstack_api import MICROVERSIONS, Answer, CloudRefused, OpenStackApi, Signed, printable
from hansa_agent.openstack_check_servers import check_servers
from hansa_agent.openstack_rights import READS, WRITER_ROLES, Right
from hansa_agent.ports import Clock, PlatformSilent

SKEW_WARN_MS = 3_000
"""A token's times are compared with clocks; the header Date has whole seconds."""
CREDENTIAL_WARN_DAYS = 30
_PAGE = 'docs/agents-openstack.md, "Who the agent is in the cloud"'
_DENIED = 403


@dataclass(frozen=True, slots=True)
class Looking:
    """What is looked at: the configuration, the cloud through the credential, and this machine's clock."""

    loaded: LoadedConfig
    section: OpenStackSection
    api: OpenStackApi
    clock: Clock

    def needs(self, what: str) -> bool:
        """Whether the zone's "inventory" or "runtime" is the cloud's; "both" is either."""
        chosen = {"inventory": self.loaded.config.inventory.source, "runtime": self.loaded.config.runtime}
        return "openstack" in (chosen.values() if what == "both" else [chosen[what]])


async def check_cloud(loaded: LoadedConfig, clock: Clock) -> list[Finding]:
    """Everything about the cloud; what cannot be found out because something before it failed is left out."""
    section = loaded.config.openstack
    assert section is not None  # noqa: S101 - the configuration was validated
    file = loaded.base / section.clouds_file
    try:
        api = OpenStackApi(file, section.cloud, section.timeout_s)
    except ConfigError as error:
        return [problem("cloud", "; ".join(error.problems))]
    found = _file(file)
    try:
        async for one in _look(Looking(loaded, section, api, clock)):
            found.append(one)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = printable(f"an answer is not understood: {type(error).__name__} {error}")
        found.append(problem("cloud", told, "is this OpenStack's API, and nothing before it?"))
    finally:
        api.close()
    return found


async def _look(looking: Looking) -> AsyncIterator[Finding]:
    try:
        signed = await looking.api.signed()
    except PlatformSilent as silent:
        yield problem("cloud", f"Keystone is not reached: {silent}", "look at auth_url, and at the way there")
        return
    except CloudRefused as refused:
        yield problem("cloud", f"Keystone refuses ({refused.status}): {refused}", "make a new application credential")
        return
    for one in _who(signed, looking):
        yield one
    if signed.credential:
        yield await _credential(signed, looking)
    async for one in _versions(looking):
        yield one
    denied: set[str] = set()
    async for one in _rights(looking, denied):
        yield one
    if looking.needs("runtime"):
        async for one in check_servers(looking.api, looking.section, denied):
            yield one


def _file(path: Path) -> list[Finding]:
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return [warning("clouds file", f"{path} is readable by others; it has a secret", f"chmod 0600 {path}")]
    return []


def _who(signed: Signed, looking: Looking) -> list[Finding]:
    roles = ", ".join(signed.roles) or "no role"
    found = [ok("cloud", f"signed in as {signed.user} in project {signed.project}: {roles}")]
    if not signed.credential:
        remedy = "make an application credential: it can be withdrawn by itself and has no more roles than it needs"
        found.append(warning("credential", "it is a user's own, with all of the user's roles", remedy))
    if "admin" in signed.roles:
        remedy = f"the role member, and one that reads Placement: {_PAGE}"
        found.append(warning("roles", "admin may do anything in the whole cloud; the agent needs little", remedy))
    if looking.needs("runtime") and not WRITER_ROLES.intersection(signed.roles):
        message = f"by the usual policies {roles} may not make servers; that is not tried here"
        found.append(problem("roles", message, "give it the role member"))
    return found


async def _credential(signed: Signed, looking: Looking) -> Finding:
    path = f"/users/{signed.user_id}/application_credentials/{signed.credential}"
    try:
        told = (await looking.api.get("identity", path))["application_credential"]
        ends = told.get("expires_at")
    except (PlatformSilent, CloudRefused, KeyError, TypeError, AttributeError) as error:
        return unknown("credential", f"an application credential; until when is not to be found out: {error}")
    if told.get("unrestricted"):
        remedy = "make one without --unrestricted"
        return warning("credential", "it may make further credentials, and outlive its own withdrawal by them", remedy)
    if not ends:
        return ok("credential", "an application credential that does not expire")
    days = (datetime.fromisoformat(str(ends)).replace(tzinfo=UTC) - _now(looking.clock)).days
    level = warning if days < CREDENTIAL_WARN_DAYS else lambda subject, message, _remedy: ok(subject, message)
    return level("credential", f"an application credential that expires in {days} days", "make the next one in time")


async def _versions(looking: Looking) -> AsyncIterator[Finding]:
    """The newest microversions of Placement and Nova, and their clocks."""
    services = [("placement", "inventory"), ("compute", "both")]
    for service in [name for name, needed in services if looking.needs(needed)]:
        try:
            answer = await looking.api.call("GET", service, "/")
        except PlatformSilent as silent:
            yield problem(service, f"not reached: {silent}", "look at the catalogue, region_name and interface")
            continue
        newest, wanted = _newest(answer.body), MICROVERSIONS[service]
        if not newest:
            yield unknown(service, f"it does not say which microversions it has; {wanted} is asked for")
        elif _numbers(newest) < _numbers(wanted):
            yield problem(
                service, f"its newest microversion is {newest}, {wanted} is needed", "OpenStack Train or newer"
            )
        else:
            yield ok(service, f"microversions up to {newest}; {wanted} is asked for")
        if service == "compute":
            yield _clock(answer, looking.clock)


def _clock(answer: Answer, clock: Clock) -> Finding:
    try:
        theirs = parsedate_to_datetime(answer.date)
        off_ms = round((theirs.replace(tzinfo=theirs.tzinfo or UTC) - _now(clock)).total_seconds() * 1_000)
    except (ValueError, TypeError):
        return unknown("clock", "Nova's answers have no date to compare with")
    if abs(off_ms) > SKEW_WARN_MS:
        ahead = "ahead of" if off_ms > 0 else "behind"
        message = f"the cloud's clock is {abs(off_ms) // 1_000} s {ahead} this machine's"
        return warning("clock", message, "tokens and certificates have times: let both follow a time source")
    return ok("clock", "the cloud's clock and this machine's differ by less than 3 s")


async def _rights(looking: Looking, denied: set[str]) -> AsyncIterator[Finding]:
    """Each read that the agent makes; ``denied`` gets the services and things that cannot be read."""
    provider, seen = "", []
    for right in [one for one in READS if looking.needs(one.needs)]:
        if "{provider}" in right.path and not provider:
            continue
        try:
            answer = await looking.api.call("GET", right.service, right.path.format(provider=provider))
        except PlatformSilent as silent:
            denied.add(right.what)
            yield problem(f"read {right.what}", f"{right.service} is silent: {silent}")
            continue
        if answer.ok:
            seen.append(right.what)
            if right.what == "resource providers":
                listed = answer.body.get("resource_providers") or []
                provider = str(listed[0].get("uuid", "")) if listed else ""
                async for one in _providers(looking, len(listed)):
                    yield one
        else:
            denied.add(right.what)
            yield _refused(right, answer)
    if seen:
        yield ok("rights", f"may be read: {', '.join(seen)}")
    if looking.needs("runtime"):
        yield unknown("rights", "whether servers may be made and deleted is not tried; the role member may, usually")


async def _providers(looking: Looking, count: int) -> AsyncIterator[Finding]:
    aggregates = looking.section.aggregates
    if not count:
        yield problem("resource providers", "the cloud has none, so the zone has nothing", "is nova-compute running?")
    if not count or not aggregates:
        return
    for aggregate in aggregates:
        try:
            found = await looking.api.get("placement", f"/resource_providers?member_of={aggregate}")
        except (CloudRefused, PlatformSilent) as error:
            yield unknown("aggregates", f"{aggregate}: {error}")
            continue
        hosts = len(found.get("resource_providers") or [])
        if hosts:
            yield ok("aggregates", f"{aggregate}: {hosts} of {count} providers of the cloud are members")
        else:
            remedy = "openstack aggregate show prints its uuid; name the aggregate's, not the availability zone's"
            yield problem("aggregates", f"{aggregate} has no member in Placement", remedy)


def _refused(right: Right, answer: Answer) -> Finding:
    subject, told = f"read {right.what}", f"{right.service} answers {answer.status}: {answer.words}"
    if right.optional:
        return unknown(subject, f"not allowed, and not needed ({right.rule})")
    if answer.status != _DENIED:
        return problem(subject, told)
    if right.is_default:
        return problem(subject, f"{told}; {right.rule} denies it", "give the credential the role member")
    return problem(subject, f"{told}; {right.rule} denies it", f"a role that the policy names: {_PAGE}")


def _newest(body: Any) -> str:
    """The newest microversion in a service's description of itself: one object in Nova, a list in Placement."""
    try:
        one = body["version"] if "version" in body else body["versions"][0]
        return str(one.get("version") or one.get("max_version") or "")
    except (KeyError, IndexError, TypeError, AttributeError):
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.now().wall_ms / 1_000, UTC)
