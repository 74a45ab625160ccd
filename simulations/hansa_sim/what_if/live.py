"""Asking a running control plane for its world, and keeping it as a scenario."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import yaml
from hansa_control.adapters.world_record import read_world
from hansa_control.domain.world_record import WorldRecord

from hansa.operator_client import OperatorClient
from hansa.profile import Profile

TIMEOUT_MS = 60_000
SUFFIX = ".world.json"


def ask(profile: Profile) -> bytes:
    """The world of an operator as JSON, by the control plane's own certificate; HansaError."""

    async def asked() -> bytes:
        async with OperatorClient(profile, timeout_ms=TIMEOUT_MS) as client:
            return await client.world()

    return asyncio.run(asked())


def write_scenario(body: bytes, out: Path) -> tuple[Path, Path]:
    """Writes the scenario and, beside it, the world that it names. OSError where that cannot be done."""
    record = read_world(body)
    world = out.with_name(out.name.removesuffix(".yaml").removesuffix(".yml") + SUFFIX)
    world.write_text(json.dumps(json.loads(body), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = yaml.safe_dump(_document(record, world.name), sort_keys=False, allow_unicode=True)
    out.write_text(_HEAD + text, encoding="utf-8")
    return out, world


_HEAD = """\
# What an operator's control plane saw at one moment. Zones, network, workloads and where they run are in the file that
# network.snapshot names. To run policies on it, add apps and users; hansa simulate what-if needs nothing more.
"""


def _document(record: WorldRecord, world: str) -> dict[str, object]:
    moment = datetime.fromtimestamp(record.taken_at_ms / 1_000, UTC)
    return {
        "version": 1,
        "name": f"{record.home}-{moment:%Y-%m-%d}",
        "title": f"The world of {record.home} on {moment:%Y-%m-%d} at {moment:%H:%M:%S} UTC",
        "as_of": f"{moment:%Y-%m-%d}",
        "network": {"snapshot": world},
        "operators": [{"name": name} for name in _operators(record)],
    }


def _operators(record: WorldRecord) -> Iterator[str]:
    """The operator itself, then those whose zones it sees."""
    yield record.home
    yield from sorted({zone.id.operator for zone in record.snapshot.zones} - {record.home})
