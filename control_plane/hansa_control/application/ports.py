"""What the application needs of the outside, and the records it keeps there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from hansa_control.application.usage_ports import Enter, LineQuery, Strike
from hansa_control.domain.model import (
    Claim,
    ClaimStatus,
    Decision,
    Event,
    Fact,
    Federation,
    HoldGrant,
    InstanceStatus,
    Inventory,
    Manifest,
    NetworkLink,
    NetworkNode,
    NodeProbe,
    Origin,
    ProbeResult,
    Reason,
    Rejection,
    Workload,
    WorkloadSpec,
    Zone,
)
from hansa_control.domain.origin import Chain, Chained
from hansa_control.domain.reputation import Reputation
from hansa_control.domain.seals import Seal, Signed
from hansa_control.domain.two_books import Asked
from hansa_control.domain.upkeep import UpkeepAsked
from hansa_control.domain.usage import UsageLine

AdvertBody = Inventory | Fact | ProbeResult | NodeProbe | InstanceStatus
OfferBody = Zone | NetworkNode | NetworkLink | ClaimStatus
ShownBody = OfferBody | Chained


class Clock(Protocol):
    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC. For evidence and for people; never for leases."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds that only grow. For leases and liveness."""
        ...

    def elapsed_us(self) -> int:
        """Microseconds that only grow, for measuring work."""
        ...

    async def sleep_ms(self, duration_ms: int) -> None: ...


class Worker(Protocol):
    """Does long work that neither waits nor touches what others use, without keeping them waiting."""

    async def run(self, job: Callable[[], T]) -> T:
        """What the job answers or raises."""
        ...


class IdSource(Protocol):
    def new_id(self) -> str:
        """A name that nobody else has: lower-case letters and digits, at most 32 characters."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1), for jitter."""
        ...


T = TypeVar("T")


# --- records --------------------------------------------------------------------------------------------------------


class Table(StrEnum):
    """Kinds of records. The value is the record's type: see RECORD_TYPES."""

    ADVERT = "advert"
    OFFER = "offer"
    CLAIM = "claim"
    WORKLOAD = "workload"
    DECISION = "decision"
    REQUEST = "request"
    FEDERATION = "federation"
    EVENT = "event"
    COUNTER = "counter"
    ASKED = "asked"
    GRANT = "grant"
    REPUTATION = "reputation"
    UPKEEP = "upkeep"
    RELAY = "relay"


@dataclass(frozen=True, slots=True)
class StoredAdvert:
    """What an agent of ours last said under this name. Key: "zone|name"."""

    zone: str
    name: str
    etag: str
    body: AdvertBody


