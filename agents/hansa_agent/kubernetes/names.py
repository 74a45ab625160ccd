"""How what the agent makes on a cluster is named and marked, so that it is found again and told from all else. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from hansa.v1.instance_pb2 import DesiredInstance
from hansa_agent import order_substance

Json = dict[str, Any]
MANAGER = "hansa-agent"
"""Field manager of server-side apply, and the value of ``MANAGED_BY``."""
MANAGED_BY = "app.kubernetes.io/managed-by"
_DOMAIN = "hansa-project.github.io"
ZONE = f"{_DOMAIN}/zone"
INSTANCE = f"{_DOMAIN}/instance"
CLAIM = f"{_DOMAIN}/claim"
WORKLOAD = f"{_DOMAIN}/workload"
FENCING_TOKEN = f"{_DOMAIN}/fencing-token"
ORDER_DIGEST = f"{_DOMAIN}/order-digest"
ANCHOR = f"{_DOMAIN}/anchor"
"""On the pod: the uid of the anchor that it was made under, so that no former one is taken for it."""
GRANTED = f"{_DOMAIN}/granted"
"""On the pod: what the order granted, as JSON of quantities by resource."""
ORDERED = f"{_DOMAIN}/ordered"
"""On the pod: what was ordered, by pool, for when no record names the pod any more."""
SHAPE = f"{_DOMAIN}/shape"
_LABEL_CHARS_MAX = 63


def object_name(zone: str, instance: str) -> str:
    """The name of everything that belongs to an instance: a DNS label (RFC 1035) that no other one has.

    With at most 53 characters, so that a controller may still append to it ("-predictor").
    """
    slug = re.sub(r"[^a-z0-9]+", "-", instance)[:36].strip("-")
    return f"hansa-{slug}-{_short_hash(zone, instance)}"


def label_value(text: str) -> str:
    """``text`` as a label may bear it; what does not fit is made distinct by a hash."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", text)
    if len(plain) <= _LABEL_CHARS_MAX and text.count("/") <= 1 and "_" not in text:
        return plain
    return f"{plain[:50].rstrip('._-')}-{_short_hash(text)}"


def zone_selector(zone: str) -> str:
    """Selects what the agent of ``zone`` made."""
    return f"{MANAGED_BY}={MANAGER},{ZONE}={label_value(zone)}"


def labels(zone: str, instance: str) -> dict[str, str]:
    """On every object."""
    return {MANAGED_BY: MANAGER, ZONE: label_value(zone), INSTANCE: label_value(instance)}


def marks(zone: str, order: DesiredInstance) -> dict[str, str]:
    """On every object but the pod, which is to stay when only these change."""
    return {
        ZONE: zone,
        INSTANCE: order.instance,
        CLAIM: order.claim,
        WORKLOAD: order.workload,
        FENCING_TOKEN: str(order.fencing_token),
        ORDER_DIGEST: order_digest(order),
    }


def order_digest(order: DesiredInstance) -> str:
    """What a pod is made from, in a label's length."""
    return order_substance.order_digest(order)[:32]


def is_ours(body: Mapping[str, Any], zone: str) -> bool:
    """Whether the agent of ``zone`` made an object."""
    meta = body.get("metadata") or {}
    borne = meta.get("labels") or {}
    return borne.get(MANAGED_BY) == MANAGER and borne.get(ZONE) == label_value(zone)


def instance_of(body: Mapping[str, Any]) -> str:
    """Which instance an object belongs to; empty if it does not say."""
    return str(((body.get("metadata") or {}).get("annotations") or {}).get(INSTANCE, ""))


def shape_of(body: Mapping[str, Any]) -> str:
    """In which shape an instance was made; "deployment" if its anchor does not say."""
    return str(((body.get("metadata") or {}).get("annotations") or {}).get(SHAPE, "deployment"))


def token_of(body: Mapping[str, Any]) -> int:
    """The fencing token of the order that an object was last made under; 0 if it does not say."""
    told = str(((body.get("metadata") or {}).get("annotations") or {}).get(FENCING_TOKEN, ""))
    return int(told) if told.isdecimal() and len(told) < 20 else 0


def _short_hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]
