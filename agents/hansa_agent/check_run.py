"""Everything that ``hansa-agent check`` looks at, in order."""

from __future__ import annotations

import shutil
from pathlib import Path

from hansa_agent.check import Check, Finding, ok, problem, unknown, warning
from hansa_agent.check_machine import (
    check_clock,
    check_facts,
    check_instances,
    check_probe,
    check_state_dir,
    check_wish,
    is_taken,
)
from hansa_agent.check_operator import Asking, check_endpoints, check_identity
from hansa_agent.config import LoadedConfig
from hansa_agent.config_yaml import ConfigError
from hansa_agent.inventory import pool_key
from hansa_agent.platforms import checks_of, source_of
from hansa_agent.ports import Clock, IdSource, Machine

_CONFIDENTIAL = "nvidia-gpu-cc"


async def findings_of(path: Path, clock: Clock, ids: IdSource, key: str = "") -> list[Finding]:
    """All findings of the configuration at ``path``; a configuration that cannot be read leaves nothing else.

    ``key`` is the public key that it must be signed with; empty for none.
    """
    try:
        loaded = LoadedConfig(path, key)
    except ConfigError as error:
        return [
            problem("configuration", each, "agents/agent.example.yaml explains every key") for each in error.problems
        ]
    config, now_ms = loaded.config, clock.now().wall_ms
    found = [ok("configuration", f"{path}: {len(config.artefacts)} artefacts, {len(config.facts)} facts")]
    found += await check_identity(loaded, now_ms)
    if is_taken(loaded):
        found.append(unknown("session", "an agent of this zone runs, so the operator is not asked"))
    else:
        found += await check_endpoints(Asking(loaded, clock, ids.new_id()))
    found += check_clock()
    found += await _inventory(loaded, clock)
    for each in _of_runtime(loaded, clock):
        found += await each()
    return [
        *found,
        *(() if config.runtime == "kubernetes" else check_instances(loaded, now_ms)),
        *check_state_dir(loaded),
        *check_wish(loaded),
        *check_probe(loaded),
        *check_facts(loaded, now_ms),
    ]


async def _inventory(loaded: LoadedConfig, clock: Clock) -> list[Finding]:
    try:
        source = source_of(loaded, clock)
    except ConfigError as error:
        return [problem("inventory", "; ".join(error.problems))]
    machine = await source.read()
    own: Check | None = getattr(source, "check", None)
    found = [_summary(loaded, machine)]
    if machine.trouble:
        level = problem if machine.unsound else warning
        found.append(level("inventory", machine.trouble, "the zone takes nothing new" if machine.unsound else ""))
    found += await own() if own is not None else []
    if close := getattr(source, "close", None):
        await close()
    return [*found, *_claims(loaded, found)]


def _summary(loaded: LoadedConfig, machine: Machine) -> Finding:
    pools = ", ".join(f"{pool.count} x {pool_key(pool)}" for pool in machine.pools) or "no accelerators"
    capacity = machine.capacity
    told = f"{machine.source}: {capacity.cpu_millis} thousandths of a core, {capacity.memory_mib} MiB, {pools}"
    return ok("inventory", f"{told}; cordoned" if loaded.config.inventory.cordoned else told)


def _claims(loaded: LoadedConfig, found: list[Finding]) -> list[Finding]:
    claimed = any(fact.kind == "ATTESTATION" and fact.value == _CONFIDENTIAL for fact in loaded.config.facts)
    modes = [each.message for each in found if each.subject == "confidential computing"]
    if claimed and modes and modes[0] != "on":
        message = f"{_CONFIDENTIAL} is claimed, and the devices' confidential computing is {modes[0]}"
        return [problem("fact ATTESTATION", message, "withdraw the claim, or switch it on (nvidia-smi conf-compute)")]
    return []


def _of_runtime(loaded: LoadedConfig, clock: Clock) -> tuple[Check, ...]:
    of_platform = checks_of(loaded, clock)
    if loaded.config.runtime == "process":

        async def check_programs() -> list[Finding]:
            return _programs(loaded)

        return (check_programs, *of_platform)
    return of_platform


def _programs(loaded: LoadedConfig) -> list[Finding]:
    found = []
    for artefact in loaded.artefacts.values():
        subject, program = f"artefact {artefact.name}", artefact.command[0]
        if shutil.which(program) is None:
            found.append(problem(subject, f"{program} is no program that may be executed", "chmod +x, or install it"))
        else:
            found.append(ok(subject, f"{program} may be executed; {artefact.digest}"))
    return found or [warning("artefacts", "none are allowed, so nothing can run here", "list them under artefacts")]
