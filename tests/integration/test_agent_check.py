"""``hansa-agent check`` against a real control plane: what it says, and that nothing is joined by it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from agent_harness import fact, free_ports
from control_harness import Operator, authority_of, running
from engine_fake import FakeEngine
from hansa_agent.check import Finding, Level
from hansa_agent.check_run import findings_of
from hansa_agent.config import LoadedConfig
from hansa_agent.config_container import ContainerSection
from hansa_agent.container_check import check_engine
from hansa_agent.ports import Instant
from hansa_agent.site_wish import Wish, WishFile
from hansa_agent.system import SystemClock, SystemIds
from hansa_control.adapters.authority import Role, Subject, Validity, issue

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DIGEST = "sha256:" + "a" * 64
IMAGE = f"registry.example/echo@{DIGEST}"


class Shifted(SystemClock):
    """A machine whose clock is ahead."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead_ms = ahead_ms

    def now(self) -> Instant:
        real = super().now()
        return Instant(real.monotonic_ms, real.wall_ms + self.ahead_ms)


class Zone:
    """The files of one zone of a real operator."""

    def __init__(self, operator: Operator, folder: Path) -> None:
        self.operator = operator
        self.folder = folder
        folder.mkdir()
        now_ms = SystemClock().now().wall_ms
        self.write_pair("agent", issue(operator.authority, Subject(Role.AGENT, "oslo-1"), Validity.of_days(now_ms, 60)))
        (folder / "ca.pem").write_bytes(operator.authority.cert_pem)
        first = free_ports(4)
        self.content: dict[str, Any] = {
            "zone": "nordfjord/oslo-1",
            "operator": {
                "endpoints": [f"127.0.0.1:{operator.running.ports['agents']}"],
                "server_name": "control-plane.nordfjord.hansa.example",
                "tls": {"ca": "ca.pem", "cert": "agent.pem", "key": "agent.key"},
            },
            "state_dir": "state",
            "inventory": {"node": "oslo", "capacity": {"cpu_millis": 1_000, "memory_mib": 512}},
            "facts": [fact("SITE_COUNTRY", "NO")],
            "artefacts": [{"name": "echo", "files": ["ca.pem"], "command": [sys.executable]}],
            "probe": {"listen": f"127.0.0.1:{free_ports(1)}"},
            "instance": {"port_range": {"first": first, "last": first + 3}},
        }

    def write_pair(self, name: str, pair: Any) -> None:
        (self.folder / f"{name}.pem").write_bytes(pair.cert_pem)
        key = self.folder / f"{name}.key"
        key.write_bytes(pair.key_pem)
        key.chmod(0o600)

    def write(self, **changes: Any) -> Path:
        path = self.folder / "agent.yaml"
        path.write_text(yaml.safe_dump(self.content | changes))
        return path

    async def check(self, ahead_ms: int = 0, **changes: Any) -> list[Finding]:
        return await findings_of(self.write(**changes), Shifted(ahead_ms), SystemIds())

    async def found(self, subject: str, ahead_ms: int = 0, **changes: Any) -> list[tuple[Level, str]]:
        told = await self.check(ahead_ms, **changes)
        assert all(each.message.isprintable() for each in told)
        return [(each.level, each.message) for each in told if each.subject == subject]


@pytest.fixture
async def zone(tmp_path: Path) -> AsyncIterator[Zone]:
    async with running(Operator("nordfjord", tmp_path / "operator", authority_of("nordfjord"))) as operator:
        yield Zone(operator, tmp_path / "zone")


async def test_everything_as_it_should_be_is_no_problem_and_joins_nothing(zone: Zone) -> None:
    told = await zone.check()
    assert [each for each in told if each.level is Level.PROBLEM] == []
    subjects = {each.subject for each in told if each.level is Level.OK}
    assert {
        "configuration",
        "certificate",
        "identity",
        "session",
        "inventory",
        "ports",
        "state_dir",
        "probe",
    } <= subjects
    clocks = [each.message for each in told if each.subject == "clock"]
    assert "agrees with the operator's to within 3 s" in clocks
    assert zone.operator.running.application.queries.zones("", 100) == ()
    assert not (zone.folder / "state").exists(), "nothing is written"


async def test_clock_that_is_ahead_is_told_from_what_the_operator_says(zone: Zone) -> None:
    assert (Level.WARNING, "3600 s ahead of the operator's") in await zone.found("clock", HOUR_MS)
    assert (Level.WARNING, "60 s behind the operator's") in await zone.found("clock", -60_000)


