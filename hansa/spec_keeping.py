"""How a workload is kept, as an app team writes it: who gives way, and which side goes on when the network splits.

priority: 100                                             # -1000 to 1000, 0 without
disruption: {min_available: 1, preemptible: true}         # what higher priorities may do to it
on_partition: {action: replace, after_s: 30}              # or the word: keep
"""

from __future__ import annotations

from collections.abc import Mapping

from hansa.v1 import workload_pb2
from hansa.yaml_tree import YamlValue

PRIORITY_MAX = 1_000
AFTER_S, AFTER_S_MAX = 30, 604_800


def add_keeping(spec: workload_pb2.WorkloadSpec, values: Mapping[str, YamlValue]) -> None:
    """Reads priority, disruption and on_partition into a spec; raises HansaError with line and field."""
    if "priority" in values:
        spec.priority = values["priority"].integer(-PRIORITY_MAX, PRIORITY_MAX)
    if "disruption" in values:
        _add_disruption(spec, values["disruption"])
    if "on_partition" in values:
        _add_on_partition(spec, values["on_partition"])


def _add_disruption(spec: workload_pb2.WorkloadSpec, value: YamlValue) -> None:
    parts = value.mapping((), ("min_available", "preemptible"))
    least = parts["min_available"].integer(0, spec.replicas) if "min_available" in parts else 0
    never = "preemptible" in parts and parts["preemptible"].one_of(("true", "false")) == "false"
    if least or never:  # what is as by default is left out, so that what is kept equals what was sent
        spec.disruption.CopyFrom(workload_pb2.Disruption(min_available=least, never_preempted=never))


def _add_on_partition(spec: workload_pb2.WorkloadSpec, value: YamlValue) -> None:
    parts = {"action": value} if value.is_scalar else value.mapping(("action",), ("after_s",))
    if parts["action"].one_of(("keep", "replace")) == "keep":
        if "after_s" in parts:
            raise parts["after_s"].error("goes with action: replace")
        return
    after_s = parts["after_s"].integer(1, AFTER_S_MAX) if "after_s" in parts else AFTER_S
    rule = workload_pb2.PartitionRule(action=workload_pb2.ON_PARTITION_REPLACE, after_ms=after_s * 1_000)
    spec.on_partition.CopyFrom(rule)
