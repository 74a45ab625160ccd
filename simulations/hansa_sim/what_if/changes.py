"""What is supposed: cuts, failures, drains, agreements and laws, as a person writes them, and the estate under them.

--cut link:oslo/bergen   link:oslo--bergen   cable:NAME   carrier:OPERATOR
--fail zone:OPERATOR/ZONE   operator:NAME   country:NO   node:NAME
--drain zone:OPERATOR/ZONE
--accept agreement:FILE
--law FILE
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hansa_control.adapters.law_source import LawFiles
from hansa_control.application.lawbook import LawDesk
from hansa_control.application.ports import RefusalError
from hansa_control.domain.claims import claims_of
from hansa_control.domain.intake import Intake, ZoneSide
from hansa_control.domain.model import FactKind, LinkKind, WorkloadId, Zone, ZoneState
from hansa_control.domain.overlay import Overlay, OverlayInvalid, apply_overlay
from hansa_control.domain.world_record import StandingWorkload

from hansa.errors import HansaError
from hansa.names import hint
from hansa_sim.what_if.estate import Estate
from hansa_sim.what_if.offers import accepted


class SuppositionError(ValueError):
    """What is supposed does not fit the world; the message names the option and the nearest valid word."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is other than it is, in the words of the options; laws and offers are files."""

    cut: tuple[str, ...] = ()
    fail: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    law: Path | None = None

    def words(self) -> tuple[str, ...]:
        """Each change in a few words, in the order in which they are applied."""
        parts = (("accept", self.accept), ("law", (str(self.law),) if self.law else ()))
        more = (("cut", self.cut), ("fail", self.fail), ("drain", self.drain))
        return tuple(f"{name} {what}" for name, found in (*parts, *more) for what in found)


def suppose(estate: Estate, changes: Changes) -> Estate:
    """The estate as it would be before anybody reacts; SuppositionError."""
    try:
        for text in changes.accept:
            path = Path(_rest("--accept", text, ("agreement",))[1])
            with _told_of("--accept agreement", path, "a file with kind: Offer, see docs/simulation.md"):
                estate = accepted(estate, path)
        if changes.law is not None:
            with _told_of("--law", changes.law, "a file with kind: Law, see docs/residency.md"):
                estate = _under_law(estate, changes.law)
        estate = _cut(estate, changes)
    except (OverlayInvalid, HansaError) as error:
        raise SuppositionError(str(error)) from error
    for text in changes.drain:
        estate = _drained(estate, _rest("--drain", text, ("zone",))[1])
    return _failed(estate, changes.fail)


@contextmanager
def _told_of(option: str, path: Path, needed: str) -> Iterator[None]:
    """What is wrong with a file is said of the option that names it; where it cannot be read, with what is needed."""
    try:
        yield
    except OSError as error:
        raise SuppositionError(f"{option} {path}: {error.strerror or error}; it must be {needed}") from error
    except HansaError as error:
        place = "" if error.message.startswith(str(path)) else f"{path}: "
        wanted = f"; it must be {needed}" if error.reason == "NOT_FOUND" else ""
        raise SuppositionError(f"{option} {place}{error.message}{wanted}") from error
    except (RefusalError, OverlayInvalid) as error:
        raise SuppositionError(f"{option} {path}: {error}") from error


def _rest(option: str, text: str, kinds: Collection[str]) -> tuple[str, str]:
    """Kind and name of ``kind:name``."""
    kind, colon, name = text.partition(":")
    if not colon or not name:
        raise SuppositionError(f"{option}: {text!r} is not {' or '.join(f'{kind}:NAME' for kind in kinds)}")
    if kind not in kinds:
        raise SuppositionError(f"{option}: {kind!r} cannot be meant here{hint(kind, kinds)}")
    return kind, name


def _known(option: str, what: str, name: str, valid: Iterable[str]) -> str:
    found = set(valid)
    if name not in found:
        raise SuppositionError(f"{option}: there is no {what} {name!r}{hint(name, found)}")
    return name


# --- ways -----------------------------------------------------------------------------------------------------------


def _cut(estate: Estate, changes: Changes) -> Estate:
    """Without the links that are cut, and those of nodes that fail."""
    cut: dict[str, None] = {}
    for text in changes.cut:
        kind, name = _rest("--cut", text, ("link", "cable", "carrier"))
        cut.update(dict.fromkeys(_CUTS[kind](estate, name)))
    for text in changes.fail:
        kind, name = _rest("--fail", text, _FAILURES)
        cut.update(dict.fromkeys(_links_at(estate, _nodes_failing(estate, kind, name))))
    if not cut:
        return estate
    overlay = Overlay(links_removed=tuple(cut))
    return replace(estate, snapshot=apply_overlay(estate.snapshot, overlay, estate.snapshot.generation + 1))


def _link(estate: Estate, name: str) -> list[str]:
    """A link by its name, or all between two nodes (``oslo/bergen``, either way round)."""
    node_a, slash, node_b = name.partition("/")
    if not slash:
        return [_known("--cut link", "link", name, (link.name for link in estate.snapshot.links))]
    for node in (node_a, node_b):
        _known("--cut link", "node", node, estate.snapshot.network.node_index)
    found = [link.name for link in estate.snapshot.links if {link.node_a, link.node_b} == {node_a, node_b}]
    if not found:
        near = {_other_end(link.node_a, link.node_b, node_a) for link in estate.snapshot.links}
        others = ", ".join(sorted(node for node in near if node))
        raise SuppositionError(f"--cut link: no link joins {node_a} and {node_b}; {node_a} has links to {others}")
    return found