@dataclass(frozen=True, slots=True)
class StoredOffer:
    """What a partner last said under this name, with its chain of origin where it has one. Key: "operator|name"."""

    operator: str
    name: str
    etag: str
    body: OfferBody
    chain: Chain = ()


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """An answered request. Key: "caller|request_id". The answer is the workload of that name."""

    payload_digest: str
    workload: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """The decision that placed a workload, or the last one that could not. Key: the workload's name."""

    decision: Decision
    decided_at_ms: int


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """A partner's grant as it was verified, with what was asked. Where the partner offers the zone on, underlying are
    the seals of the grants that it rests on, and origin is the zone's. Key: the claim's name.
    """

    workload: str
    spec: WorkloadSpec
    lease_asked_ms: int
    seal: Seal
    verified_at_ms: int
    underlying: tuple[Seal, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Relay:
    """A partner's claim in a zone that this operator offers on, and the claim that it has itself for that one.

    home and claim name the former, owner, name and zone the latter, of which spec was asked. grant is what the owner
    gave, None until it has. Key: "owner|name".
    """

    home: str
    claim: str
    owner: str
    name: str
    zone: str
    spec: WorkloadSpec
    lease_asked_ms: int
    grant: HoldGrant | None = None


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that only grows. Key: its name, for example "fence|oslo-1" or "event"."""

    value: int


Record = (
    StoredAdvert
    | StoredOffer
    | Claim
    | Workload
    | StoredDecision
    | StoredRequest
    | Federation
    | Event
    | Counter
    | Asked
    | StoredGrant
    | Reputation
    | UpkeepAsked
    | Relay
)

RECORD_TYPES: Mapping[Table, type] = {
    Table.ADVERT: StoredAdvert,
    Table.OFFER: StoredOffer,
    Table.CLAIM: Claim,
    Table.WORKLOAD: Workload,
    Table.DECISION: StoredDecision,
    Table.REQUEST: StoredRequest,
    Table.FEDERATION: Federation,
    Table.EVENT: Event,
    Table.COUNTER: Counter,
    Table.ASKED: Asked,
    Table.GRANT: StoredGrant,
    Table.REPUTATION: Reputation,
    Table.UPKEEP: UpkeepAsked,
    Table.RELAY: Relay,
}


READ_ONE_BY_ONE = frozenset({Table.DECISION})
"""Tables that no start loads: their records are most of what is stored, and each is asked for seldom, if ever."""


@dataclass(frozen=True, slots=True)
class Put:
    table: Table
    key: str
    record: Record


@dataclass(frozen=True, slots=True)
class Delete:
    table: Table
    key: str


Change = Put | Delete | Enter | Strike


class StoreFailed(Exception):
    """The store cannot keep a promise any more (disk full, corruption). The process must stop: memory is ahead."""


class Store(Protocol):
    """Durable records. One commit is one transaction; when it returns, the changes survive kill -9 and power loss."""

    async def load(self) -> Mapping[Table, Mapping[str, Record]]:
        """All but ``READ_ONE_BY_ONE``, once, at the start; StoreFailed if it is corrupt or of a newer schema."""
        ...

    async def read(self, table: Table, key: str) -> Record | None:
        """One durable record, None if there is none; StoreFailed if it is not what was written."""
        ...

    async def commit(self, changes: Sequence[Change]) -> None:
        """All or nothing, in order; StoreFailed if not durable."""
        ...

    async def lines(self, query: LineQuery) -> Sequence[UsageLine]:
        """Durable lines of the book of usage, which is not in what ``load`` answers; StoreFailed."""
        ...

    async def keep(self) -> None:
        """Never returns; StoreFailed as soon as the store is known to have failed, though nothing was committed.

        It begins with looking through what ``load`` has left out, so that damage is found though nobody asks for it.
        """
        ...

    async def close(self) -> None: ...

    @property
    def trouble(self) -> str:
        """Why what is committed at present has to wait, one sentence; "" while it need not."""
        ...


# --- owners ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Asks an owner for capacity in one of its zones. claim is chosen by the home operator and makes it idempotent.

    answer_within_ms is for how long the home operator waits for the answer; it does not cross the wire as a field.
    tenant is whose workload it is, empty where the owner need not know.
    """

    claim: str
    zone: str
    spec: WorkloadSpec
    lease_ms: int
    answer_within_ms: int = 2_000
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """An owner's refusal, with every failing constraint on its own truth."""

    rejections: tuple[Rejection, ...]


class OwnerUnreachable(Exception):
    """A partner did not answer in time; whether it acted is unknown. was_asked is False where nothing was sent."""

    def __init__(self, message: str, *, was_asked: bool = True) -> None:
        super().__init__(message)
        self.was_asked = was_asked


class RefusalError(Exception):
    """The application refuses a request; adapters turn it into a status of the same reason."""

    def __init__(self, reason: Reason, message: str, field: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field


class SealBroken(Exception):
    """A signature does not show what it should; the message says why."""


class Seals(Protocol):
    """Signs as this operator, and checks what partners signed."""

    def sign(self, payload: bytes) -> Signed: ...

    def check(self, operator: str, payload: bytes, signed: Signed, at_ms: int) -> None:
        """SealBroken unless the operator signed these bytes, by a certificate valid at at_ms (wall clock)."""
        ...


class Owner(Protocol):
    """Who owns zones, as the home operator sees it: itself, or a partner across the wire.

    Every method is idempotent by claim name. OwnerUnreachable when a partner does not answer in time.
    """

    async def hold(self, request: HoldRequest) -> HoldGrant | Refused: ...

    async def confirm(self, claim: str, fencing_token: int, manifest: Manifest) -> ClaimStatus:
        """RefusalError HOLD_EXPIRED, FENCED or NOT_FOUND when there is nothing to confirm."""
        ...

    async def release(self, claim: str, reason: Reason) -> ClaimStatus:
        """Releasing what is not there answers RELEASED."""
        ...
