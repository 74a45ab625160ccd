"""Small scenarios for the tests: a table of round trips, three operators, and changes to them."""

from __future__ import annotations

from pathlib import Path

from hansa_sim.latency.scenario_file import load_scenario
from hansa_sim.latency.world import World, build_world

ROUND_TRIPS = """a,b,rtt_ms,countries,carrier
oslo,stockholm,8,-,skargard
oslo,bergen,7,-,nordavind
stockholm,malmo,9,-,skargard
malmo,hamburg,6,DK,waldnetz
oslo,hamburg,20,"DK",waldnetz
island,reef,3,-,skargard
"""

SCENARIO = """version: 1
name: small
title: A small world
as_of: 2026-11-01
network:
  round_trips: trips.csv
  node_countries: {oslo: NO, bergen: NO, stockholm: SE, malmo: SE, hamburg: DE, island: SE, reef: SE}
operators:
  - name: nordavind
    countries: [NO]
    legal: {headquarters: NO, ultimate_parents: [NO], laws: [none]}
    zones:
      - name: oslo-1
        node: oslo
        accelerators: {model: L40S, count: 4}
        price_eur_per_hour: 1.5
        device_watts: 300
        carbon_gco2_per_kwh: 30
  - name: skargard
    countries: [SE]
    legal: {headquarters: SE, ultimate_parents: [SE], laws: [none]}
    zones:
      - name: stockholm-1
        node: stockholm
        accelerators: {model: L40S, count: 3}
        price_eur_per_hour: 1.0
        device_watts: 300
        carbon_gco2_per_kwh: 40
  - name: waldnetz
    countries: [DE]
    legal: {headquarters: DE, ultimate_parents: [DE], laws: [none]}
    zones:
      - name: hamburg-1
        node: hamburg
        accelerators: {model: L40S, count: 4}
        price_eur_per_hour: 0.5
        device_watts: 300
        carbon_gco2_per_kwh: 350
apps:
  - name: ocr
    home: nordavind
    latency: {rtt_ms_max: 60, response_ms_max: 300}
    residency: {data: [NO, SE], control: [NO, SE], transit: [NO, SE]}
    service: {times: [{mean_ms: 20}]}
users:
  - {access_point: oslo, requests_per_s: 60}
  - {access_point: bergen, requests_per_s: 50}
  - {access_point: malmo, requests_per_s: 90}
policies: [nearest]
compare: {law: false, federation: false}
run: {requests: 40000, replications: 4, seed: 7}
"""


def written(folder: Path, *changes: tuple[str, str], trips: str = ROUND_TRIPS) -> Path:
    """The small scenario in a folder, with texts in it replaced; each must be there."""
    text = SCENARIO
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    (folder / "trips.csv").write_text(trips, encoding="utf-8")
    path = folder / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def world_of(folder: Path, *changes: tuple[str, str], trips: str = ROUND_TRIPS) -> World:
    """The world of the small scenario."""
    return build_world(load_scenario(written(folder, *changes, trips=trips)))


TWO_APPS = (
    (
        "apps:\n",
        "apps:\n  - name: asr\n    home: skargard\n    priority: 10\n    accelerators: {count: 2}\n"
        "    latency: {rtt_ms_max: 60, response_ms_max: 200}\n    residency: none\n"
        "    service: {times: [{mean_ms: 30}]}\n",
    ),
    (
        "  - {access_point: oslo, requests_per_s: 60}\n  - {access_point: bergen, requests_per_s: 50}\n"
        "  - {access_point: malmo, requests_per_s: 90}\n",
        "  - {app: ocr, access_point: oslo, requests_per_s: 40}\n"
        "  - {app: ocr, access_point: bergen, requests_per_s: 30}\n"
        "  - {app: asr, access_point: malmo, requests_per_s: 20}\n"
        "  - {app: asr, access_point: oslo, requests_per_s: 10}\n",
    ),
)
"""Changes that make it a scenario of two apps: asr comes first, and takes two devices a replica."""
