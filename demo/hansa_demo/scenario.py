"""The demonstration's world: four invented operators, ten zones in real cities, two workloads.

The operators and everything said about them are made up. The cities, their distances and the cables between them are
real (topohub). Accelerators are declared in a file, as an operator without a card in this machine would test hansa.
"""

from __future__ import annotations

from dataclasses import dataclass

ARTEFACT = "ocr-server"
TENANT = "harbour"


@dataclass(frozen=True, slots=True)
class Pool:
    """Accelerators of one kind in a zone; memory of one device or slice."""

    model: str
    memory_mib: int
    count: int
    mig_profile: str = ""


@dataclass(frozen=True, slots=True)
class DemoZone:
    """A zone: its network node and what it declares. cpu and memory are more than this machine has, and declared."""

    name: str
    node: str
    title: str
    country: str
    pools: tuple[Pool, ...]
    price_millieur_per_hour: int
    cpu_millis: int = 16_000
    memory_mib: int = 65_536


@dataclass(frozen=True, slots=True)
class PointOfPresence:
    """A node of an operator that has no network of its own there: a room, and fibre to a carrier's node."""

    name: str
    title: str
    country: str
    latitude_deg: float
    longitude_deg: float
    to_node: str
    fibre_km: int


@dataclass(frozen=True, slots=True)
class DemoOperator:
    """An operator: who controls it, which countries' network it carries, and its zones."""

    name: str
    title: str
    headquarters_country: str
    ultimate_parent_country: str
    extraterritorial_law: str
    carries: tuple[str, ...]
    zones: tuple[DemoZone, ...]
    presence: tuple[PointOfPresence, ...] = ()


L40S = "L40S", 46_068
H100 = "H100", 81_559
L4 = "L4", 23_034

OPERATORS: tuple[DemoOperator, ...] = (
    DemoOperator(
        name="nordavind",
        title="Nordavind Nett",
        headquarters_country="NO",
        ultimate_parent_country="NO",
        extraterritorial_law="none",
        carries=("NO",),
        zones=(
            DemoZone("oslo-1", "oslo", "Oslo", "NO", (Pool(*L40S, 2),), 1_100),
            DemoZone("bergen-1", "bergen", "Bergen", "NO", (Pool(*L4, 4),), 450),
            DemoZone("breivika-1", "breivika", "Breivika", "NO", (Pool(*H100, 2),), 2_300),
        ),
    ),
    DemoOperator(
        name="skargard",
        title="Skargard Bredband",
        headquarters_country="SE",
        ultimate_parent_country="SE",
        extraterritorial_law="none",
        carries=("SE", "FI"),
        zones=(
            DemoZone("stockholm-1", "stockholm", "Stockholm", "SE", (Pool(*H100, 2),), 2_400),
            DemoZone("goteborg-1", "goteborg", "Goteborg", "SE", (Pool("H100", 9_856, 7, "1g.10gb"),), 380),
            DemoZone("umea-1", "umea", "Umea", "SE", (Pool(*L40S, 2),), 900),
        ),
    ),
    DemoOperator(
        name="waldnetz",
        title="Waldnetz",
        headquarters_country="DE",
        ultimate_parent_country="DE",
        extraterritorial_law="none",
        carries=("DE", "DK"),
        zones=(
            DemoZone("hamburg-1", "hamburg", "Hamburg", "DE", (Pool(*L40S, 2),), 1_000),
            DemoZone("berlin-1", "berlin", "Berlin", "DE", (), 120),
        ),
    ),
    DemoOperator(
        name="blueridge",
        title="Blueridge Edge",
        headquarters_country="DE",
        ultimate_parent_country="US",
        extraterritorial_law="US-CLOUD-ACT",
        carries=(),
        zones=(
            DemoZone("frankfurt-1", "frankfurt-br", "Frankfurt", "DE", (Pool(*H100, 4),), 1_900),
            DemoZone("stockholm-2", "stockholm-br", "Stockholm", "SE", (Pool(*L40S, 4),), 800),
        ),
        presence=(
            PointOfPresence("frankfurt-br", "Frankfurt", "DE", 50.11, 8.68, "wiesbaden", 40),
            PointOfPresence("stockholm-br", "Stockholm", "SE", 59.33, 18.06, "stockholm", 2),
        ),
    ),
)

HOME = "nordavind"


def yard_spec(digest: str) -> dict[str, object]:
    """The first workload: users in Norway and Sweden, data and control and transit stay there."""
    return {
        "kind": "Workload",
        "name": "yard-ocr",
        "artefact": {"name": ARTEFACT, "digest": digest},
        "accelerators": {"any_of": ["L4", "L40S", "H100"], "count": 1, "memory_gib_min": 40},
        "resources": {"cpu": "1", "memory": "2GiB"},
        "replicas": 1,
        "users": [
            {"access_point": "oslo", "requests_per_s": 5},
            {"access_point": "goteborg", "requests_per_s": 3},
        ],
        "latency": {"percentile": 95, "rtt_ms_max": 24},
        "residency": {
            "data": ["NO", "SE"],
            "control": ["NO", "SE"],
            "transit": ["NO", "SE"],
            "deny_laws": ["US-CLOUD-ACT"],
            "on_change": "drain",
        },
    }


def gate_spec(digest: str) -> dict[str, object]:
    """The second workload: users in Germany, under European control; only partners have zones there."""
    return {
        "kind": "Workload",
        "name": "gate-ocr",
        "artefact": {"name": ARTEFACT, "digest": digest},
        "resources": {"cpu": "1", "memory": "2GiB"},
        "replicas": 1,
        "users": [{"access_point": "hamburg", "requests_per_s": 4}],
        "latency": {"percentile": 95, "rtt_ms_max": 30},
        "residency": {
            "data": ["DE"],
            "control": ["DE", "NO", "SE"],
            "transit": ["DE"],
            "deny_laws": ["US-CLOUD-ACT"],
            "on_change": "drain",
        },
    }
