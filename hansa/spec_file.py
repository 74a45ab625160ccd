"""A workload as an app team writes it: YAML in, WorkloadSpec out, strictly.

    kind: Workload
    name: yard-ocr
    artefact: {name: ocr-server, digest: sha256:...}          # or ocr-server@sha256:...
    accelerators: {any_of: [L40S, H100], count: 1, memory_gib_min: 40}      # or H100:2, or [L40S:1, H100:1]; optional
    resources: {cpu: 500m, memory: 1GiB}                      # of each replica
    users: [{access_point: oslo, requests_per_s: 5}]
    latency: {percentile: 95, rtt_ms_max: 24}                 # and more, see spec_service
    residency:                                                # or the word: none; all of it in hansa.policy_file
      data: [NO, SE]                                          # where the zone may stand
      control: [NO, SE]                                       # who may control its owner
      transit: [NO, SE]                                       # where traffic may pass
      deny_laws: [US-CLOUD-ACT]                               # laws that must not reach the owner
      deny_carriers: []                                       # operators that must not carry traffic
      on_change: drain                                        # keep-and-alert, drain, terminate

Replicas, zones, spread, price: ``spec_demand``; service: ``spec_service``; prefer, objective, data_sources:
``spec_preferences``.

``residency`` must be written: leaving it out would be the silent way to run without any rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from hansa.errors import HansaError
from hansa.law.membership import policy_reader
from hansa.names import WorkloadName, checked_id, parse_workload
from hansa.policy_file import PolicyReader
from hansa.spec_demand import OPTIONAL_KEYS, add_demand
from hansa.v1 import common_pb2, workload_pb2
from hansa.yaml_tree import YamlValue, read_yaml, read_yaml_file

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ACCELERATOR = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?::([0-9]+))?")
_CPU = re.compile(r"([0-9]+)m|([0-9]+(?:\.[0-9]{1,3})?)")
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(MiB|GiB|TiB|Mi|Gi|Ti)")
_MIB_PER_UNIT = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}
_LOOSE_MEMORY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_CPU_MILLIS_MAX = 1_000_000
_MEMORY_MIB_MAX = 67_108_864


@dataclass(frozen=True, slots=True)
class WorkloadFile:
    """What a workload file says."""

    name: WorkloadName
    spec: workload_pb2.WorkloadSpec


def load_workload(path: Path, tenant: str, as_of: date | None = None) -> WorkloadFile:
    """Reads a workload file; a short name gets this tenant. Raises HansaError with file, line and field.

    ``as_of`` is the day on which groups of countries are read; without one they are refused.
    """
    return _workload(read_yaml_file(path), tenant, policy_reader(as_of))


def parse_workload_text(text: str, tenant: str, *, source: str = "", as_of: date | None = None) -> WorkloadFile:
    """The same for a text; ``source`` names it in errors."""
    return _workload(read_yaml(text, source=source), tenant, policy_reader(as_of))


def _workload(document: YamlValue, tenant: str, reader: PolicyReader) -> WorkloadFile:
    values = document.mapping(
        ("kind", "name", "artefact", "resources", "users", "latency", "residency"),
        ("accelerators", "artefact_forms", *OPTIONAL_KEYS),
    )
    values["kind"].one_of(("Workload",))
    resources = values["resources"].mapping(("cpu", "memory"))
    spec = workload_pb2.WorkloadSpec(
        artefact=_artefact(values["artefact"]),
        artefact_forms=[_artefact(form) for form in values["artefact_forms"].items()]
        if "artefact_forms" in values
        else [],
        accelerator=_accelerators(values["accelerators"]) if "accelerators" in values else None,
        cpu_millis=_cpu_millis(resources["cpu"]),
        memory_mib=_memory_mib(resources["memory"]),
        access=_users(values["users"]),
        residency=reader.read(values["residency"]),
    )
    add_demand(spec, values)
    return WorkloadFile(_name(values["name"], tenant), spec)


def _name(value: YamlValue, tenant: str) -> WorkloadName:
    try:
        return parse_workload(value.text(), tenant)
    except HansaError as error:
        raise value.error(error.message) from error


def _artefact(value: YamlValue) -> common_pb2.ArtefactRef:
    if value.is_scalar:
        name, at, digest = value.text().partition("@")
        if not at:
            raise value.error("expected NAME@sha256:DIGEST or {name: NAME, digest: sha256:DIGEST}")
        name_value = digest_value = value
    else:
        parts = value.mapping(("name", "digest"))
        name_value, digest_value = parts["name"], parts["digest"]
        name, digest = name_value.text(), digest_value.text()
    if not _DIGEST.fullmatch(digest):
        raise digest_value.error(f"{digest!r} is not sha256: and 64 hex digits in lower case")
    return common_pb2.ArtefactRef(name=_id(name_value, name), digest=digest)


def _accelerators(value: YamlValue) -> common_pb2.AcceleratorNeed:
    if value.is_scalar:
        model, count = _model_and_count(value)
        return common_pb2.AcceleratorNeed(any_of=[model], count=count)
    if value.is_list:
        return _any_of(value)
    parts = value.mapping((), ("any_of", "count", "memory_gib_min", "memory_mib_min"))
    need = _any_of(parts["any_of"]) if "any_of" in parts else common_pb2.AcceleratorNeed(count=1)
    if "count" in parts:
        if "any_of" in parts and need.count != 1:
            raise parts["count"].error("the count stands in any_of already")
        need.count = parts["count"].integer(1, 1024)
    need.memory_mib_min = _accelerator_memory_mib(parts)
    return need


def _any_of(value: YamlValue) -> common_pb2.AcceleratorNeed:
    entries = [value] if value.is_scalar else list(value.items())
    if not entries:
        raise value.error("must name at least one model; leave it out to accept every model")
    models, counts = zip(*(_model_and_count(entry) for entry in entries), strict=True)
    if len(set(counts)) > 1:
        raise value.error("every model of any_of needs the same count")
    if len(set(models)) < len(models):
        raise value.error("a model stands twice")
    return common_pb2.AcceleratorNeed(any_of=models, count=counts[0])


def _model_and_count(value: YamlValue) -> tuple[str, int]:
    match = _ACCELERATOR.fullmatch(value.text())
    if not match:
        raise value.error(f"{value.text()!r} is not MODEL or MODEL:COUNT, for example H100:2")
    count = int(match[2] or "1")
    if not 1 <= count <= 1024:
        raise value.error(f"count {count} is not between 1 and 1024")
    return match[1], count


def _accelerator_memory_mib(parts: Mapping[str, YamlValue]) -> int:
    if "memory_gib_min" in parts and "memory_mib_min" in parts:
        raise parts["memory_mib_min"].error("give memory_gib_min or memory_mib_min, not both")
    if "memory_gib_min" in parts:
        return parts["memory_gib_min"].scaled(1024, most=4096)
    if "memory_mib_min" in parts:
        return parts["memory_mib_min"].integer(0, 4_194_304)
    return 0


def _cpu_millis(value: YamlValue) -> int:
    match = _CPU.fullmatch(value.text())
    if not match:
        raise value.error(f"{value.text()!r} is no amount of CPU, for example 500m or 2{_nearest_cpu(value.text())}")
    millis = Decimal(match[1]) if match[1] else Decimal(match[2]) * 1000
    if not 1 <= millis <= _CPU_MILLIS_MAX:
        bound = f"between 1m and {_CPU_MILLIS_MAX // 1000}"
        raise value.error(f"{value.text()} is not {bound}; nearest valid: {_cpu_text(millis)}")
    return int(millis)


def _cpu_text(millis: Decimal) -> str:
    """The nearest amount within the bounds, a fraction of a thousandth rounded up, as a file would have it."""
    within = math.ceil(min(max(millis, Decimal(1)), Decimal(_CPU_MILLIS_MAX)))
    return str(within // 1000) if within % 1000 == 0 else f"{within}m"


def _nearest_cpu(text: str) -> str:
    """The nearest amount of a number that is finer than thousandths, or negative; empty for what is no number."""
    try:
        cores = Decimal(text)
    except InvalidOperation:
        return ""
    if not cores.is_finite():
        return ""
    return f"; nearest valid: {_cpu_text(min(max(cores, Decimal(0)), Decimal(_CPU_MILLIS_MAX)) * 1000)}"


def _memory_mib(value: YamlValue) -> int:
    match = _MEMORY.fullmatch(value.text())
    if not match:
        hint = _nearest_memory(value.text())
        raise value.error(f"{value.text()!r} is no amount of memory, for example 512MiB or 1GiB{hint}")
    mib = Decimal(match[1]) * _MIB_PER_UNIT[match[2].removesuffix("B")]
    if mib != mib.to_integral_value() or not 1 <= mib <= _MEMORY_MIB_MAX:
        hint = _nearest_memory(value.text())
        raise value.error(f"{value.text()} is not a whole number of MiB between 1 MiB and 64 TiB{hint}")
    return int(mib)


def _nearest_memory(text: str) -> str:
    """The amount in MiB, rounded up, and what was probably meant; empty if nobody can tell.

    GB is 10^9 bytes (ISO 80000-13), GiB 2^30.
    """
    match = _LOOSE_MEMORY.fullmatch(text)
    if not match:
        return ""
    number, prefix, binary = Decimal(match[1]), match[2].upper(), bool(match[3])
    size_bytes = number * (1024 if binary else 1000) ** " KMGT".index(prefix or " ")
    mib = min(max(math.ceil(size_bytes / 2**20), 1), _MEMORY_MIB_MAX)
    meant = f"{match[1]}{prefix}iB"
    also = f", or did you mean {meant}?" if prefix in ("M", "G", "T") and not binary else ""
    return f"; nearest valid: {mib}MiB{also}"


def _users(value: YamlValue) -> list[workload_pb2.AccessDemand]:
    demands: dict[str, workload_pb2.AccessDemand] = {}
    for entry in value.items():
        parts = entry.mapping(("access_point", "requests_per_s"))
        access_point = _id(parts["access_point"], parts["access_point"].text())
        if access_point in demands:
            raise parts["access_point"].error(f"access point {access_point!r} stands twice")
        millirps = parts["requests_per_s"].scaled(1000, most=10_000_000)
        demands[access_point] = workload_pb2.AccessDemand(access_point=access_point, demand_millirps=millirps)
    if not demands:
        raise value.error("must name at least one access point")
    return list(demands.values())


def _id(value: YamlValue, text: str) -> str:
    try:
        return checked_id(text, value.path)
    except HansaError as error:
        raise value.error(error.message) from error