async def test_operator_that_does_not_take_this_zone_is_quoted(zone: Zone) -> None:
    (told,) = await zone.found("session", zone="nordfjord/bergen-1")
    assert told[0] is Level.PROBLEM and "the certificate is that of the agent of" in told[1]
    (identity,) = await zone.found("identity", zone="nordfjord/bergen-1")
    assert identity[0] is Level.PROBLEM and "/agent/oslo-1, the zone is nordfjord/bergen-1" in identity[1]


async def test_way_to_the_operator_is_told_step_by_step(zone: Zone) -> None:
    tls = zone.content["operator"]["tls"]
    port = zone.operator.running.ports["agents"]

    async def told(endpoint: str, **changes: Any) -> str:
        section = zone.content["operator"] | {"endpoints": [endpoint], "tls": tls} | changes
        ((level, message),) = await zone.found(f"operator {endpoint}", operator=section)
        return f"{level}: {message}"

    assert "has no address" in await told("operator.invalid:1")
    assert "127.0.0.1 is not reached" in await told(f"127.0.0.1:{free_ports(1)}")
    assert "its certificate is not trusted" in await told(f"127.0.0.1:{port}", server_name="other.example")
    assert await told(f"127.0.0.1:{port}") == "ok: reached, with TLS"
    assert (await zone.found("clock", operator=zone.content["operator"] | {"endpoints": ["operator.invalid:1"]}))[
        0
    ] == (
        Level.UNKNOWN,
        "not compared with the operator's: it is not reached",
    )


async def test_certificate_is_judged_by_its_time_and_its_key(zone: Zone) -> None:
    assert (await zone.found("certificate"))[0][0] is Level.OK
    assert (await zone.found("certificate", 45 * DAY_MS))[0][0] is Level.WARNING
    assert "expired" in (await zone.found("certificate", 61 * DAY_MS))[0][1]
    assert "valid from" in (await zone.found("certificate", -61 * DAY_MS))[0][1]
    (zone.folder / "agent.key").chmod(0o644)
    assert (await zone.found("certificate"))[1][1].startswith("others may read")
    now_ms = SystemClock().now().wall_ms
    other = issue(zone.operator.authority, Subject(Role.AGENT, "oslo-1"), Validity.of_days(now_ms, 1))
    (zone.folder / "agent.key").write_bytes(other.key_pem)
    assert (await zone.found("certificate"))[1][1].endswith("is the key of another certificate")
    (zone.folder / "agent.pem").write_text("nothing")
    assert (await zone.found("certificate"))[0][1].endswith("is no PEM certificate")
    (zone.folder / "agent.pem").unlink()
    assert "No such file" in (await zone.found("certificate"))[0][1]


