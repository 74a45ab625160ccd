"""Looks at the machine around the agent: state directory, ports, probe socket, clock; and at the evidence of facts."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hansa_agent.check import Finding, ok, problem, unknown, warning
from hansa_agent.check_certificate import check_pair, hosts_of
from hansa_agent.config import LoadedConfig
from hansa_agent.instance_ports import can_bind
from hansa_agent.ports import StartRefused
from hansa_agent.site_wish import WishFile

EVIDENCE_WARN = timedelta(days=30)
FREE_MIB_WARN = 1_024
_TIMEX_BYTES = 208
_TIME_ERROR = 5
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104


def check_state_dir(loaded: LoadedConfig) -> list[Finding]:
    """Whether the agent could keep its records, and whether another agent does already."""
    path = loaded.state_dir
    there = path if path.exists() else _nearest(path)
    if not os.access(there, os.W_OK | os.X_OK):
        return [problem("state_dir", f"{there} cannot be written to", "chown it to the agent's user")]
    found = [_lock(path / "agent.lock")]
    free_mib = shutil.disk_usage(there).free >> 20
    if free_mib < FREE_MIB_WARN:
        found.append(warning("state_dir", f"{free_mib} MiB are free", "logs of instances need room"))
    return found


def check_wish(loaded: LoadedConfig) -> list[Finding]:
    """Whether those who keep the machines have closed the zone; nothing is said where they ask nothing."""
    wish = WishFile(loaded.state_dir).look()
    if wish.closed:
        return [warning("site", wish.closed, "`hansa-agent uncordon` opens it again")]
    if wish.windows:
        return [warning("site", f"{len(wish.windows)} windows of maintenance are announced", "hansa-agent status")]
    return []


def is_taken(loaded: LoadedConfig) -> bool:
    """Whether an agent works on the state directory now."""
    path = loaded.state_dir / "agent.lock"
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def check_instances(loaded: LoadedConfig, now_ms: int) -> list[Finding]:
    """Ports, addresses and the certificate that instances serve with."""
    section, found = loaded.config.instance, []
    first, last = section.port_range.first, section.port_range.last
    try:
        busy = [port for port in range(first, last + 1) if not can_bind(section.listen_host, port)]
    except StartRefused as refused:
        return [problem("ports", refused.message, "instance.listen_host must be an address of this machine")]
    count = last - first + 1 - len(busy)
    if count == 0:
        found.append(problem("ports", f"none of {first} to {last} is free", "choose another instance.port_range"))
    elif busy:
        found.append(warning("ports", f"{count} free; {len(busy)} taken, {busy[0]} among them", "by own instances?"))
    else:
        found.append(ok("ports", f"{first} to {last} are free"))
    advertised = section.advertise_host or section.listen_host
    if advertised in _ANYWHERE:
        found.append(problem("ports", f"endpoints would name {advertised}", "set instance.advertise_host"))
    elif advertised.startswith("127.") or advertised in ("::1", "localhost"):
        found.append(warning("ports", f"only this machine reaches {advertised}", "set instance.listen_host"))
    return [*found, *_serving(loaded, advertised, now_ms)]


def check_probe(loaded: LoadedConfig) -> list[Finding]:
    """Whether round-trip probes of others could be reflected."""
    listen = loaded.config.probe.listen
    if listen is None:
        return [warning("probe", "no probe.listen: others cannot measure the way here", "set probe.listen")]
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind((host.strip("[]"), int(port)))
        except OSError as error:
            return [problem("probe", f"{listen}: {error.strerror}", "by an agent that runs? else choose another")]
    if host.strip("[]") in _ANYWHERE and not loaded.config.probe.advertise:
        return [problem("probe", f"others would be told {listen}", "set probe.advertise")]
    return [ok("probe", f"{listen} can be listened on, UDP")]


def check_facts(loaded: LoadedConfig, now_ms: int) -> list[Finding]:
    """How long the evidence of each fact is good."""
    now, found = datetime.fromtimestamp(now_ms / 1_000, UTC), []
    for fact in loaded.facts:
        subject, begin, end = f"fact {fact.kind}", fact.evidence.valid_from or now, fact.evidence.valid_until or now
        if begin > now:
            found.append(problem(subject, f"its evidence counts from {begin:%Y-%m-%d} only"))
        elif end <= now:
            remedy = "without it the zone takes nothing that asks for this"
            found.append(problem(subject, f"its evidence expired on {end:%Y-%m-%d}", remedy))
        elif end - now < EVIDENCE_WARN:
            found.append(warning(subject, f"its evidence expires on {end:%Y-%m-%d}", "renew it, then SIGHUP the agent"))
    if not loaded.facts:
        found.append(warning("facts", "none are claimed", "workloads that ask where and whose a zone is pass it by"))
    return found or [ok("facts", f"evidence of all {len(loaded.facts)} is good for 30 days and more")]


def check_clock() -> list[Finding]:
    """Whether the kernel's clock follows a time source (adjtimex(2))."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = getattr(ctypes.CDLL(None), "adjtimex", lambda _: -1)(buffer)
    if state == -1:
        return [unknown("clock", "the kernel does not say whether it follows a time source")]
    if state == _TIME_ERROR:
        return [warning("clock", "the kernel follows no time source", "run chrony or systemd-timesyncd")]
    return [ok("clock", "the kernel follows a time source")]


def _nearest(path: Path) -> Path:
    return next(each for each in path.parents if each.exists())


def _lock(path: Path) -> Finding:
    with contextlib.suppress(OSError):
        lock = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "right if that is this zone's agent; two need two directories"
            return warning("state_dir", f"an agent works on {path.parent} now", remedy)
        finally:
            os.close(lock)
    return ok("state_dir", f"{path.parent} can be written to, and no agent works on it")


def _serving(loaded: LoadedConfig, advertised: str, now_ms: int) -> list[Finding]:
    tls = loaded.config.instance.tls
    if tls is None:
        return [warning("instance.tls", "not set: instances have no certificate to serve with", "set instance.tls")]
    found, certificate = check_pair("instance.tls", loaded.base / tls.cert, loaded.base / tls.key, now_ms)
    if certificate is not None and advertised not in hosts_of(certificate):
        remedy = f"callers compare: add {advertised} to its alternative names"
        found.append(warning("instance.tls", f"the certificate does not name {advertised}", remedy))
    return found
