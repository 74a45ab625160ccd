"""What this operator's own agents say, taken over; and what they are to do, derived."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches

from hansa_control.application.gathering import Gathering
from hansa_control.application.measurements import Measurements
from hansa_control.application.owner import OwnerService
from hansa_control.application.ports import Clock, RefusalError, StoredAdvert, Table
from hansa_control.application.settings import Settings
from hansa_control.application.signals import Signal
from hansa_control.application.state import State
from hansa_control.application.world import World, advert_key
from hansa_control.domain import agent_session
from hansa_control.domain.agent_session import AgentSession, SessionState
from hansa_control.domain.model import (
    DesiredInstance,
    Fact,
    FactKind,
    InstanceStatus,
    Inventory,
    NodeProbe,
    ProbeResult,
    ProbeTarget,
    Reason,
    Zone,
    ZoneId,
    ZoneState,
)
from hansa_control.domain.origin import aliased

Refusals = tuple[tuple[str, str, str], ...]
_KIND_OF_PREFIX: Mapping[str, type] = {
    "inventory": Inventory,
    "facts": Fact,
    "probes": ProbeResult,
    "node-probes": NodeProbe,
    "instances": InstanceStatus,
}


class AgentIngest:
    """One object for all agents; every method names the zone, without the operator, as the certificate proved it."""

    def __init__(self, settings: Settings, state: State, world: World, owner: OwnerService, clock: Clock) -> None:
        self._settings = settings
        self._state = state
        self._world = world
        self._owner = owner
        self._clock = clock
        self._greeted: set[str] = set()
        self._order_signals: dict[str, Signal] = {}
        self._etags: dict[str, dict[str, str]] = {}
        self._targets_of: tuple[tuple[Zone, ...], tuple[Zone, ...]] | None = None
        self._known_targets: list[ProbeTarget] = []
        self._told_targets: Sequence[ProbeTarget] | None = None
        self._gathering = Gathering(clock)
        self._measurements = Measurements(clock)
        self.advert_count = 0
        self.on_zone_changed: Callable[[ZoneId], None] = lambda zone: None

    def recover(self) -> None:
        """After loading: the etags of what agents said before, so that they need not say it again."""
        for stored in self._state.adverts.values():
            self._etags.setdefault(stored.zone, {})[stored.name] = stored.etag

    # --- the stream ---

    def welcome(self, zone: str, boot_id: str, wall_clock_ms: int) -> Mapping[str, str]:
        """An agent opened a stream; answers with the etags of its adverts that are held. RefusalError where its clock
        or the name of its zone cannot be used.
        """
        self._check_name(zone)
        skew_ms = abs(wall_clock_ms - self._clock.wall_ms())
        if skew_ms > self._settings.clock_skew_ms_max:
            limit_ms = self._settings.clock_skew_ms_max
            raise RefusalError(
                Reason.CLOCK_SKEW,
                f"the agent's clock is {skew_ms / 1000:.0f} s off, at most {limit_ms / 1000:.0f} s are tolerated: "
                "evidence could not be judged",
                "wall_clock_ms",
            )
        before = self._world.sessions.get(zone, AgentSession())
        self._world.set_session(zone, agent_session.connect(before, boot_id, self._clock.monotonic_ms()))
        if before.state is not SessionState.LIVE:
            self._greeted.add(zone)
            self._zone_back(zone, before)
        return dict(self._etags.get(zone, {}))

    def _check_name(self, zone: str) -> None:
        """An own zone is not named like one of another operator that is offered on: whose claims are they?"""
        other = aliased(zone, self._settings.partners | self._settings.known_operators)
        if other is not None:
            why = f"{zone} is the name under which a zone of {other} is offered on; name an own zone without {other}--"
            raise RefusalError(Reason.INVALID_FIELD, why, "hello.zone")

    def heard(self, zone: str) -> None:
        """Any message of the agent's but its greeting.

        What was held of its instances counts again from now on: what has changed, the agent's first message tells.
        """
        session = self._world.sessions.get(zone)
        if session is None or session.state is SessionState.ABSENT:
            raise RefusalError(Reason.PROTOCOL_VIOLATION, f"zone {zone} has not said hello")
        self._world.set_session(zone, agent_session.hear(session, self._clock.monotonic_ms()))
        if session.state is not SessionState.LIVE:
            self._zone_back(zone, session)
        if session.state is not SessionState.LIVE or zone in self._greeted:
            self._greeted.discard(zone)
            self._owner.on_instances(zone)

    def _zone_back(self, zone: str, before: AgentSession) -> None:
        self._owner.on_zone_back(zone)
        if before.state is SessionState.LOST:
            self._world.came_back(zone)
        self._zone_changed(zone)
        if before.state is SessionState.LOST:
            # Nobody probed it any more; everybody is to do so again.
            self.notify_all_orders()

    def disconnected(self, zone: str, boot_id: str) -> None:
        session = self._world.sessions.get(zone)
        if session is not None:
            self._set_after_silence(zone, session, agent_session.disconnect(session, boot_id))

    async def adverts(self, zone: str, updated: Sequence[StoredAdvert], removed: Sequence[str]) -> Refusals:
        """Takes over a delta; durable on return, but for measurements of which the last minute's is on disk. Refused
        resources leave what was held as it was.
        """
        began_count = self._state.put_count
        refusals: list[tuple[str, str, str]] = []
        accepted: list[str] = []
        for advert in updated:
            if wrong := self._wrong(zone, advert):
                refusals.append(wrong)
                continue
            self._keep(advert_key(zone, advert.name), advert)
            self._etags.setdefault(zone, {})[advert.name] = advert.etag
            self._world.advertised(zone, advert.name, advert.body)
            accepted.append(advert.name)
        for name in removed:
            self._state.delete(Table.ADVERT, advert_key(zone, name))
            self._measurements.forget(advert_key(zone, name))
            self._etags.get(zone, {}).pop(name, None)
            self._world.advertised(zone, name, None)
        self.advert_count += len(accepted) + len(removed)
        self._after_change(zone, [*accepted, *removed])
        if self._state.put_count != began_count:
            await self._gathering.gathered(zone)
            await self._state.commit()
        return tuple(refusals)

    def _keep(self, key: str, advert: StoredAdvert) -> None:
        if isinstance(advert.body, ProbeResult | NodeProbe) and not self._measurements.is_due(key, advert.body):
            self._state.hold(Table.ADVERT, key, advert)
        else:
            self._state.put(Table.ADVERT, key, advert)

    def _after_change(self, zone: str, names: Sequence[str]) -> None:
        kinds = {name.partition("/")[0] for name in names}
        if "instances" in kinds:
            self._owner.on_instances(zone)
        if kinds & {"inventory", "facts"}:
            self._zone_changed(zone)
            self.notify_all_orders()
        elif "probes" in kinds:
            self._owner.changed.notify()

    def _wrong(self, zone: str, advert: StoredAdvert) -> tuple[str, str, str] | None:
        prefix = advert.name.partition("/")[0]
        if _KIND_OF_PREFIX.get(prefix) is not type(advert.body):
            return advert.name, "name", f"does not fit a {type(advert.body).__name__}"
        held = self._etags.get(zone, {})
        if advert.name not in held and len(held) >= self._settings.adverts_per_zone_max:
            return advert.name, "name", f"more than {self._settings.adverts_per_zone_max} adverts"
        return self._wrong_body(zone, advert)

    def _wrong_body(self, zone: str, advert: StoredAdvert) -> tuple[str, str, str] | None:
        body = advert.body
        if isinstance(body, Inventory) and advert.name != "inventory":
            return advert.name, "name", "a zone has one inventory, of that name"
        if isinstance(body, Inventory) and not any(node.name == body.node for node in self._world.own_nodes):
            near = get_close_matches(body.node, [node.name for node in self._world.own_nodes], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return advert.name, "inventory.node", f"no node {body.node} in this operator's network{hint}"
        if isinstance(body, NodeProbe) and advert.name != f"node-probes/{body.probed_node}":
            return advert.name, "name", f"does not name the node {body.probed_node}"
        if isinstance(body, ProbeResult | NodeProbe) and body.source_zone != ZoneId(self._settings.operator, zone):
            return advert.name, "probe.source_zone", f"is {body.source_zone}, but the agent is of zone {zone}"
        if isinstance(body, Fact) and advert.name.split("/")[1:2] != [FactKind(body.kind).value]:
            return advert.name, "name", f"does not name the kind {body.kind}"
        if isinstance(body, InstanceStatus) and advert.name != f"instances/{body.instance}":
            return advert.name, "name", f"does not name the instance {body.instance}"
        return None

    # --- orders ---

    def orders(self, zone: str) -> Mapping[str, DesiredInstance | ProbeTarget]:
        """Everything that the zone's agent is to do, by order name; what is not here is to be stopped."""
        orders: dict[str, DesiredInstance | ProbeTarget] = {
            f"instances/{order.instance}": order for order in self._owner.desired_instances(zone)
        }
        for target in self._probe_targets(zone):
            orders[f"probe-targets/{target.zone}"] = target
        return orders

    def _probe_targets(self, zone: str) -> Sequence[ProbeTarget]:
        me, most = ZoneId(self._settings.operator, zone), self._settings.probe_targets_max
        return [target for target in self._targets()[: most + 1] if target.zone != me][:most]

    def _targets(self) -> Sequence[ProbeTarget]:
        """Every zone that answers probes, by its id; the same for all agents, and kept until a zone changes."""
        seen = self._world.own_zones(), self._world.partner_zones()
        if self._targets_of is None or any(now is not then for now, then in zip(seen, self._targets_of, strict=True)):
            answering = (
                ProbeTarget(zone.id, zone.inventory.probe_address)
                for zone in (*seen[0], *seen[1])
                if zone.inventory.probe_address and zone.state is not ZoneState.LOST
            )
            self._targets_of, self._known_targets = seen, sorted(answering, key=lambda target: target.zone)
        return self._known_targets

    def order_acked(self, zone: str, held: Collection[str]) -> None:
        """The names of the orders that the agent holds now, or may hold because they are on their way."""
        self._owner.on_orders_held(zone, held)

    def orders_refused(self, zone: str, refusals: Refusals) -> None:
        """The agent will not carry out these orders; a claim whose instance it will not run has failed."""
        for name, field, message in refusals:
            kind, _, instance = name.partition("/")
            if kind == "instances":
                where = f" ({field})" if field else ""
                self._owner.on_order_refused(zone, instance, f"the agent refuses the order{where}: {message}")

    def orders_signal(self, zone: str) -> Signal:
        return self._order_signals.setdefault(zone, Signal())

    def notify_orders(self, zone: str) -> None:
        self.orders_signal(zone).notify()

    def notify_all_orders(self) -> None:
        """Zones may have come, gone or moved: agents hear of it if what they are to probe has changed."""
        targets = self._targets()[: self._settings.probe_targets_max + 1]
        if targets == self._told_targets:
            return
        self._told_targets = targets
        for signal in self._order_signals.values():
            signal.notify()

    # --- time ---

    def tick(self, away_ms: int = 0) -> None:
        """Finds agents that have fallen silent or are lost; this process was away itself for away_ms before."""
        now_ms = self._clock.monotonic_ms()
        for zone, session in list(self._world.sessions.items()):
            if away_ms:
                session = self._world.sessions[zone] = agent_session.excuse(session, away_ms, now_ms)
            later = agent_session.tick(session, now_ms, self._settings.quiet_after_ms, self._settings.lost_after_ms)
            if later.state is not session.state:
                self._set_after_silence(zone, session, later)

    def _set_after_silence(self, zone: str, before: AgentSession, after: AgentSession) -> None:
        if after == before:
            return
        self._world.sessions[zone] = after
        self._world.touch(zone)
        if after.state is SessionState.LOST and before.state is not SessionState.LOST:
            self._owner.on_zone_lost(zone)
            self.notify_all_orders()
        if after.state is not before.state:
            self._zone_changed(zone)

    def _zone_changed(self, zone: str) -> None:
        self._owner.changed.notify()
        self.on_zone_changed(ZoneId(self._settings.operator, zone))