async def test_agent_that_runs_is_told_and_the_operator_is_not_asked(zone: Zone) -> None:
    (zone.folder / "state").mkdir()
    lock = os.open(zone.folder / "state/agent.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert (await zone.found("session"))[0][0] is Level.UNKNOWN
        assert (await zone.found("state_dir"))[0] == (Level.WARNING, f"an agent works on {zone.folder / 'state'} now")
    finally:
        os.close(lock)
    assert (await zone.found("session"))[0][0] is Level.OK


async def test_ports_and_addresses_are_tried(zone: Zone) -> None:
    section = zone.content["instance"]
    first = section["port_range"]["first"]
    with socket.create_server(("127.0.0.1", first)):
        assert (Level.WARNING, f"3 free; 1 taken, {first} among them") in await zone.found("ports")
        none = section | {"port_range": {"first": first, "last": first}}
        assert (await zone.found("ports", instance=none))[0][0] is Level.PROBLEM
    anywhere = await zone.found("ports", instance=section | {"listen_host": "0.0.0.0"})
    assert (Level.PROBLEM, "endpoints would name 0.0.0.0") in anywhere
    elsewhere = await zone.found("ports", instance=section | {"listen_host": "192.0.2.1"})
    assert elsewhere == [(Level.PROBLEM, "cannot listen on 192.0.2.1: Cannot assign requested address")]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        assert (await zone.found("probe", probe={"listen": listen}))[0] == (
            Level.PROBLEM,
            f"{listen}: Address already in use",
        )
    assert (await zone.found("probe", probe={"listen": "0.0.0.0:0"}))[0][0] is Level.PROBLEM
    assert (await zone.found("probe", probe={}))[0][0] is Level.WARNING


async def test_instances_certificate_must_name_where_they_are_reached(zone: Zone) -> None:
    section = zone.content["instance"] | {
        "tls": {"cert": "agent.pem", "key": "agent.key"},
        "advertise_host": "edge.example",
    }
    told = await zone.found("instance.tls", instance=section)
    assert (Level.WARNING, "the certificate does not name edge.example") in told


async def test_evidence_is_judged_by_how_long_it_is_good(zone: Zone) -> None:
    old, soon = fact("SITE_COUNTRY", "NO"), fact("SUPPORT_COUNTRY", "SE")
    old["evidence"]["valid_until"] = "2026-01-02T00:00:00Z"
    now_ms = SystemClock().now().wall_ms
    assert await zone.found("fact SITE_COUNTRY", facts=[old, soon]) == [
        (Level.PROBLEM, "its evidence expired on 2026-01-02")
    ]
    end_ms = LoadedConfig(zone.write(facts=[soon])).config.facts[0].evidence.valid_until.timestamp() * 1_000
    nearly = await zone.found("fact SUPPORT_COUNTRY", int(end_ms - now_ms - 5 * DAY_MS), facts=[soon])
    assert nearly[0][0] is Level.WARNING and "expires on 2036-01-01" in nearly[0][1]
    assert (await zone.found("facts", facts=[]))[0][0] is Level.WARNING


async def test_machine_without_a_gpu_is_told_and_a_program_that_is_not_there_is(zone: Zone) -> None:
    inventory = {"node": "oslo", "source": "machine"}
    ((level, message),) = await zone.found("accelerators", inventory=inventory)
    assert level is Level.UNKNOWN and message.startswith("none are seen")
    artefacts = [{"name": "echo", "files": ["ca.pem"], "command": ["/no/such/program"]}]
    ((level, message),) = await zone.found("artefact echo", artefacts=artefacts)
    assert level is Level.PROBLEM and "/no/such/program" in message


async def test_container_engine_its_images_and_its_devices_are_looked_at(zone: Zone, tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path / "engine.sock", images={IMAGE})
    section = {"socket": str(engine.socket), "devices": {"nvidia/L4": ["nvidia.com/gpu=0"]}}
    changes = {
        "runtime": "container",
        "container": section,
        "artefacts": [{"name": "echo", "image": IMAGE}, {"name": "absent", "image": IMAGE.replace("echo", "absent")}],
    }
    ((level, message),) = await zone.found("container engine", **changes)
    assert level is Level.PROBLEM and "is not there" in message
    await engine.start()
    try:
        assert await zone.found("container engine", **changes) == [(Level.OK, "Engine 4.3.1, API 1.41")]
        assert (await zone.found("artefact echo", **changes))[0][0] is Level.OK
        assert (await zone.found("artefact absent", **changes))[0][0] is Level.PROBLEM
        assert (await zone.found("devices nvidia/L4", **changes))[0][0] is Level.PROBLEM
        cdi = tmp_path / "cdi"
        cdi.mkdir()
        (cdi / "nvidia.yaml").write_text("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: [{name: '0'}]\n")
        (cdi / "broken.json").write_text("{")
        told = await check_engine(ContainerSection.model_validate(section), [], (cdi,))
        assert told[-1].level is Level.OK
    finally:
        await engine.close()


async def test_configuration_that_cannot_be_read_is_the_only_finding(zone: Zone) -> None:
    told = await zone.check(zone="nowhere")
    assert len(told) == 1 and told[0].level is Level.PROBLEM and "agent.yaml:" in told[0].message


def command(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "hansa_agent.main", "check", "--config", str(path), *options]
    return subprocess.run(words, capture_output=True, check=False, text=True)


def test_command_prints_a_table_or_json_and_exits_by_the_worst(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("zonee: a/b\n")
    told = command(path)
    assert told.returncode == 78 and told.stdout.startswith("PROBLEM   configuration  ")
    assert "-> agents/agent.example.yaml" in told.stdout
    listed = json.loads(command(path, "-o", "json").stdout)
    assert {each["level"] for each in listed} == {"problem"} and set(listed[0]) == {
        "level",
        "subject",
        "message",
        "remedy",
    }
    assert command(path, "-o", "xml").returncode == 78


async def test_a_site_that_is_closed_says_who_has_closed_it(zone: Zone) -> None:
    zone.write()
    (zone.folder / "state").mkdir(exist_ok=True)
    WishFile(zone.folder / "state").write(Wish(cordoned=True, note="power"))
    assert (await zone.found("site"))[0] == (Level.WARNING, "the site takes nothing new: power")
