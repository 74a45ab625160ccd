"""Which orders an agent takes: the zone's owner decides what may run here, and an old order never wins over a new one.

Pure. The answer to an order that is not taken is a refusal with the field that is wrong, which the operator gets back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hansa.v1.agent_service_pb2 import DeltaRefusal, Order
from hansa.v1.common_pb2 import Capacity
from hansa.v1.instance_pb2 import DesiredInstance, ProbeTarget

INSTANCE_PREFIX = "instances/"
PROBE_TARGET_PREFIX = "probe-targets/"
_INSTANCE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")
_ZONE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?:\[[0-9A-Fa-f:.]+\]|{_LABEL}(?:\.{_LABEL})*):([0-9]{{1,5}})")

Complaint = tuple[str, str]
"""A field of the order, dotted, and one sentence for a person."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is judged by: digests by artefact name, what the zone has, and the fencing tokens seen, by claim.

    ``closed`` is why nothing that is not held yet may begin here now; empty if it may. ``refused`` says what the site
    refuses about an instance that is not held yet.
    """

    digests: Mapping[str, str]
    capacity: Capacity
    tokens: Mapping[str, int]
    closed: str = ""
    refused: Callable[[DesiredInstance], Complaint | None] = lambda desired: None


class OrderAdmission:
    """Judges orders by the newest grounds."""

    def __init__(self, grounds: Callable[[], Grounds]) -> None:
        self._grounds = grounds

    def refusal(self, order: Order, held: Mapping[str, Order]) -> DeltaRefusal | None:
        """Why ``order`` is not taken beside those ``held``, or None."""
        complaint = judge(order, held, self._grounds())
        if complaint is None:
            return None
        return DeltaRefusal(name=order.name, field=complaint[0], message=complaint[1])


def judge(order: Order, held: Mapping[str, Order], grounds: Grounds) -> Complaint | None:
    """The first thing that is wrong with an order, or None."""
    if not order.etag:
        return "etag", "an order needs an etag"
    body = order.WhichOneof("body")
    if body == "probe_target":
        return _judge_target(order.name, order.probe_target)
    if body == "instance":
        return _judge_instance(order, held, grounds)
    return "body", "an order says what to run or what to measure"


def _judge_target(name: str, target: ProbeTarget) -> Complaint | None:
    if not _ZONE.fullmatch(target.zone):
        return "probe_target.zone", "a zone is named operator/zone"
    if name != PROBE_TARGET_PREFIX + target.zone:
        return "name", f"the order for {target.zone} is named {PROBE_TARGET_PREFIX}{target.zone}"
    match = _ADDRESS.fullmatch(target.address)
    if match is None or not 0 < int(match[1]) < 65_536:
        return "probe_target.address", "an address is host:port"
    return None


def _judge_instance(order: Order, held: Mapping[str, Order], grounds: Grounds) -> Complaint | None:
    desired = order.instance
    others = [other.instance for name, other in held.items() if name != order.name and other.HasField("instance")]
    former = held[order.name].instance if order.name in held else None
    return (
        _judge_names(order.name, desired)
        or (_judge_newcomer(desired, grounds) if _is_new(desired, former) else None)
        or _judge_artefact(desired, grounds.digests)
        or _judge_token(desired, [*others, *([former] if former else [])], grounds.tokens)
        or _judge_callers(desired)
        or _judge_limits(desired.limits, [other.limits for other in others], grounds.capacity)
    )


def _is_new(desired: DesiredInstance, former: DesiredInstance | None) -> bool:
    """Whether something begins here that is not held yet, under whatever name; who is told and what may be told later
    than the rest, when the site begins to refuse some.
    """
    if former is None or (desired.claim, desired.artefact) != (former.claim, former.artefact):
        return True
    of_another = bool(former.asker and desired.asker) and desired.asker != former.asker
    return of_another or bool(former.data and set(desired.data) - set(former.data))


def _judge_newcomer(desired: DesiredInstance, grounds: Grounds) -> Complaint | None:
    return ("instance", grounds.closed) if grounds.closed else grounds.refused(desired)


def _judge_names(name: str, desired: DesiredInstance) -> Complaint | None:
    if not _INSTANCE.fullmatch(desired.instance) or ".." in desired.instance:
        return "instance.instance", "an instance is named with lower-case letters, digits, dots and hyphens"
    if name != INSTANCE_PREFIX + desired.instance:
        return "name", f"the order for {desired.instance} is named {INSTANCE_PREFIX}{desired.instance}"
    return None if desired.claim else ("instance.claim", "an instance belongs to a claim")


def _judge_artefact(desired: DesiredInstance, digests: Mapping[str, str]) -> Complaint | None:
    allowed = digests.get(desired.artefact.name)
    if allowed is None:
        return "instance.artefact.name", f"the zone's owner has not allowed artefact {desired.artefact.name!r}"
    if desired.artefact.digest != allowed:
        return "instance.artefact.digest", f"{desired.artefact.name} is allowed with digest {allowed} only"
    return None


def _judge_token(
    desired: DesiredInstance, held: Iterable[DesiredInstance], tokens: Mapping[str, int]
) -> Complaint | None:
    if desired.fencing_token <= 0:
        return "instance.fencing_token", "a fencing token is positive"
    seen = [other.fencing_token for other in held if other.claim == desired.claim]
    highest = max([tokens.get(desired.claim, 0), *seen])
    if desired.fencing_token < highest:
        return "instance.fencing_token", f"stale: {desired.fencing_token} is below {highest}, seen for {desired.claim}"
    return None


def _judge_callers(desired: DesiredInstance) -> Complaint | None:
    if b"-----BEGIN CERTIFICATE-----" not in desired.client_ca_pem:
        return "instance.client_ca_pem", "a certificate authority in PEM is needed; nobody could call the instance"
    for caller in desired.client_ids:
        if not caller.startswith("spiffe://") or "," in caller or any(char.isspace() for char in caller):
            return "instance.client_ids", f"{caller!r} is no SPIFFE identity"
    return None


def _judge_limits(limits: Capacity, others: Iterable[Capacity], capacity: Capacity) -> Complaint | None:
    if limits.cpu_millis < 0 or limits.memory_mib < 0 or any(amount.count < 0 for amount in limits.accelerators):
        return "instance.limits", "limits are not negative"
    used = [*others, limits]
    for quantity, has, wanted in _sums(used, capacity):
        if wanted > has:
            return f"instance.limits.{quantity}", f"{wanted} would be used of {has}"
    return None


def _sums(used: list[Capacity], capacity: Capacity) -> Iterable[tuple[str, int, int]]:
    yield "cpu_millis", capacity.cpu_millis, sum(each.cpu_millis for each in used)
    yield "memory_mib", capacity.memory_mib, sum(each.memory_mib for each in used)
    has = {amount.pool: amount.count for amount in capacity.accelerators}
    wanted: dict[str, int] = {}
    for each in used:
        for amount in each.accelerators:
            wanted[amount.pool] = wanted.get(amount.pool, 0) + amount.count
    for pool in sorted(wanted):
        yield f"accelerators[{pool}]", has.get(pool, 0), wanted[pool]
