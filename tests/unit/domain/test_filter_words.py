"""What filters say of a zone, word for word: people and records rest on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from deciding_world import ARTEFACT, H100, L4, LINKS, NODES, NOW_MS, SLICE, spec, zone
from hansa_control.domain.feasibility import FilterOutcome, filter_zone, judge_zones
from hansa_control.domain.model import (
    AcceleratorNeed,
    AccessDemand,
    ArtefactRef,
    Capacity,
    DataClass,
    DataSource,
    LegalRule,
    Reason,
    ResidencyPolicy,
    SiteRule,
    TransitRule,
    WorkloadSpec,
    ZoneBounds,
    ZoneState,
)
from hansa_control.domain.near_names import NearNames
from hansa_control.domain.snapshot import build_snapshot
from hansa_control.domain.zones import Intake, Upkeep

NORDIC = frozenset({"NO", "SE"})
STRICT = ResidencyPolicy(SiteRule(NORDIC), LegalRule(NORDIC, frozenset({"US-CLOUD-ACT"})), TransitRule(NORDIC))
WANTED = f"ocr-server@{ARTEFACT.digest}"


def judge(wanted: WorkloadSpec, **changes: Any) -> FilterOutcome:
    one = zone(**changes)
    return filter_zone(wanted, build_snapshot(12, (one,), NODES, LINKS, NOW_MS), one, NOW_MS)


def passed(outcome: FilterOutcome) -> list[tuple[str, str, str]]:
    return [(x.constraint, x.measured, x.bound) for x in outcome.passed]


def refused(outcome: FilterOutcome) -> list[tuple[str, str, str, str]]:
    return [(x.reason.value, x.result.constraint, x.result.measured, x.result.bound) for x in outcome.rejections]


def test_a_zone_that_fits_says_of_every_constraint_what_was_found_and_asked() -> None:
    need = AcceleratorNeed(("L4", "h100"), 1, 9_000)
    wanted = spec(residency=STRICT, accelerator=need, price_millieur_per_hour_max=5_000)
    assert passed(judge(wanted, pools=(SLICE, L4, H100))) == [
        ("ZoneState", "available", "available or silent"),
        ("SiteResidency", "site country NO", "{NO,SE}"),
        ("LegalControl", "headquarters NO", "{NO,SE}"),
        ("LegalControl", "ultimate parent NO", "{NO,SE}"),
        ("LegalControl", "law none", "none of {US-CLOUD-ACT}"),
        ("Location", "site country NO", "NO, the country of node oslo"),
        ("TransitResidency", "crosses NO", "{NO,SE}"),
        ("LatencyBound", "p95 7.2 ms from oslo", "<= 60 ms"),
        ("ArtefactAllowed", "allowed", WANTED),
        ("GpuModel", "nvidia/H100/mig-1g.10gb, nvidia/L4, nvidia/H100", "any of L4, h100"),
        ("GpuMemory", "81559 MiB on nvidia/H100", ">= 9000 MiB"),
        ("GpuCapacity", "7 free of nvidia/H100/mig-1g.10gb", ">= 2 (1 x 2 replicas)"),
        ("CpuCapacity", "64000 millicores free", ">= 4000 millicores"),
        ("MemoryCapacity", "262144 MiB free", ">= 8192 MiB"),
        ("PriceBound", "EUR 2.00 an hour", "<= EUR 5.00 an hour"),
    ]


def test_what_is_found_rests_on_the_inventory_what_is_free_the_path_or_a_proof() -> None:
    evidence = {x.constraint: x.evidence for x in judge(spec(residency=STRICT, accelerator=None)).passed}
    proof = "register by brreg (company-register), valid until 2027-01-16"
    assert evidence == {
        "ZoneState": "generation 1 of nordavind/oslo-1",
        "SiteResidency": proof,
        "LegalControl": proof,
        "Location": f"{proof}; node oslo",
        "TransitResidency": "path oslo, network of snapshot 12",
        "LatencyBound": "path oslo, modelled",
        "ArtefactAllowed": "inventory of nordavind/oslo-1, generation 1",
        "CpuCapacity": "free in nordavind/oslo-1, generation 1",
        "MemoryCapacity": "free in nordavind/oslo-1, generation 1",
    }


def test_what_a_full_and_cordoned_zone_lacks_is_told_beside_what_holds_of_it() -> None:
    others = (ArtefactRef(ARTEFACT.name, "sha256:b"), ArtefactRef(ARTEFACT.name, "sha256:a"), ArtefactRef("x", "c"))
    full = judge(
        spec(price_millieur_per_hour_max=1_999),
        state=ZoneState.STALE,
        inventory={"cordoned": True, "artefacts": others},
        free=Capacity(3_999, 8_191, ((L4.key, 1),)),
    )
    assert passed(full) == [
        ("LatencyBound", "p95 7.2 ms from oslo", "<= 60 ms"),
        ("GpuModel", "nvidia/L4", "any of L4"),
        ("GpuMemory", "23034 MiB on nvidia/L4", ">= 16000 MiB"),
    ]
    assert refused(full) == [
        ("OFFER_STALE", "ZoneState", "stale", "available or silent"),
        ("ZONE_CORDONED", "ZoneState", "cordoned by its agent", "not cordoned"),
        ("ARTEFACT_NOT_ALLOWED", "ArtefactAllowed", "allowed as sha256:a, sha256:b", WANTED),
        ("GPU_EXHAUSTED", "GpuCapacity", "1 free of nvidia/L4", ">= 2 (1 x 2 replicas)"),
        ("CPU_EXHAUSTED", "CpuCapacity", "3999 millicores free", ">= 4000 millicores"),
        ("MEMORY_EXHAUSTED", "MemoryCapacity", "8191 MiB free", ">= 8192 MiB"),
        ("PRICE_EXCEEDED", "PriceBound", "EUR 2.00 an hour", "<= EUR 1.999 an hour"),
    ]


def test_a_zone_that_lacks_only_memory_says_nothing_against_its_cpu() -> None:
    short = judge(spec(accelerator=None), free=Capacity(4_000, 8_191, ()))
    assert [row[1] for row in refused(short)] == ["MemoryCapacity"]
    assert ("CpuCapacity", "4000 millicores free", ">= 4000 millicores") in passed(short)


def test_models_that_are_there_are_told_where_none_is_acceptable() -> None:
    found = refused(judge(spec(accelerator=AcceleratorNeed(("B200", "GH200"), 2, 40_000)), pools=(L4, H100)))
    assert found == [
        ("GPU_MODEL_MISSING", "GpuModel", "nvidia/L4, nvidia/H100", "any of B200, GH200"),
        ("NOT_EVALUATED", "GpuMemory", "no such model", ">= 40000 MiB"),
        ("NOT_EVALUATED", "GpuCapacity", "no such device", ">= 4 (2 x 2 replicas)"),
    ]


def test_of_several_zones_each_is_told_its_own_models() -> None:
    held = {"a": (L4,), "b": (H100, SLICE), "c": ()}
    zones = [zone(f"nordavind/{name}", pools=pools) for name, pools in held.items()]
    wanted = spec(accelerator=AcceleratorNeed(("B200",), 1, 0))
    verdicts = judge_zones(wanted, build_snapshot(12, zones, NODES, LINKS, NOW_MS), NOW_MS)
    told = [x.result.measured for x in verdicts.rejections() if x.reason is Reason.GPU_MODEL_MISSING]
    assert told == ["nvidia/L4", "nvidia/H100/mig-1g.10gb, nvidia/H100", "no accelerator"]


def test_the_largest_device_is_told_where_all_are_too_small() -> None:
    outcome = judge(spec(accelerator=AcceleratorNeed((), 2, 100_000)), pools=(L4, H100))
    assert refused(outcome) == [
        ("GPU_MEMORY_TOO_SMALL", "GpuMemory", "81559 MiB on nvidia/H100", ">= 100000 MiB"),
        ("NOT_EVALUATED", "GpuCapacity", "no such device", ">= 4 (2 x 2 replicas)"),
    ]
    assert [row for row in passed(outcome) if row[0].startswith("Gpu")] == [
        ("GpuModel", "nvidia/L4, nvidia/H100", "any model")
    ]


def test_every_pool_that_would_do_is_told_where_none_has_enough_free() -> None:
    exhausted = judge(spec(accelerator=AcceleratorNeed((), 4, 9_000)), pools=(SLICE, L4, H100))
    words = "7 free of nvidia/H100/mig-1g.10gb, 4 free of nvidia/L4, 2 free of nvidia/H100"
    assert refused(exhausted) == [("GPU_EXHAUSTED", "GpuCapacity", words, ">= 8 (4 x 2 replicas)")]


def test_devices_that_no_machine_has_together_serve_no_replica_however_many_are_free() -> None:
    spread = replace(L4, node_count_max=1)
    apart = judge(spec(accelerator=AcceleratorNeed(("L4",), 2, 0)), pools=(spread,))
    words = "4 free of nvidia/L4, at most 1 on one node"
    assert refused(apart) == [("GPU_EXHAUSTED", "GpuCapacity", words, ">= 4 (2 x 2 replicas)")]
    assert not refused(judge(spec(accelerator=AcceleratorNeed(("L4",), 1, 0)), pools=(spread,)))
    assert not refused(judge(spec(accelerator=AcceleratorNeed(("L4",), 2, 0)), pools=(replace(L4, node_count_max=2),)))
    other = judge(spec(accelerator=AcceleratorNeed((), 2, 0), replicas=1), pools=(spread, H100))
    assert not refused(other) and other.pool == H100.key, "the next pool that has enough in one place"


def test_the_least_price_bound_is_a_bound() -> None:
    assert refused(judge(spec(accelerator=None, price_millieur_per_hour_max=1))) == [
        ("PRICE_EXCEEDED", "PriceBound", "EUR 2.00 an hour", "<= EUR 0.001 an hour")
    ]


@pytest.mark.parametrize("most", [2, 3])
def test_a_zone_that_may_be_one_of_several_is_asked_for_one_replica(most: int) -> None:
    wanted = spec(accelerator=AcceleratorNeed((), 3, 9_000), zones=ZoneBounds(1, most))
    assert refused(judge(wanted, pools=())) == [
        ("GPU_MODEL_MISSING", "GpuModel", "no accelerator", "any model"),
        ("NOT_EVALUATED", "GpuMemory", "no such model", ">= 9000 MiB"),
        ("NOT_EVALUATED", "GpuCapacity", "no such device", ">= 3 (3 x 1 replicas)"),
    ]


def test_data_sources_are_named_whether_their_paths_are_lawful_or_not() -> None:
    near, far = (
        DataSource("scans", "goteborg", "SE", DataClass.INPUT),
        DataSource("x", "helsinki", "SE", DataClass.LOGS),
    )
    lawful = judge(spec(residency=STRICT, data_sources=(near,)))
    assert ("SiteResidency", "data source scans in SE", "{NO,SE}") in passed(lawful)
    assert ("TransitResidency", "lawful paths of scans", "{NO,SE}") in passed(lawful)
    unlawful = judge(spec(residency=STRICT, data_sources=(near, far)))
    assert refused(unlawful) == [
        ("TRANSIT_DENIED", "TransitResidency", "data source x: crosses FI from helsinki", "{NO,SE}")
    ]
    assert [row for row in passed(unlawful) if row[0] == "TransitResidency"] == [
        ("TransitResidency", "crosses NO", "{NO,SE}")
    ]


@pytest.mark.parametrize(
    ("name", "known", "words"),
    [
        ("olso", ["oslo", "bodo"], "; nearest known: oslo"),
        ("slo", ["oslo", "bodo"], "; nearest known: oslo"),
        ("osloo", ["oslo", "bodo"], "; nearest known: oslo"),
        ("osla", ["oslo", "bodo"], "; nearest known: oslo"),
        ("solo", ["oslo", "bodo"], "; nearest known: oslo"),
        ("H1OO", ["L4", "H100"], "; nearest known: H100"),
        ("h100", ["H100"], "; nearest known: H100"),
        ("L", ["L4", "H100"], "; nearest known: L4"),
        ("oslo-3", ["oslo-2", "oslo-1"], "; nearest known: oslo-1"),
        ("atlantis", ["oslo"], ""),
        ("solol", ["oslo"], ""),
        ("oslo", [], ""),
        ("node-77x", [f"node-{n}" for n in range(900)], "; nearest known: node-77"),
    ],
)
def test_the_nearest_of_the_names_that_are_known_is_named(name: str, known: list[str], words: str) -> None:
    assert NearNames(known).hint(name) == NearNames(reversed(known)).hint(name) == words


def test_a_misspelt_name_is_told_the_nearest_by_the_constraint_that_it_fails() -> None:
    need, artefact = AcceleratorNeed(("L44",), 1, 0), ArtefactRef("ocr-servr", ARTEFACT.digest)
    wanted = spec(access=(AccessDemand("olso", 1),), accelerator=need, artefact=artefact)
    assert {found[1:] for found in refused(judge(wanted, pools=(L4,)))} >= {
        ("AccessPointKnown", "olso", "an access point in view; nearest known: oslo"),
        ("GpuModel", "nvidia/L4", "any of L44; nearest known: L4"),
        ("ArtefactAllowed", "not allowed; nearest known: ocr-server", f"ocr-servr@{ARTEFACT.digest}"),
    }


def test_a_model_or_an_artefact_that_some_zone_has_is_told_no_other() -> None:
    theirs, ours = ArtefactRef("ocr-servr", "sha256:x"), ArtefactRef("ocr-servr", ARTEFACT.digest)
    other = zone("skargard/umea-1", pools=(H100,), inventory={"artefacts": (theirs,)})
    wanted = spec(accelerator=AcceleratorNeed(("L44", "H100"), 1, 0), artefact=ours)
    zones = (zone(pools=(L4,)), other)
    verdicts = judge_zones(wanted, build_snapshot(12, zones, NODES, LINKS, NOW_MS), NOW_MS)
    assert "nearest known" not in str(verdicts.rejections())
    assert "any of L44, H100" in str(verdicts.rejections())


def test_a_data_source_at_a_misspelt_node_says_so() -> None:
    source = DataSource("plates", "olso", "NO", DataClass.INPUT)
    (found,) = refused(judge(spec(residency=STRICT, data_sources=(source,))))
    bound = "a node in view; nearest known: oslo"
    assert found == ("UNREACHABLE", "Reachability", "data source plates: there is no node olso", bound)


@pytest.mark.parametrize(
    ("upkeep", "measured"),
    [
        (Upkeep(Intake.DRAINING), "being drained"),
        (Upkeep(Intake.DRAINING, note="new racks"), "being drained: new racks"),
        (Upkeep(Intake.DRAINING, due_ms=60_000), "being drained, to be empty by 1970-01-01 00:01 UTC"),
    ],
)
def test_a_zone_that_is_drained_says_until_when_if_anybody_has(upkeep: Upkeep, measured: str) -> None:
    (rejection,) = judge(spec(), upkeep=upkeep).rejections
    assert (rejection.reason, rejection.result.measured) == (Reason.ZONE_DRAINING, measured)
