"""Decision records: everything that a decision was made of, so that whoever has the record can make it again.

A record holds the question, the time, the snapshot, and what was decided. Its digest is that of the question, the time
and the snapshot, and the decision carries the same one wherever it goes; so a record can be held against the decision
that an operator has shown. Making the decision again from the record shows whether it followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import sha256
from math import isclose
from typing import Any, NamedTuple

from hansa_control.domain.canonical import PREFIX, Roll, canonical
from hansa_control.domain.containers import Memo
from hansa_control.domain.model import Decision, NetworkLink, NetworkNode, ProbeResult, Rejection, Zone
from hansa_control.domain.network import Network, build_network
from hansa_control.domain.placement import PlacementRequest, decide
from hansa_control.domain.snapshot import Measured, Snapshot, assemble_snapshot

FORMAT = 2
"""Of the record and of what its digest covers; grows whenever either changes."""

SPECS_KEPT_MAX = 1_024
"""Specifications of which the canonical bytes are kept, some kilobytes each."""

_PARTS = "parts of a record"

SCORE_TOLERANCE = 1e-9
"""Relative and absolute. Processors add in other orders, so scores may differ in their last digits and nothing else."""


@dataclass(frozen=True, slots=True)
class SnapshotParts:
    """What a snapshot is made of, without anything that was worked out from it. links are as deciding counted them."""

    generation: int
    network_generation: int
    own: str
    places_checked: bool
    promises: tuple[tuple[str, int], ...]
    taken_at_ms: int
    zones: tuple[Zone, ...]
    nodes: tuple[NetworkNode, ...]
    links: tuple[NetworkLink, ...]
    probes: tuple[ProbeResult, ...]


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """What deciding is a function of. hypothetical says that the snapshot is of a world that is not."""

    request: PlacementRequest
    decided_at_ms: int
    snapshot: SnapshotParts
    hypothetical: bool = False


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision with its inputs.

    afterwards are rejections that were added once the decision was made: zones that were left out of the question, of
    which left_out count as evaluated, and owners that refused. Deciding cannot know them; their zones are no choices
    any more, and a plan that has one of them is none. evidenced is for how many
    choices, from the best, what the filters measured was kept. The decision's elapsed_us is 0: how long it took does
    not follow.
    """

    format: int
    digest: str
    inputs: DecisionInputs
    decision: Decision
    afterwards: tuple[Rejection, ...] = ()
    left_out: int = 0
    evidenced: int = 0


class Afterwards(NamedTuple):
    """What was added to a decision once it was made; see DecisionRecord."""

    rejections: tuple[Rejection, ...] = ()
    left_out: int = 0


class Difference(NamedTuple):
    """A field of the record that does not follow from the others; both values in canonical form."""

    field: str
    recorded: str
    recomputed: str


class Digests:
    """Digests of inputs. What did not change since the last ones is not read again."""

    def __init__(self) -> None:
        self._rolls = {name: Roll() for name in ("zones", "nodes", "links", "probes")}
        self._specs = Memo(SPECS_KEPT_MAX)

    def of(self, inputs: DecisionInputs) -> str:
        """SHA-256 of format, question, time and snapshot, "sha256:<hex>".

        Hashed are the canonical bytes of an object that has, in the place of each of the snapshot's lists, its name and
        the hex SHA-256 over the SHA-256 of every member's canonical bytes.
        """
        parts = inputs.snapshot
        rolled = {name: roll.digest(getattr(parts, name)).hex() for name, roll in self._rolls.items()}
        snapshot = {
            "generation": parts.generation,
            "links": rolled["links"],
            "network_generation": parts.network_generation,
            "nodes": rolled["nodes"],
            "own": parts.own,
            "places_checked": parts.places_checked,
            "probes": rolled["probes"],
            "promises": parts.promises,
            "taken_at_ms": parts.taken_at_ms,
            "zones": rolled["zones"],
        }
        before = canonical(
            {"decided_at_ms": inputs.decided_at_ms, "format": FORMAT, "hypothetical": inputs.hypothetical}
        )
        # Put together by hand, as what is asked for is long and seldom new: the bytes are those of the whole.
        whole = (before[:-1], b',"request":', self._request(inputs.request), b',"snapshot":', canonical(snapshot), b"}")
        return PREFIX + sha256(b"".join(whole)).hexdigest()

    def _request(self, request: PlacementRequest) -> bytes:
        """The canonical bytes of a request; those of its specification are kept."""
        spec: bytes | None = self._specs.get(request.spec)
        if spec is None:
            spec = canonical(request.spec)
            self._specs.keep(request.spec, spec)
        before = canonical({"current": request.current, "exclude": request.exclude, "home": request.home})
        after = canonical({"with_fix": request.with_fix})
        return b"".join((before[:-1], b',"spec":', spec, b",", after[1:]))


