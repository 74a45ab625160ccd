"""What the agent needs from outside: time, names, chance, an inventory, a runtime and a way to its operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC, as the kernel stamps packets."""

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
    """What a source found: capacity without accelerators, the accelerators by pool, and where it comes from.

    What instances of this agent use counts as capacity, because the operator subtracts it; what others use does not.
    ``trouble`` says for a person why the source cannot vouch for the rest at present, or what of the zone it had to
    leave out; a zone in trouble that is ``unsound`` takes nothing new.
    """

    capacity: Capacity
    pools: tuple[AcceleratorPool, ...]
    source: str
    trouble: str = ""
    unsound: bool = False


class InventorySource(Protocol):
    """Says what the zone has, and when that changes."""

    async def read(self) -> Machine:
        """What there is now. Never raises for a platform that does not answer: that is a ``Machine`` in trouble."""

    async def watch(self, found: Callable[[Machine], None]) -> None:
        """Tells ``found`` whenever what there is has changed, until it is cancelled."""


class StartRefused(Exception):
    """An instance was not started. ``permanent`` when trying again cannot help, such as a wrong digest."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


class Running(Protocol):
    """A started instance."""

    async def exited(self) -> str:
        """Waits until nothing of it is left; how it ended, for a person. A platform that is silent has not ended it."""

    async def ready(self) -> bool:
        """Whether it says that it is ready and takes connections; False where that cannot be found out."""

    async def unready(self) -> str:
        """Waits until it has ceased to be ready; why, for a person. For ever where only its end is known."""

    async def terminate(self) -> None:
        """Asks it, and everything it started, to end; returns once it is asked. Raises ``PlatformSilent``."""

    async def kill(self) -> None:
        """Ends it, and everything it started, without asking; raises ``PlatformSilent``."""

    @property
    def silent(self) -> bool:
        """Whether nobody can say how it is at present. What is not ready meanwhile is not late."""

    @property
    def trouble(self) -> str:
        """What keeps it from being ready, in the platform's words; empty if nothing is known."""

    @property
    def endpoint_url(self) -> str:
        """Base URL of its endpoint; empty until it is known."""


class PlatformSilent(Exception):
    """The platform did not answer, or not in time: nobody knows whether it did what it was told. Told again later."""


class Runtime(Protocol):
    """Starts instances and finds those that a former agent process started.

    Every call may be repeated: a start that is already done, or was begun by a former agent process, is found again
    and not done twice. Everything that a runtime makes on a platform bears the names of zone and instance, so that
    what nobody wants any more can be told from what is not the agent's. One that ``collects`` deletes in housekeeping
    what no record names; it is not called before the operator was heard, since records may be lost.
    """

    collects: bool

    async def start(self, order: DesiredInstance) -> Running:
        """Starts an instance, or finds the one that was started for the same order; raises ``StartRefused``."""

    async def adopt(self) -> Mapping[str, Running]:
        """Instances that a former agent process started and that are not known to have ended, by name.

        A platform that does not answer has ended nothing: what was written down as started is taken over.
        """

    async def forget(self, instance: str) -> None:
        """Clears what an ended and no longer wanted instance left; what cannot be cleared now is cleared later."""

    async def housekeep(self) -> None:
        """Clears what was left over and keeps logs within their bounds; called every now and then."""

    async def run(self) -> None:
        """Follows what happens on the platform, until it is cancelled."""


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
