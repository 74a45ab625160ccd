"""What every engine reads: ways, zones, classes of users, and blocks of requests. Plain arrays, nothing that decides.

Times are int64 nanoseconds, so that engines can agree to the last bit. ``U`` counts rows of users: a class of users at
an access point is a row; ``Z`` counts zones, ``N`` requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa_sim.engines.service import Demand

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
Flags = NDArray[np.bool_]

SECOND_NS = 1_000_000_000
UNREACHABLE = -1
"""There and back of a pair between which there is no way."""

ANY_WAIT = -1
"""``wait_ns_max`` of a zone where requests wait as long as they must."""

NOWHERE = -1
"""The zone of a row of users that has none."""

SPEED_PERMILLE = 1_000
"""The speed at which a demand takes its own time."""

AHEAD_NS_MAX = 1 << 61
"""No time is further away, so that sums of two never overflow."""

DEMAND_NS_MAX = 1 << 50
"""Thirteen days: the square of a longer one, or it times 1000, would leave 64 bits and figures would be wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Propagation and transmission between users and zones, and what law allows.

    ``there_ns`` and ``back_ns`` are (U, Z) int64, ``UNREACHABLE`` where there is no way; ``allowed`` is (U, Z) bool.
    Ways never serialise: any number of requests are on the way at once. Raises ValueError on shapes that differ.
    """

    there_ns: Ints
    back_ns: Ints
    allowed: Flags

    def __post_init__(self) -> None:
        for name, array in (("back_ns", self.back_ns), ("allowed", self.allowed)):
            if array.shape != self.there_ns.shape or array.ndim != 2:
                raise ValueError(f"{name} has shape {array.shape}; it is that of there_ns, {self.there_ns.shape}")

    @property
    def reachable(self) -> Flags:
        """(U, Z): whether there is a way there and back at all."""
        return np.asarray((self.there_ns >= 0) & (self.back_ns >= 0))

    @property
    def open(self) -> Flags:
        """(U, Z): whether requests may and can go there."""
        return np.asarray(self.reachable & self.allowed)

    def are_open(self, rows: NDArray[Any], zones: NDArray[Any]) -> Flags:
        """Whether requests of these rows may and can go to these zones, pair by pair."""
        there_ns, back_ns, allowed = (one[rows, zones] for one in (self.there_ns, self.back_ns, self.allowed))
        return np.asarray((there_ns >= 0) & (back_ns >= 0) & allowed)


@dataclass(frozen=True, slots=True, eq=False)
class Zones:
    """Zones as stations: equal servers behind one FIFO queue.

    ``servers`` (Z,) >= 1; ``speed_permille`` (Z,) >= 1: a demand d takes ``d * 1000 // speed_permille``;
    ``wait_ns_max`` (Z,): a request that would wait longer is turned away when it comes, 0 is Erlang's loss system,
    ``ANY_WAIT`` no bound. Raises ValueError on a bad value.
    """

    servers: Ints
    speed_permille: Ints
    wait_ns_max: Ints

    def __post_init__(self) -> None:
        for name, array, least in (
            ("servers", self.servers, 1),
            ("speed_permille", self.speed_permille, 1),
            ("wait_ns_max", self.wait_ns_max, ANY_WAIT),
        ):
            if array.shape != self.servers.shape or array.ndim != 1:
                raise ValueError(f"{name} has shape {array.shape}; it is that of servers, {self.servers.shape}")
            if (array < least).any():
                raise ValueError(f"{name} of zone {int(np.argmax(array < least))} is below {least}")

    @property
    def count(self) -> int:
        return len(self.servers)

    @classmethod
    def of(cls, servers: Any, speed_permille: Any = SPEED_PERMILLE, wait_ns_max: Any = ANY_WAIT) -> Zones:
        """Zones of anything that numpy takes; one number counts for all."""
        shape = np.atleast_1d(np.asarray(servers, dtype=np.int64))
        each = (np.broadcast_to(np.asarray(one, dtype=np.int64), shape.shape) for one in (speed_permille, wait_ns_max))
        return cls(shape, *(np.ascontiguousarray(one) for one in each))


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """How a rate goes with time: ``share_permille[i]`` of the class's rate in the i-th of equal steps of ``step_ns``,
    from the beginning again after the last. A day is 24 steps of an hour."""

    step_ns: int
    share_permille: Ints

    def __post_init__(self) -> None:
        if self.step_ns < 1:
            raise ValueError(f"step_ns is {self.step_ns}; the least is 1")
        if self.share_permille.ndim != 1 or not len(self.share_permille) or self.share_permille.max() < 1:
            raise ValueError("share_permille needs one share above 0 at least")
        if self.share_permille.min() < 0:
            raise ValueError(f"share_permille is {self.share_permille.min()} in a step; the least is 0")

    def mean_share(self, begin_ns: int, end_ns: int) -> float:
        """The mean rate from ``begin_ns`` until ``end_ns``, which is later, against that of all steps."""
        until = [self._sum_until(at_ns) for at_ns in (begin_ns, end_ns)]
        return (until[1] - until[0]) / (end_ns - begin_ns) / float(self.share_permille.mean())

    def _sum_until(self, at_ns: int) -> int:
        """Shares up to a time, each times how long it holds."""
        step, rest_ns = divmod(at_ns, self.step_ns)
        rounds, step = divmod(step, len(self.share_permille))
        whole = rounds * int(self.share_permille.sum()) + int(self.share_permille[:step].sum())
        return whole * self.step_ns + int(self.share_permille[step]) * rest_ns


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Requests as they were recorded: ``at_ns`` (N,) nondecreasing, ``demand_ns`` (N,) or None to draw it."""

    at_ns: Ints
    demand_ns: Ints | None = None

    def __post_init__(self) -> None:
        if (np.diff(self.at_ns) < 0).any():
            raise ValueError(f"at_ns falls after request {int(np.argmax(np.diff(self.at_ns) < 0))}")
        if self.demand_ns is not None and len(self.demand_ns) != len(self.at_ns):
            raise ValueError(f"demand_ns has {len(self.demand_ns)} requests, at_ns {len(self.at_ns)}")


