"""How long a simulated day of five operators takes: ``hansa simulate run --engine system``, in wall time.

The world: topohub's European backbone, 20 zones an operator, 1,000 workloads at their users' access points, and a day
with nine faults: single zones, the zones of a country, and a whole operator cut off with its network.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hansa_sim.latency.results import Results
from hansa_sim.latency.scenario_file import load_scenario
from hansa_sim.latency.system.figures import run_day
from hansa_sim.latency.world import build_world
from hansa_sim.topology import load_topology

DAY_S, WORKLOADS, ZONES_EACH, DEVICES = 86_400, 1_000, 20, 24
TARGET_S = 60.0
COUNTRIES = {
    "nordavind": ["NO", "IS", "FO"],
    "skargard": ["SE", "FI", "DK", "EE", "LV", "LT"],
    "waldnetz": ["DE", "AT", "CH", "CZ", "PL", "NL", "BE", "LU", "SK", "HU", "SI", "HR"],
    "tierraluz": ["ES", "PT", "FR", "IT", "MT", "GR", "CY", "MC"],
    "islander": ["GB", "IE", "JE", "IM", "GG"],
}
ZONES_THAT_FALL = ((0, 3, 3_600, 1_800), (2, 5, 10_000, 900), (3, 1, 20_000, 7_200), (1, 10, 41_000, 120))
MORE_THAT_FALL = ((2, 15, 50_000, 3_600), (3, 11, 60_000, 1_200), (4, 2, 80_000, 1_800))


def scenario() -> dict[str, Any]:
    """The scenario as its file would say it."""
    operators = [_operator(name) for name in COUNTRIES]
    falls = [
        {"zone": f"{operators[of]['name']}/{operators[of]['zones'][at]['name']}", "at_s": at_s, "for_s": for_s}
        for of, at, at_s, for_s in (*ZONES_THAT_FALL, *MORE_THAT_FALL)
    ]
    falls.append({"operator": "islander", "at_s": 30_000, "for_s": 600})
    falls.append({"country": "CZ", "parts": "zones", "at_s": 70_000, "for_s": 1_800})
    everywhere = sorted(country for countries in COUNTRIES.values() for country in countries)
    return {
        "version": 1,
        "name": "bench-system",
        "title": "A day of five operators",
        "as_of": "2026-11-01",
        "network": {"topohub": "backbone/europe"},
        "operators": operators,
        "apps": [
            {
                "name": "assist",
                "home": "waldnetz",
                "latency": {"rtt_ms_max": 60, "response_ms_max": 250},
                "residency": {"data": everywhere},
                "service": {"times": [{"mean_ms": 20}]},
                "zones": {"max": 1},
            }
        ],
        "users": [{"countries": everywhere, "requests_per_s": 10.0 * WORKLOADS}],
        "faults": falls,
        "run": {"duration_s": DAY_S, "system": {"workloads": WORKLOADS}},
    }


def _operator(name: str) -> dict[str, Any]:
    countries = COUNTRIES[name]
    points = [node.name for node in load_topology().nodes if node.access_point and node.country in countries]
    chosen = [points[n * len(points) // ZONES_EACH] for n in range(ZONES_EACH)]
    zones = [
        {"name": f"{point}-1", "node": point, "accelerators": {"model": "L40S", "count": DEVICES}} for point in chosen
    ]
    legal = {"headquarters": countries[0], "ultimate_parents": [countries[0]], "laws": ["none"]}
    return {"name": name, "countries": countries, "legal": legal, "zones": zones}


def play() -> tuple[Results, float, float]:
    """The day's results, and the seconds it took by the wall and of the processor."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(yaml.safe_dump(scenario(), sort_keys=False), encoding="utf-8")
        world = build_world(load_scenario(path))
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        results = run_day(world)
        return results, time.perf_counter() - wall_s, time.process_time() - cpu_s


def rows() -> list[dict[str, object]]:
    """Rows of the table."""
    results, wall_s, cpu_s = play()
    seen = results.rows[0].transients
    if seen is None or seen.broken or seen.unplaced:
        raise RuntimeError(
            f"the day did not go as it must: {seen and seen.broken[:3]}, {seen and seen.unplaced} nowhere"
        )
    return [
        _row("system.day_of_5_operators", wall_s, "s", TARGET_S),
        _row("system.day_processor_time", cpu_s, "s", None),
        _row("system.day_walked_through", seen.duration_s - seen.leapt_s, "simulated s", None),
        _row("system.moves", float(len(seen.moves)), "moves", None),
    ]


def _row(name: str, value: float, unit: str, target: float | None) -> dict[str, object]:
    met = None if target is None else value <= target
    return {"name": name, "value": value, "unit": unit, "floor": None, "ratio": None, "target": target, "met": met}


if __name__ == "__main__":
    for line in rows():
        print(line, file=sys.stdout)