def _other_end(node_a: str, node_b: str, at: str) -> str:
    return {node_a: node_b, node_b: node_a}.get(at, "")


def _cable(estate: Estate, name: str) -> list[str]:
    """The links of a cable that has a name, or a link in the sea by itself."""
    alone = {link.name: [link.name] for link in estate.snapshot.links if link.kind is LinkKind.SEA_CABLE}
    cables = {**alone, **{cable: sorted(links) for cable, links in estate.cables.items()}}
    return cables[_known("--cut cable", "cable", name, cables)]


def _carrier(estate: Estate, name: str) -> list[str]:
    carriers = {link.carrier for link in estate.snapshot.links}
    _known("--cut carrier", "carrier", name, carriers)
    return [link.name for link in estate.snapshot.links if link.carrier == name]


_CUTS: Mapping[str, Callable[[Estate, str], list[str]]] = {"link": _link, "cable": _cable, "carrier": _carrier}


def _nodes_failing(estate: Estate, kind: str, name: str) -> set[str]:
    nodes = estate.snapshot.nodes
    if kind == "node":
        return {_known("--fail node", "node", name, (node.name for node in nodes))}
    if kind == "country":
        found = {node.name for node in nodes if node.country == name}
        if not found and not any(_country(estate, zone) == name for zone in estate.snapshot.zones):
            _known("--fail country", "country", name, {node.country for node in nodes if node.country})
        return found
    return set()


def _links_at(estate: Estate, nodes: Collection[str]) -> list[str]:
    return [link.name for link in estate.snapshot.links if link.node_a in nodes or link.node_b in nodes]


# --- zones ----------------------------------------------------------------------------------------------------------


_FAILURES = ("zone", "operator", "country", "node")


def _failed(estate: Estate, texts: Iterable[str]) -> Estate:
    """With zones lost: those named, an operator's, those in a country, those at a node."""
    zones, silent = estate.snapshot.zones, set(estate.silent)
    lost = set(estate.lost)
    for text in texts:
        kind, name = _rest("--fail", text, _FAILURES)
        if kind == "zone":
            lost.add(_zone(estate, "--fail zone", name).id)
        elif kind == "operator":
            operators = {zone.id.operator for zone in zones} | {one.home for one in estate.workloads}
            silent.add(_known("--fail operator", "operator", name, operators))
            lost |= {zone.id for zone in zones if zone.id.operator == name}
        else:
            at = _nodes_failing(estate, kind, name)
            lost |= {zone.id for zone in zones if zone.inventory.node in at}
            lost |= {zone.id for zone in zones if kind == "country" and _country(estate, zone) == name}
    changed = [_unheard(zone, silent) for zone in zones if zone.id in lost]
    return replace(_with_zones(estate, changed), lost=frozenset(lost), silent=frozenset(silent))


def _unheard(zone: Zone, silent: Collection[str]) -> Zone:
    """A partner that is not heard has offers that grow stale; a zone that is not heard is lost."""
    return replace(zone, state=ZoneState.STALE if zone.id.operator in silent else ZoneState.LOST)


def _drained(estate: Estate, name: str) -> Estate:
    zone = _zone(estate, "--drain zone", name)
    upkeep = replace(zone.upkeep, intake=Intake.DRAINING, note="supposed", sides=(ZoneSide.OPERATOR,))
    return _with_zones(estate, [replace(zone, upkeep=upkeep)])


def _zone(estate: Estate, option: str, name: str) -> Zone:
    by_name = {str(zone.id): zone for zone in estate.snapshot.zones}
    return by_name[_known(option, "zone", name, by_name)]


def _with_zones(estate: Estate, changed: Collection[Zone]) -> Estate:
    if not changed:
        return estate
    snapshot = estate.snapshot
    return replace(estate, snapshot=snapshot.with_changed(snapshot.generation + 1, changed, snapshot.taken_at_ms))


def _country(estate: Estate, zone: Zone) -> str | None:
    """Where a zone is proved to stand; where nothing is proved, where its node does."""
    site = next(iter(claims_of(zone.facts, FactKind.SITE_COUNTRY, estate.now_ms).values()), None)
    at = estate.snapshot.network.node_index.get(zone.inventory.node)
    return site or (None if at is None else estate.snapshot.nodes[at].country)


# --- law ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Moment:
    """A clock that stands."""

    now_ms: int

    def wall_ms(self) -> int:
        return self.now_ms


def _under_law(estate: Estate, path: Path) -> Estate:
    """With what a law file demands besides, merged by the code that a control plane merges it by."""
    desk = LawDesk(LawFiles(path, estate.now_ms), _Moment(estate.now_ms))  # type: ignore[arg-type]
    return replace(estate, workloads=tuple(_demanded(desk, one) for one in estate.workloads))


def _demanded(desk: LawDesk, one: StandingWorkload) -> StandingWorkload:
    tenant = WorkloadId.parse(one.name).tenant
    spec = desk.enforced(one.spec, tenant)
    owned = desk.owned(desk.enforced(replace(one.spec, residency=one.owned_residency), tenant))
    return replace(one, spec=spec, owned_residency=owned.residency)
