"""What of an order makes another process, container, pod or server of it, and what is no matter to them. Pure.

Said once for all platforms: what one of them forgot here it would take for another order, and end what serves.
"""

from __future__ import annotations

import hashlib

from hansa.v1.instance_pb2 import DesiredInstance


def substance_of(order: DesiredInstance) -> DesiredInstance:
    """The order without its token, the workload's name, and whose it is and what it brings, which is told to a site
    that refuses some and may come and go with its refusals.
    """
    bare = DesiredInstance()
    bare.CopyFrom(order)
    for field in ("fencing_token", "workload", "asker", "data"):
        bare.ClearField(field)
    return bare


def order_digest(order: DesiredInstance) -> str:
    """The same for two orders of one substance; 64 hexadecimal digits."""
    return hashlib.sha256(substance_of(order).SerializeToString(deterministic=True)).hexdigest()
