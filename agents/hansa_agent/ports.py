"""What the agent needs from outside: time, names, chance, an inventory, a runtime and a way to its operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hansa.v1.agent_service_pb2 import SessionRequest, SessionResponse
from hansa.v1.common_pb2 import AcceleratorPool, Capacity
from hansa.v1.instance_pb2 import DesiredInstance


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks: monotonic for intervals, wall (Unix epoch, UTC) for what others read."""

    monotonic_ms: int
    wall_ms: int


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> Instant:
        """This moment."""

    def monotonic_ns(self) -> int:
        """Monotonic nanoseconds, for round-trip times."""

    async def sleep(self, seconds: float) -> None:
        """Lets ``seconds`` pass."""


class IdSource(Protocol):
    """The only source of unique names."""

    def new_id(self) -> str:
        """A name that was never given before."""


class Random(Protocol):
    """The only source of chance."""

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high]."""

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a source found: capacity without accelerators, the accelerators by pool, and where it comes from."""

    capacity: Capacity
    pools: tuple[AcceleratorPool, ...]
    source: str


class InventorySource(Protocol):
    """Says what the zone has."""

    def read(self) -> Machine:
        """Everything there is, used or not."""


class StartRefused(Exception):
    """An instance was not started. ``permanent`` when trying again cannot help, such as a wrong digest."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


class Running(Protocol):
    """A started instance."""

    async def exited(self) -> int | None:
        """Waits for its end; the exit status (negative: the signal), or None where the parent was another process."""

    async def ready(self) -> bool:
        """Whether it says that it is ready and takes connections."""

    def terminate(self) -> None:
        """Asks it, and everything it started, to end."""

    def kill(self) -> None:
        """Ends it, and everything it started."""

    @property
    def endpoint_url(self) -> str:
        """Base URL of its endpoint."""


class Runtime(Protocol):
    """Starts instances and finds those that a former agent process started."""

    async def start(self, order: DesiredInstance) -> Running:
        """Starts an instance; raises ``StartRefused``."""

    def adopt(self) -> Mapping[str, Running]:
        """Instances that still run, by name."""

    def forget(self, instance: str) -> None:
        """Clears what an ended and no longer wanted instance left."""

    def housekeep(self) -> None:
        """Keeps logs within their bounds; called every now and then."""


class Connection(Protocol):
    """One stream to the operator."""

    async def send(self, message: SessionRequest) -> None:
        """Sends; raises ``UplinkLost``."""

    async def receive(self) -> SessionResponse:
        """The next message; raises ``UplinkLost``."""

    async def close(self) -> None:
        """Ends the stream."""


class UplinkLost(Exception):
    """The stream ended or never began; the text says why, for a person."""


class Uplink(Protocol):
    """Opens streams to the operator."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Addresses to try in turn, host:port."""

    def connect(self, endpoint: str) -> Connection:
        """Begins a stream; problems show when it is first used."""
