"""How what this zone makes in a cloud is marked, so that it is found again and told from everything else. Pure.

A server bears the tag of its zone (the only mark that a project's own user may search by) and, as metadata, everything
that a later agent process needs to know whose it is and under which order it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent.order_substance import order_digest as order_digest
from hansa_agent.placement_truth import Ordered

NAME_MAX = 63
MANAGER = "hansa-agent"


@dataclass(frozen=True, slots=True)
class Marks:
    """What a server says of itself."""

    zone: str
    instance: str
    claim: str
    fencing_token: int
    order_digest: str
    ordered: Ordered


def zone_tag(zone: str) -> str:
    """The tag of everything that belongs to the zone. A tag has no slash or comma and at most 60 characters."""
    return "hansa-" + hashlib.sha256(zone.encode()).hexdigest()[:20]


def server_name(zone: str, instance: str) -> str:
    """The server's name: the instance's as a host name, and enough of a digest that no two are the same."""
    digest = hashlib.sha256(f"{zone}\n{instance}".encode()).hexdigest()[:12]
    readable = "".join(char if char.isascii() and char.isalnum() else "-" for char in instance.lower())
    return f"hansa-{readable[: NAME_MAX - 19].strip('-')}-{digest}"


def metadata_of(zone: str, order: DesiredInstance) -> dict[str, str]:
    """The server's metadata; Nova takes values of at most 255 characters."""
    return {
        "hansa-managed-by": MANAGER,
        "hansa-zone": zone,
        "hansa-instance": order.instance,
        "hansa-claim": order.claim[:255],
        "hansa-workload": order.workload[:255],
        "hansa-fencing-token": str(order.fencing_token),
        "hansa-order": order_digest(order),
        "hansa-ordered": _ordered_text(order),
    }


def marks_of(metadata: Mapping[str, Any]) -> Marks | None:
    """What was written by ``metadata_of``; None for a server that is nobody's, or whose marks somebody has changed."""
    try:
        if metadata["hansa-managed-by"] != MANAGER:
            return None
        return Marks(
            zone=str(metadata["hansa-zone"]),
            instance=str(metadata["hansa-instance"]),
            claim=str(metadata["hansa-claim"]),
            fencing_token=int(metadata["hansa-fencing-token"]),
            order_digest=str(metadata["hansa-order"]),
            ordered=_ordered(str(metadata["hansa-ordered"])),
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _ordered_text(order: DesiredInstance) -> str:
    counts = {amount.pool: amount.count for amount in order.limits.accelerators}
    return json.dumps([order.limits.cpu_millis, order.limits.memory_mib, counts], separators=(",", ":"))


def _ordered(text: str) -> Ordered:
    cpu_millis, memory_mib, counts = json.loads(text)
    by_pool = {str(pool): int(count) for pool, count in counts.items()}
    return Ordered(int(cpu_millis), int(memory_mib), by_pool)
