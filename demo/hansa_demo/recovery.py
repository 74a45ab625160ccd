"""The last step: processes die alone, and what they promised lives on."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import yaml

from hansa_demo.ocr_client import RecognitionError
from hansa_demo.processes import DemoFailed, is_alive
from hansa_demo.stage import Stage, images, recognise_all

GATE = "gate-ocr"


def kill_and_recover(stage: Stage) -> None:
    zone = stage.zone_of(GATE)
    owner = zone.partition("/")[0]
    kill_control_plane(stage, owner, zone)
    kill_agent_alone(stage, zone)
    give_up_and_come_back(stage, zone)


def kill_control_plane(stage: Stage, owner: str, zone: str) -> None:
    """The owner's control plane dies while its instance serves."""
    endpoint = stage.endpoint(GATE)
    pids = stage.processes.instance_pids(zone)
    claim = stage.workload(GATE)["placements"][-1]["claim"]
    stage.processes.kill(owner)
    stage.say(f"[bold]kill -9[/bold] control plane of {owner}")
    tls = stage.prepared.directory / "tls"
    try:
        answers = recognise_all(tls, endpoint, images(31, 1)) if endpoint else []
    except (RecognitionError, OSError):
        answers = []
    stage.seen(
        "the running instance goes on undisturbed",
        f"answered in {answers[0].client_ms:.0f} ms meanwhile" if answers else "no answer",
        kept=bool(answers),
    )
    stage.processes.start_operator(owner)
    name = zone.partition("/")[2]
    _, took_s = stage.wait("agents resume", lambda: name in _resumed(stage, owner), 30)
    sent = _adverts_since_start(stage, owner)
    held = sum(_resumed(stage, owner).values())
    stage.seen(
        "agents resume their streams with deltas",
        f"{held} adverts held from before, {sent:.0f} sent anew as they have changed, {took_s:.1f} s",
        kept=0 < held > sent,
    )
    stage.wait("the owner tells the home operator again", lambda: stage.zone_of(GATE) == zone, 20)
    now = stage.workload(GATE)["placements"][-1]["claim"]
    same = stage.processes.instance_pids(zone) == pids
    stage.seen("nothing is lost", f"claim {now}, process {pids} as before", kept=now == claim and same)


def _resumed(stage: Stage, owner: str) -> dict[str, int]:
    """The zones whose agents have greeted the newest run of the control plane, and how many adverts of each it held."""
    lines = stage.processes.log_lines(owner)
    starts = [index for index, line in enumerate(lines) if line.get("event") == "ready"]
    newest = lines[starts[-1] :] if len(starts) > 1 else []
    greeted = [line for line in newest if line.get("event") == "agent_connected"]
    return {str(line["zone"]): int(str(line["adverts_held"])) for line in greeted}


def _adverts_since_start(stage: Stage, owner: str) -> float:
    config: Path = stage.prepared.operator(owner) / "control-plane.yaml"
    address = yaml.safe_load(config.read_text(encoding="utf-8"))["listen"]["metrics"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    values = [line.rpartition(" ")[2] for line in lines if line.startswith("hansa_adverts_total")]
    if not values:
        raise DemoFailed(f"{owner} does not count adverts")
    return sum(map(float, values))


def kill_agent_alone(stage: Stage, zone: str) -> None:
    """The agent dies, its instance does not; a new agent adopts it."""
    pids = stage.processes.instance_pids(zone)
    stage.processes.kill(zone)
    stage.say(f"[bold]kill -9[/bold] agent of {zone} alone")
    stage.processes.start_agent(*zone.split("/"))
    _, took_s = stage.wait("the instance is adopted", lambda: _adopted(stage, zone), 20)
    same = stage.processes.instance_pids(zone) == pids
    stage.seen("a restarted agent adopts its running instance", f"process {pids}, {took_s:.1f} s", kept=same)
    stage.wait("the workload answers", lambda: stage.zone_of(GATE) == zone, 20)


def _adopted(stage: Stage, zone: str) -> bool:
    return any(line.get("event") == "instance adopted" for line in stage.processes.log_lines(zone))


def give_up_and_come_back(stage: Stage, zone: str) -> None:
    """The agent stays away too long: the workload moves; when it comes back it is told to stop."""
    pids = stage.processes.instance_pids(zone)
    stage.processes.kill(zone)
    stage.say(f"[bold]kill -9[/bold] agent of {zone} alone, and it stays away; its instance still runs")
    other, took_s = stage.wait("the workload moves", lambda: _moved(stage, zone), 40)
    alive = [pid for pid in pids if is_alive(pid)]
    stage.seen(
        "a silent zone is given up", f"runs in {other} after {took_s:.1f} s; {zone} still has {len(alive)} orphan(s)"
    )
    stage.processes.start_agent(*zone.split("/"))
    _, stopped_s = stage.wait("the orphan stops", lambda: not any(map(is_alive, pids)), 30)
    stage.seen(
        "a zone that comes back is told to stop what now runs elsewhere",
        f"stopped {stopped_s:.1f} s after its agent's start",
    )
    stage.seen("the workload stays where it moved", stage.zone_of(GATE), kept=stage.zone_of(GATE) == other)


def _moved(stage: Stage, before: str) -> str:
    zone = stage.zone_of(GATE)
    return zone if zone != before else ""