@dataclass(frozen=True, slots=True, eq=False)
class UserClass:
    """Users who ask for the same: which rows they are, how often they ask, and what a request demands.

    Requests of the class come as one Poisson process of ``rate_rps`` (or as recorded), each from a row drawn by weight:
    by Poisson superposition that is the same as a process of its own for every row. ``name`` names its streams.
    """

    name: str
    users: Indices
    rate_rps: float
    demand: Demand
    weights: NDArray[np.float64] | None = None
    profile: Profile | None = None
    recorded: Recorded | None = None
    begin_ns: int = 0
    """Nobody of the class asks before, nor from ``end_ns`` on; of what is recorded everything counts."""
    end_ns: int = AHEAD_NS_MAX

    def __post_init__(self) -> None:
        if not len(self.users):
            raise ValueError(f"class {self.name!r} has no users")
        if self.recorded is None and not 0 < self.rate_rps < inf:
            raise ValueError(f"rate_rps of class {self.name!r} is {self.rate_rps}; it is above 0 and finite")
        if self.weights is not None and (len(self.weights) != len(self.users) or not (self.weights >= 0).all()):
            raise ValueError(f"weights of class {self.name!r} are one for each user, and not negative")
        if self.weights is not None and not 0 < self.weights.sum() < inf:
            raise ValueError(f"weights of class {self.name!r} sum to {self.weights.sum()}; that is above 0 and finite")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Requests that follow one another: ``at_ns`` (N,) int64 nondecreasing, ``user`` (N,) int32, ``demand_ns`` (N,).

    Raises ValueError where a demand is negative or above ``DEMAND_NS_MAX``.
    """

    at_ns: Ints
    user: Indices
    demand_ns: Ints

    def __post_init__(self) -> None:
        if not len(self.demand_ns):
            return
        least, most = self.demand_ns.min(), self.demand_ns.max()
        if least < 0 or most > DEMAND_NS_MAX:
            raise ValueError(f"demand_ns is {least if least < 0 else most}; it is from 0 to {DEMAND_NS_MAX}")

    def __len__(self) -> int:
        return len(self.at_ns)

    def part(self, which: slice) -> Block:
        """Some of them."""
        return Block(self.at_ns[which], self.user[which], self.demand_ns[which])


@dataclass(frozen=True, slots=True)
class Window:
    """What is measured: requests sent from ``begin_ns`` on and before ``end_ns``, and zones between these two."""

    end_ns: int
    begin_ns: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.begin_ns < self.end_ns:
            raise ValueError(f"the window from {self.begin_ns} to {self.end_ns} ns holds no time")

    @property
    def length_ns(self) -> int:
        return self.end_ns - self.begin_ns


@dataclass(frozen=True, slots=True, eq=False)
class Outages:
    """When zones are down: zone ``zone[i]`` from ``down_ns[i]`` on and before ``up_ns[i]``; they may overlap."""

    zone: Indices
    down_ns: Ints
    up_ns: Ints

    def of_zone(self, zone: int) -> list[tuple[int, int]]:
        """The intervals of one zone, sorted, joined where they touch."""
        mine = self.zone == zone
        joined: list[tuple[int, int]] = []
        for down, up in sorted(zip(self.down_ns[mine].tolist(), self.up_ns[mine].tolist(), strict=True)):
            if joined and down <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], up))
            elif up > down:
                joined.append((down, up))
        return joined


NEVER_DOWN = Outages(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Retries:
    """What users do when a request fails: ``tries_max`` in all, each ``backoff_ns`` after they heard of the failure."""

    tries_max: int = 1
    backoff_ns: int = 0
    detect_ns: int = 0
    """The router knows that a zone is down, or up again, so long after it is."""
    timeout_ns: int = 0
    """So long after sending, users know that a request or its answer was lost on the way. A zone that goes down ends
    its connections, which they hear of as soon as that reaches them."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("tries_max", self.tries_max, 1),
            ("backoff_ns", self.backoff_ns, 0),
            ("detect_ns", self.detect_ns, 0),
            ("timeout_ns", self.timeout_ns, 0),
        ):
            if value < least:
                raise ValueError(f"{name} is {value}; the least is {least}")


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What is other than before from ``at_ns`` on, counted for everything at that time and later; None stays.

    ``ways`` are those that there are, which a router may not know: what is sent where there is none any more is lost,
    request or answer; what was sent before arrives. ``believed`` are the ways that routers go by, ``table`` (U,) or
    (U, K) where a fixed table sends users from then on. ``servers`` (Z,) >= 1 serve: new ones are free, and those that
    go finish what waits for them.
    """

    at_ns: int
    ways: Paths | None = None
    believed: Paths | None = None
    table: Indices | None = None
    servers: Ints | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Faults:
    """Everything that goes wrong, and what is done then."""

    outages: Outages = NEVER_DOWN
    retries: Retries = field(default_factory=Retries)
    changes: Iterable[Change] = ()
    """In the order of time; read once, one ahead."""

    def flips(self, zones: int) -> list[tuple[int, int, int]]:
        """What routers hear of ``zones`` zones, sorted: when, which zone, 1 that it is down or 0 that it is up."""
        return sorted(
            (moment_ns + self.retries.detect_ns, zone, down)
            for zone in range(zones)
            for interval in self.outages.of_zone(zone)
            for moment_ns, down in zip(interval, (1, 0), strict=True)
        )
