"""How a workload is kept, on the wire: who gives way, and which side goes on when the network splits."""

from __future__ import annotations

from hansa.v1 import workload_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.domain.model import Disruption, OnPartition, PartitionRule

PRIORITY_MAX = 1_000
AFTER_MS_MIN, AFTER_MS_MAX = 1_000, 7 * 86_400_000

ON_PARTITION = fields.EnumCodec(OnPartition, workload_pb2.OnPartition, "ON_PARTITION")


def disruption_in(wire: workload_pb2.Disruption, replicas: int, path: str) -> Disruption:
    """What others may do to a workload; absent is the default."""
    least = fields.range_in(wire.min_available, (0, replicas), f"{path}.min_available")
    return Disruption(least, not wire.never_preempted)


def disruption_out(disruption: Disruption) -> workload_pb2.Disruption | None:
    """None for the default, which is left out."""
    if disruption == Disruption():
        return None
    return workload_pb2.Disruption(min_available=disruption.min_available, never_preempted=not disruption.preemptible)


def on_partition_in(wire: workload_pb2.PartitionRule, path: str) -> PartitionRule:
    """Which side goes on; absent is the default. A time without REPLACE would say what nobody does."""
    if not wire.action:
        if wire.after_ms:
            raise fields.refused(f"{path}.after_ms", "goes with action REPLACE")
        return PartitionRule()
    action = ON_PARTITION.read(wire.action, f"{path}.action")
    if action is OnPartition.KEEP and wire.after_ms:
        raise fields.refused(f"{path}.after_ms", "goes with action REPLACE")
    if not wire.after_ms:
        return PartitionRule(action)
    return PartitionRule(action, fields.range_in(wire.after_ms, (AFTER_MS_MIN, AFTER_MS_MAX), f"{path}.after_ms"))


def on_partition_out(rule: PartitionRule) -> workload_pb2.PartitionRule | None:
    """None for KEEP, which is left out."""
    if rule.action is OnPartition.KEEP:
        return None
    return workload_pb2.PartitionRule(action=ON_PARTITION.out(rule.action), after_ms=rule.after_ms)
