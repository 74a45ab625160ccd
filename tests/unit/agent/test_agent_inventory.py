"""What a zone says that it has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hansa_agent
import pytest
from hansa_agent.config import AgentConfig
from hansa_agent.config_sections import FactSection
from hansa_agent.config_yaml import load_yaml
from hansa_agent.inventory import FileSource, facts_of, full_capacity, inventory_of, pool_key
from hansa_agent.inventory_machine import MachineSource
from hansa_agent.inventory_nvml import model_of
from hansa_agent.system import SystemClock

from hansa.v1.common_pb2 import (
    EVIDENCE_KIND_DECLARATION,
    FACT_KIND_CERTIFICATION,
    FACT_KIND_SITE_COUNTRY,
    FACT_KIND_ULTIMATE_PARENT_COUNTRY,
    AcceleratorPool,
)

CONFIG = load_yaml(Path(hansa_agent.__file__).parents[1] / "agent.example.yaml", AgentConfig)
EVIDENCE = {
    "issuer": "Nordfjell AS",
    "scheme": "operator-declaration",
    "valid_from": "1970-01-01T00:00:01Z",
    "valid_until": "1970-01-01T01:00:00+01:00",
}


def test_inventory_carries_everything_that_the_owner_wrote() -> None:
    machine = FileSource(CONFIG.inventory).look()
    inventory = inventory_of(CONFIG, machine, {"b": "sha256:2", "a": "sha256:1"}, "h:1")
    assert (inventory.node, inventory.title, inventory.source) == ("oslo", "Oslo", "file")
    assert inventory.price_millieur_per_hour == 900 and not inventory.cordoned
    assert (inventory.failure_domain, inventory.device_watts) == ("oslo-hall-2", 300)
    assert [(each.name, each.digest) for each in inventory.artefacts] == [("a", "sha256:1"), ("b", "sha256:2")]
    amounts = {amount.pool: amount.count for amount in inventory.capacity.accelerators}
    assert amounts == {"nvidia/L4": 2, "nvidia/H100/mig-1g.10gb": 7}
    assert inventory.capacity.cpu_millis == 16_000 and inventory.probe_address == "h:1"


def test_pools_of_one_key_add_up() -> None:
    machine = FileSource(CONFIG.inventory).look()
    doubled = type(machine)(machine.capacity, machine.pools * 2, "file")
    assert full_capacity(doubled).accelerators[1].count == 4


def test_pool_key_names_slices_apart_from_devices() -> None:
    assert pool_key(AcceleratorPool(vendor="nvidia", model="H100")) == "nvidia/H100"
    assert pool_key(AcceleratorPool(vendor="nvidia", model="H100", mig_profile="1g.10gb")) == "nvidia/H100/mig-1g.10gb"


def test_facts_are_numbered_within_their_kind_and_carry_their_proof() -> None:
    sections = [
        FactSection.model_validate({"kind": kind, "value": value, "evidence": EVIDENCE})
        for kind, value in [
            ("ULTIMATE_PARENT_COUNTRY", "US"),
            ("SITE_COUNTRY", "DE"),
            ("ULTIMATE_PARENT_COUNTRY", "JP"),
        ]
    ]
    facts = facts_of(sections)
    assert list(facts) == ["facts/ULTIMATE_PARENT_COUNTRY/0", "facts/SITE_COUNTRY/0", "facts/ULTIMATE_PARENT_COUNTRY/1"]
    assert facts["facts/SITE_COUNTRY/0"].kind == FACT_KIND_SITE_COUNTRY
    assert facts["facts/ULTIMATE_PARENT_COUNTRY/1"].kind == FACT_KIND_ULTIMATE_PARENT_COUNTRY
    evidence = facts["facts/SITE_COUNTRY/0"].evidence
    assert (evidence.kind, evidence.valid_from_ms, evidence.valid_until_ms) == (EVIDENCE_KIND_DECLARATION, 1_000, 0)


@pytest.mark.parametrize(
    ("product", "model"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("Tesla T4", "T4"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("NVIDIA", "NVIDIA"),
    ],
)
def test_products_have_short_names(product: str, model: str) -> None:
    assert model_of(product) == model


def test_machine_is_bounded_by_its_control_group(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16384000 kB\nMemFree: 1 kB\n")
    free = MachineSource(SystemClock(), meminfo, tmp_path / "none").look().capacity
    assert free.memory_mib == 16_000 and free.cpu_millis >= 1_000
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text(f"{1 << 30}\n")
    bound = MachineSource(SystemClock(), meminfo, tmp_path).look().capacity
    assert (bound.cpu_millis, bound.memory_mib) == (500, 1_024)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert MachineSource(SystemClock(), meminfo, tmp_path).look().capacity == free


def test_version_and_level_of_a_certification_are_carried() -> None:
    section = FactSection.model_validate(
        {"kind": "CERTIFICATION", "value": "C5", "version": "2020", "level": "type 2", "evidence": EVIDENCE}
    )
    (fact,) = facts_of([section]).values()
    assert (fact.kind, fact.value, fact.version, fact.level) == (FACT_KIND_CERTIFICATION, "C5", "2020", "type 2")


def test_a_zone_in_trouble_that_is_not_sound_takes_nothing_new_and_says_why() -> None:
    found = replace(FileSource(CONFIG.inventory).look(), trouble="1 node is not ready")
    told = inventory_of(CONFIG, found, {}, "")
    assert (told.trouble, told.cordoned) == ("1 node is not ready", False)
    assert inventory_of(CONFIG, replace(found, unsound=True), {}, "").cordoned
