"""The main job, step by step. Each step says what it promises, does it for real, and shows what was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.table import Table

from hansa_demo import recovery
from hansa_demo.prepare import now_ms
from hansa_demo.scenario import OPERATORS
from hansa_demo.stage import Stage, images, recognition_table

YARD, GATE = "yard-ocr", "gate-ocr"

REFUSED_BY: dict[str, tuple[str, str]] = {
    "site country": ("waldnetz/hamburg-1", "SiteResidency"),
    "legal control": ("blueridge/stockholm-2", "LegalControl"),
    "transit path": ("nordavind/breivika-1", "TransitResidency"),
    "latency": ("skargard/umea-1", "LatencyBound"),
    "accelerator memory": ("nordavind/bergen-1", "GpuMemory"),
}


def play(stage: Stage) -> None:
    """All steps in order; DemoFailed at the first promise that is not kept."""
    steps: tuple[tuple[str, Callable[[Stage], None]], ...] = (
        ("Four operators, each with its own control plane, store and certificate authority", start_operators),
        ("Ten zones advertise; the network is real", look_around),
        ("An app team submits real inference, bound to Norway and Sweden", submit_first),
        ("Why here, and why not there", explain_first),
        ("A second workload goes to a partner's zone", submit_second),
        ("Its zone dies, then the next one: moved lawfully, then refused lawfully", lose_zones),
        ("Control plane and agents are killed; nothing is lost", recovery.kill_and_recover),
    )
    for number, (title, step) in enumerate(steps, start=1):
        stage.step(number, title)
        step(stage)


def start_operators(stage: Stage) -> None:
    stage.processes.start_all()
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for header in ("operator", "headquarters", "ultimate parent", "third-country law", "zones"):
        table.add_column(header)
    for op in OPERATORS:
        zones = ", ".join(zone.name for zone in op.zones)
        table.add_row(f"{op.name}", op.headquarters_country, op.ultimate_parent_country, op.extraterritorial_law, zones)
    stage.console.print(table)
    logs = stage.processes
    _, took_s = stage.wait("control planes listen", lambda: _all_ready(stage), 60)
    stage.seen("four control planes listen, mutual TLS everywhere", f"{took_s:.1f} s, processes {len(logs.names())}")


def _all_ready(stage: Stage) -> bool:
    return all(any(line.get("event") == "ready" for line in stage.processes.log_lines(op.name)) for op in OPERATORS)


def look_around(stage: Stage) -> None:
    expected = {f"{op.name}/{zone.name}" for op in OPERATORS for zone in op.zones}
    _, took_s = stage.wait("ten zones are seen from the home operator", lambda: expected <= _available(stage), 60)
    stage.hansa("zones")
    stage.seen("ten zones seen from the home operator, own and partners'", f"{took_s:.1f} s")
    (count, _) = stage.wait("agents probe each other", lambda: _measured(stage), 40)
    network = stage.processes.hansa("network", "-o", "json").json()
    links = list(network["links"])
    modelled = sum(link["rtt"]["basis"] == "MODELLED" for link in links)
    stage.seen("the network is a real backbone, each link marked", f"{len(links)} links, {modelled} of them modelled")
    stage.command("hansa network --probes")
    shown = stage.processes.hansa("network", "--probes", columns=max(80, min(stage.console.width - 4, 132)))
    for line in shown.out.splitlines()[:5]:
        stage.console.print(f"    {line}", highlight=False, markup=False, no_wrap=True, overflow="crop")
    stage.seen("agents really probe each other", f"{count} pairs measured on the wire, beside the model")


def zones_seen(stage: Stage) -> list[dict[str, Any]]:
    """The zones as the home operator sees them; none while it does not answer."""
    answer = stage.processes.hansa("zones", "-o", "json")
    return list(answer.json()["zones"]) if answer.exit_code == 0 else []


def _available(stage: Stage) -> set[str]:
    found = (zone for zone in zones_seen(stage) if zone["state"] == "AVAILABLE")
    return {"/".join(zone["name"].split("/")[1::2]) for zone in found}


def _measured(stage: Stage) -> int:
    answer = stage.processes.hansa("network", "--probes", "-o", "json")
    probes = list(answer.json().get("probes", [])) if answer.exit_code == 0 else []
    return len([probe for probe in probes if probe["measured"]["rtt"]["sample_count"] > 0])


def submit_first(stage: Stage) -> None:
    path = stage.prepared.directory / f"{YARD}.yaml"
    for line in path.read_text(encoding="utf-8").splitlines():
        stage.console.print(f"    [dim]{line}[/dim]", highlight=False)
    answer = stage.hansa("submit", "-f", str(path), "--wait")
    zone = stage.zone_of(YARD)
    stage.seen("placed, started as a supervised process, ready", f"{zone} in {answer.seconds:.1f} s", kept=bool(zone))
    _infer(stage, YARD, 1)


def _infer(stage: Stage, name: str, first: int) -> None:
    drawn = images(first, 3)
    answers = stage.recognise(name, drawn)
    stage.console.print(recognition_table(drawn, answers))
    right = sum(
        image.container_number.replace(" ", "") in "".join(answer.texts).replace(" ", "")
        for image, answer in zip(drawn, answers, strict=True)
    )
    promise = "real inference by a real model, over mutual TLS"
    stage.seen(promise, f"{right} of {len(drawn)} container numbers read exactly", kept=right >= 2)


def explain_first(stage: Stage) -> None:
    stage.hansa("why", YARD)
    stage.hansa("why-not", YARD)
    decision = stage.processes.hansa("why-not", YARD, "-o", "json").json()
    rejections = _rejections(decision)
    for what, (zone, constraint) in REFUSED_BY.items():
        found = [r for r in rejections if r["zone"] == zone and r["result"]["constraint"] == constraint]
        shown = f"{zone}: {found[0]['result']['measured']}, bound {found[0]['result']['bound']}" if found else zone
        stage.seen(f"refused by {what}", shown, kept=bool(found))


def _rejections(answer: Any) -> list[dict[str, Any]]:
    """Every rejection in an answer, wherever the document keeps it."""
    if isinstance(answer, dict):
        own = answer.get("rejections", [])
        return list(own) + [r for key, value in answer.items() if key != "rejections" for r in _rejections(value)]
    if isinstance(answer, list):
        return [r for value in answer for r in _rejections(value)]
    return []


def submit_second(stage: Stage) -> None:
    path = stage.prepared.directory / f"{GATE}.yaml"
    answer = stage.hansa("submit", "-f", str(path), "--wait")
    zone = stage.zone_of(GATE)
    kept = zone.startswith("waldnetz/")
    stage.seen(
        "held, re-checked and confirmed by the partner that owns the zone", f"{zone}, {answer.seconds:.1f} s", kept=kept
    )
    us = [
        r
        for r in _rejections(stage.processes.hansa("why-not", GATE, "-o", "json").json())
        if r["zone"] == "blueridge/frankfurt-1" and r["reason"] != "NOT_EVALUATED"
    ]
    names = sorted({r["result"]["constraint"] for r in us})
    stage.seen(
        "the German zone under US control is refused for its control alone",
        f"blueridge/frankfurt-1: {', '.join(names)}",
        kept=names == ["LegalControl"],
    )
    _infer(stage, GATE, 11)


def lose_zones(stage: Stage) -> None:
    first = stage.zone_of(YARD)
    first_url = stage.endpoint(YARD)
    killed_at_ms = now_ms()
    killed = stage.processes.kill_zone(first)
    stage.say(f"[bold]kill -9[/bold] agent and instances of {first}: {len(killed)} instance(s)")
    event, looked_s = stage.wait("the loss is noticed", lambda: _loss_of(stage, first), 15)
    noticed_s = (event["at_ms"] - killed_at_ms) / 1000
    stage.seen("loss noticed within 5 s", f"{noticed_s:.1f} s after the kill", kept=noticed_s <= 5)
    zone, moved_s = stage.wait("the workload answers elsewhere", lambda: _elsewhere(stage, YARD, first), 40)
    stage.seen("placed on another lawful zone", f"{zone}, seen to answer {moved_s + looked_s:.1f} s after the kill")
    stage.seen("the endpoint follows", f"{stage.endpoint(YARD)[0]}", kept=stage.endpoint(YARD) != first_url)  # type: ignore[index]
    _infer(stage, YARD, 21)
    killed = stage.processes.kill_zone(zone)
    stage.say(f"[bold]kill -9[/bold] agent and instances of {zone}: {len(killed)} instance(s)")
    watch = stage.hansa("watch", YARD, "--timeout-s", "30")
    stage.seen(
        "hansa watch ends non-zero: no lawful zone is left", f"exit {watch.exit_code}", kept=watch.exit_code == 2
    )
    workload = stage.workload(YARD)
    conditions = {c["type"]: c for c in workload["conditions"]}
    placed = conditions.get("Placed", {})
    kept = workload["state"] == "UNPLACEABLE" and placed.get("status") == "FALSE"
    stage.seen("condition says so", f"Placed={placed.get('status')} {placed.get('message', '')[:80]}", kept=kept)
    stage.seen("event says so", "NoFeasibleZone", kept=any(e["reason"] == "NoFeasibleZone" for e in stage.events(YARD)))


def _loss_of(stage: Stage, zone: str) -> dict[str, Any] | None:
    """The event that tells of a zone's loss; None while there is none."""
    return next((e for e in stage.events(YARD) if e["reason"] == "ZoneLost" and zone in e["message"]), None)


def _elsewhere(stage: Stage, name: str, before: str) -> str:
    zone = stage.zone_of(name)
    return zone if zone != before else ""
