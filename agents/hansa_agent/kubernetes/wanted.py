"""What is to be made for one instance on a cluster. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.artefacts import Artefact
from hansa_agent.kubernetes.names import object_name


@dataclass(frozen=True, slots=True)
class Wanted:
    """One instance to be made: its order, its artefact, and the nodes that have its accelerators.

    ``devices`` are amounts by extended resource; ``nodes`` are the values that a node's label must have, by label.
    """

    zone: str
    order: DesiredInstance
    artefact: Artefact
    devices: tuple[tuple[str, int], ...] = ()
    nodes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    grace_s: int = 10

    @property
    def name(self) -> str:
        return object_name(self.zone, self.order.instance)

    @property
    def amounts(self) -> dict[str, str]:
        """What the order grants, as quantities by resource."""
        limits = self.order.limits
        granted = {"cpu": f"{limits.cpu_millis}m" if limits.cpu_millis else ""}
        granted["memory"] = f"{limits.memory_mib}Mi" if limits.memory_mib else ""
        granted |= {resource: str(count) for resource, count in self.devices}
        return {resource: amount for resource, amount in granted.items() if amount}
