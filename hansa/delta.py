"""The delta discipline of every hansa stream: full state once, then differences, acknowledged one by one.

The rules are those of xDS "delta" (incremental discovery): the receiver says at the start of a stream which resources
it holds and in which version (etag), the sender sends what differs and what is gone, each message carries a nonce, and
the receiver acknowledges it or refuses single resources of it. One delta is in flight at a time; whatever changes
meanwhile travels in the next one, so a slow receiver is sent the newest state and never a backlog.

Resources may mean something only together, as the links and nodes of a network do. A change of these that does not fit
into one delta is marked in all but the last: the receiver takes it over when all of it is there. What such a change
consists of is settled when it begins, names and versions; what changes meanwhile belongs to the next one. Otherwise a
sender whose resources change faster than they can be sent would never come to an end of it.

Both classes are pure: names, etags and nonces in, names and nonces out. Who sends bytes is somebody else's matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from hansa.errors import ProtocolViolation


def etag_of(content: Message) -> str:
    """The version of a resource: the first 16 hex digits of the SHA-256 of its deterministic serialisation."""
    return hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Delta:
    """What to send: names whose content follows, names that are gone, and whether this is no whole without the next."""

    updated: tuple[str, ...]
    removed: tuple[str, ...]
    nonce: str
    more: bool = False


def _unweighed(name: str) -> int:
    return 0


def _apart(name: str) -> bool:
    return False


class DeltaSender:
    """Knows what the receiver holds and says what to send next.

    ``limit`` bounds the resources of one delta and ``bytes_max`` their sizes where these are told, so that a message
    stays under the size limit; the rest follows after the acknowledgement. ``is_part`` tells of names that mean
    something only together; they come first.
    """

    def __init__(
        self, limit: int = 256, bytes_max: int = 2 * 1024 * 1024, is_part: Callable[[str], bool] = _apart
    ) -> None:
        self._limit = limit
        self._bytes_max = bytes_max
        self._is_part = is_part
        # What was acknowledged of a change that is not whole yet, and what of it was not sent yet; None is a name that
        # is gone.
        self._partly: dict[str, str | None] = {}
        self._rest: dict[str, str | None] = {}
        self._held: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._in_flight: Delta | None = None
        self._told: dict[str, str] = {}
        self._counter = 0

    def start(self, held: Mapping[str, str]) -> None:
        """Begins a stream: ``held`` maps names to etags that the receiver says it has."""
        self._held = dict(held)
        self._refused = {}
        self._partly = {}
        self._rest = {}
        self._in_flight = None
        self._counter = 0

    @property
    def rest(self) -> Mapping[str, str | None]:
        """What is still to be sent of the change that has begun, names and the versions that they had then; None is a
        name that was gone. ``next_delta`` asks for their sizes as of then, and the caller sends what they were.
        """
        return self._rest

    @property
    def waits_for_ack(self) -> bool:
        return self._in_flight is not None

    @property
    def held_or_in_flight(self) -> frozenset[str]:
        """Names that the receiver holds, or may hold because they are on their way or not yet taken back."""
        on_their_way = self._told if self._in_flight is not None else {}
        return frozenset(self._held).union(on_their_way, self._partly)

    def next_delta(
        self,
        current: Mapping[str, str],
        bytes_of: Callable[[str], int] = _unweighed,
        among: Collection[str] | None = None,
    ) -> Delta | None:
        """The next delta towards ``current`` (name to etag); None while one is in flight or nothing differs.

        ``bytes_of`` tells the size of a resource by its name. A resource that is too large by itself travels alone.
        ``among`` are the names that may differ, where the caller knows: no other name is looked at.
        """
        if self._in_flight is not None:
            return None
        names = self.differing(current, {*current, *self._held, *self._partly} if among is None else among)
        if not self._rest:
            self._rest = {name: current.get(name) for name in names if self._is_part(name)}
        due = {**self._rest, **{name: current.get(name) for name in names if not self._is_part(name)}}
        differing = [name for name, etag in due.items() if etag is not None]
        changed = self._that_fit(differing[: self._limit], bytes_of)
        removed = [name for name, etag in due.items() if etag is None][: self._limit]
        if not changed and not removed:
            return None
        for name in (*changed, *removed):
            self._rest.pop(name, None)
        self._counter += 1
        self._told = {name: etag for name in changed if (etag := due[name]) is not None}
        self._in_flight = Delta(tuple(changed), tuple(removed), str(self._counter), bool(self._rest))
        return self._in_flight

    def differing(self, current: Mapping[str, str], among: Collection[str]) -> list[str]:
        """Those of some names, in the order in which they are sent, that the receiver holds otherwise than in
        ``current``, or will when the change that has begun is whole, and has not refused so.
        """
        held, refused = self._held, self._refused
        flying = {**self._told, **dict.fromkeys(self._in_flight.removed)} if self._in_flight is not None else {}
        begun = {**self._partly, **flying, **self._rest}
        found = [
            name
            for name in among
            if (etag := current.get(name)) != (begun[name] if name in begun else held.get(name))
            and (etag is None or refused.get(name) != etag)
        ]
        return sorted(found, key=lambda name: (not self._is_part(name), name))

    def _that_fit(self, names: list[str], bytes_of: Callable[[str], int]) -> list[str]:
        total_bytes = 0
        for index, name in enumerate(names):
            total_bytes += bytes_of(name)
            if index and total_bytes > self._bytes_max:
                return names[:index]
        return names

    def on_ack(self, nonce: str, refused_names: Iterable[str] = ()) -> tuple[str, ...]:
        """Takes the receiver's answer; returns the names it refused, which are not sent again until they change.

        With the last delta of a change it may refuse what came with those before.
        """
        delta = self._in_flight
        if delta is None or delta.nonce != nonce:
            raise ProtocolViolation(f"acknowledges nonce {nonce!r}, which is not in flight")
        answered: dict[str, str | None] = {**self._partly, **self._told, **dict.fromkeys(delta.removed)}
        refused = tuple(sorted(set(refused_names)))
        strangers = [name for name in refused if answered.get(name) is None]
        if strangers:
            raise ProtocolViolation(f"refuses {strangers[0]!r}, which was not sent")
        self._in_flight, self._partly = None, {}
        for name, etag in answered.items():
            self._answered(name, etag, is_refused=name in refused, is_part=delta.more and self._is_part(name))
        return refused

    def _answered(self, name: str, etag: str | None, *, is_refused: bool, is_part: bool) -> None:
        """The receiver holds a resource so from now on, unless it refuses it or waits for the rest."""
        if etag is None and not is_part:
            self._held.pop(name, None)
            self._refused.pop(name, None)
        elif is_refused and etag is not None:
            self._refused[name] = etag
        elif is_part:
            self._partly[name] = etag
        elif etag is not None:
            self._held[name] = etag
            self._refused.pop(name, None)


class DeltaReceiver:
    """Keeps the versions of what was received. The caller keeps the contents."""

    def __init__(self, held: Mapping[str, str] | None = None) -> None:
        self._held: dict[str, str] = dict(held or {})

    @property
    def held(self) -> Mapping[str, str]:
        """Names and etags, to be told to the sender when a stream begins."""
        return self._held

    def on_delta(self, accepted: Mapping[str, str], removed: Iterable[str]) -> None:
        """Records a delta after its contents were taken over; refused resources are left out by the caller."""
        self._held.update(accepted)
        for name in removed:
            self._held.pop(name, None)