def parts_of(snapshot: Snapshot) -> SnapshotParts:
    """What a snapshot is made of; cheap, for everything in it is shared."""
    nodes, links = _network_parts(snapshot.network)
    return SnapshotParts(
        generation=snapshot.generation,
        network_generation=snapshot.network.generation,
        own=snapshot.own,
        places_checked=snapshot.places_checked,
        promises=snapshot.promises,
        taken_at_ms=snapshot.taken_at_ms,
        zones=snapshot.zones,
        nodes=nodes,
        links=links,
        probes=snapshot.probes,
    )


def _network_parts(network: Network) -> tuple[tuple[NetworkNode, ...], tuple[NetworkLink, ...]]:
    """Nodes and links as tuples, the same ones each time, so that nobody has to look whether they have changed."""
    kept: tuple[tuple[NetworkNode, ...], tuple[NetworkLink, ...]] | None = network.routes.get(_PARTS)
    if kept is None:
        kept = tuple(network.nodes), tuple(network.links)
        network.routes.keep(_PARTS, kept, weight=len(kept[0]) + len(kept[1]))
    return kept


def snapshot_of(parts: SnapshotParts) -> Snapshot:
    """The snapshot that is made of these parts, built from scratch."""
    network = build_network(parts.network_generation, parts.nodes, parts.links)
    measured = Measured.between(parts.probes, parts.zones)
    built = assemble_snapshot(parts.generation, parts.zones, network, measured, parts.taken_at_ms)
    return replace(built, own=parts.own, places_checked=parts.places_checked, promises=parts.promises)


def record_of(inputs: DecisionInputs, decision: Decision, added: Afterwards = Afterwards()) -> DecisionRecord:  # noqa: B008
    """The record of a decision that carries the digest of these inputs."""
    timeless = replace(decision, elapsed_us=0)
    return DecisionRecord(FORMAT, decision.digest, inputs, timeless, *added, _evidenced(timeless))


def _evidenced(decision: Decision) -> int:
    return sum(bool(choice.passed) for choice in decision.choices)


def verify(record: DecisionRecord) -> tuple[Difference, ...]:
    """Decides again and names, in the order of the fields, all that does not follow; nothing if it is the same.

    Whoever changes a record and everything that follows from the change, digest included, makes another sound record:
    that it is the operator's shows the digest, if it is the one that the operator has shown with the decision.
    """
    digest = Digests().of(record.inputs)
    sealed = replace(record, format=FORMAT, digest=digest)
    try:
        again = _decided(record.inputs)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Values that no codec lets in, so that deciding was never meant to take them.
        undecidable = Difference("inputs", "a decision", f"cannot be decided on: {type(error).__name__}: {error}")
        return (*_differences("", record, sealed), undecidable)
    decision = _kept(replace(again, digest=digest), record)
    expected = replace(sealed, decision=decision, evidenced=_evidenced(decision))
    return tuple(_differences("", record, expected))


def _decided(inputs: DecisionInputs) -> Decision:
    return decide(inputs.request, snapshot_of(inputs.snapshot), inputs.decided_at_ms)


def _kept(decision: Decision, record: DecisionRecord) -> Decision:
    """A decision as it is kept: with what came afterwards, and without the evidence of all but the first choices."""
    gone = {rejection.zone for rejection in record.afterwards}
    choices = tuple(choice for choice in decision.choices if choice.zone not in gone)
    full = max(record.evidenced, 0)
    plan = decision.plan
    return replace(
        decision,
        plan=None if plan is None or any(at.zone in gone for at in plan.assignments) else plan,
        choices=choices[:full] + tuple(replace(choice, passed=()) for choice in choices[full:]),
        rejections=decision.rejections + record.afterwards,
        zones_evaluated=decision.zones_evaluated + record.left_out,
    )


def _differences(field: str, recorded: Any, expected: Any) -> Iterator[Difference]:
    if recorded is expected:
        return
    if is_dataclass(recorded) and type(recorded) is type(expected):
        for one in fields(recorded):
            yield from _differences(
                f"{field}.{one.name}".lstrip("."), getattr(recorded, one.name), getattr(expected, one.name)
            )
    elif isinstance(recorded, tuple) and isinstance(expected, tuple) and len(recorded) == len(expected):
        for index, (left, right) in enumerate(zip(recorded, expected, strict=True)):
            yield from _differences(f"{field}{_step(recorded, index)}", left, right)
    elif not _alike(recorded, expected):
        yield Difference(field, _shown(recorded), _shown(expected))


def _step(values: tuple[Any, ...], index: int) -> str:
    names = getattr(values, "_fields", None)
    return f".{names[index]}" if names else f"[{index}]"


def _alike(recorded: Any, expected: Any) -> bool:
    if isinstance(recorded, float) and isinstance(expected, float):
        return isclose(recorded, expected, rel_tol=SCORE_TOLERANCE, abs_tol=SCORE_TOLERANCE)
    return bool(recorded == expected)


def _shown(value: Any) -> str:
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return f"{len(value)} of them"
    return canonical(value).decode()
