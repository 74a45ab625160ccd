"""Deltas, acknowledgements and signs of life: what every hansa stream has in common.

A resource that cannot be understood does not end a stream: it comes in as a ``Refusal`` beside those that can be taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.application.ports import RefusalError

HELD_COUNT_MAX = 50_000
DELTA_COUNT_MAX = 5_000

Refusal: TypeAlias = tuple[str, str, str]
"""Name of a resource, the field that is wrong, one sentence for a person."""

ResourceT = TypeVar("ResourceT")
WireT = TypeVar("WireT")


@dataclass(frozen=True, slots=True)
class ResourceDelta(Generic[ResourceT]):
    """A delta as it came in: what can be taken, what is gone, what could not be understood, and whether what it says
    of the network is no whole without the next.
    """

    nonce: str
    updated: tuple[ResourceT, ...]
    removed: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer to a delta of ours."""

    nonce: str
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life, with the sender's wall clock in milliseconds since the Unix epoch, UTC."""

    wall_clock_ms: int


_RESOURCE_NAME = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){0,3}")


def _resource_name_in(value: str, path: str) -> str:
    if len(value) > 300 or not _RESOURCE_NAME.fullmatch(value):
        raise fields.refused(path, f"{value[:60]!r} is not a resource name")
    return value


def held_in(wires: Sequence[agent_pb2.NamedEtag], path: str) -> Mapping[str, str]:
    fields.bounded(wires, HELD_COUNT_MAX, path)
    return {
        _resource_name_in(wire.name, f"{path}[{index}].name"): wire.etag
        and fields.token_in(wire.etag, f"{path}[{index}].etag")
        for index, wire in enumerate(wires)
    }


def held_out(held: Mapping[str, str]) -> list[agent_pb2.NamedEtag]:
    return [agent_pb2.NamedEtag(name=name, etag=etag) for name, etag in sorted(held.items())]


def is_part_of_map(name: str) -> bool:
    """Whether an offer is of the network or of a zone in it: of these a path is made, and they are taken over together.
    Claims are each for itself.
    """
    return not name.startswith("claims/")


def removed_in(names: Sequence[str], path: str) -> tuple[str, ...]:
    fields.bounded(names, DELTA_COUNT_MAX, path)
    return tuple(_resource_name_in(name, f"{path}[{index}]") for index, name in enumerate(names))


def updated_in(
    wires: Sequence[WireT], path: str, read: Callable[[WireT, str], ResourceT], name_of: Callable[[WireT], str]
) -> tuple[tuple[ResourceT, ...], tuple[Refusal, ...]]:
    """Every resource that can be understood, and a refusal for each that cannot; names must be in order in any case."""
    fields.bounded(wires, DELTA_COUNT_MAX, path)
    names = [_resource_name_in(name_of(wire), f"{path}[{index}].name") for index, wire in enumerate(wires)]
    fields.distinct(names, path)
    updated: list[ResourceT] = []
    refusals: list[Refusal] = []
    for name, wire in zip(names, wires, strict=True):
        try:
            updated.append(read(wire, ""))
        except RefusalError as error:
            refusals.append((name, error.field, error.message))
    return tuple(updated), tuple(refusals)


def ack_in(wire: agent_pb2.DeltaAck, path: str) -> Ack:
    fields.bounded(wire.refusals, DELTA_COUNT_MAX, f"{path}.refusals")
    refusals = tuple(
        (
            _resource_name_in(refusal.name, f"{path}.refusals[{index}].name"),
            fields.text_in(refusal.field, f"{path}.refusals[{index}].field"),
            fields.message_in(refusal.message, f"{path}.refusals[{index}].message"),
        )
        for index, refusal in enumerate(wire.refusals)
    )
    return Ack(fields.token_in(wire.nonce, f"{path}.nonce"), refusals)


def ack_out(ack: Ack) -> agent_pb2.DeltaAck:
    refusals = [agent_pb2.DeltaRefusal(name=name, field=field, message=text) for name, field, text in ack.refusals]
    return agent_pb2.DeltaAck(nonce=ack.nonce, refusals=refusals)


def heartbeat_in(wire: agent_pb2.Heartbeat) -> Heartbeat:
    return Heartbeat(fields.time_ms_in(wire.wall_clock_ms, "heartbeat.wall_clock_ms"))


class EtagMemo(Generic[ResourceT]):
    """Remembers the etag of a resource while it does not change, since writing and digesting it is the costly part.

    What was written is not kept: a message of the wire takes more memory than what it is made of.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[ResourceT, str]] = {}

    def of(self, resources: Mapping[str, ResourceT], etag_of: Callable[[str], str]) -> Mapping[str, str]:
        """Name to etag, as a sender of deltas wants it, asking for the etags of what has changed; forgets what is
        gone.
        """
        self._known = {name: self._one(name, body, etag_of) for name, body in resources.items()}
        return {name: etag for name, (_, etag) in self._known.items()}

    def _one(self, name: str, body: ResourceT, etag_of: Callable[[str], str]) -> tuple[ResourceT, str]:
        known = self._known.get(name)
        if known is not None and (known[0] is body or known[0] == body):
            return known
        return body, etag_of(name)
