"""The composition root of a control plane, and its command line, ``hansa-control``.

Exit codes of ``serve``: 0 stopped as asked (SIGTERM, SIGINT), 1 a defect, 2 wrong usage, configuration or files,
3 the store failed or is not sound, 4 an address could not be listened on.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from hansa.errors import HansaError, said
from hansa.mqtt_client import BrokerTls, MqttMissing, check_installed
from hansa_control.adapters import ca_commands, mqtt_commands
from hansa_control.adapters.agent_link import AgentLinks, LinkLimits
from hansa_control.adapters.agreement_source import AgreementFiles, agreements_of, tell_agreement
from hansa_control.adapters.authority import KeyPair, Role, check_authority, check_pair
from hansa_control.adapters.circuit import CircuitLimits
from hansa_control.adapters.grpc_agents import AgentServicer
from hansa_control.adapters.grpc_calls import CallGuard
from hansa_control.adapters.grpc_listeners import ApiServicers, agents_listener, api_listener, partners_listener
from hansa_control.adapters.grpc_partners import FederationServicer
from hansa_control.adapters.grpc_partnerships import PartnerServicer
from hansa_control.adapters.grpc_server import GrpcServer, Listener, tell_health
from hansa_control.adapters.grpc_snapshots import SnapshotServicer
from hansa_control.adapters.grpc_usage import UsageServicer, tell_objection, tell_price_objection
from hansa_control.adapters.grpc_workloads import WorkloadServicer
from hansa_control.adapters.grpc_zones import ZoneServicer
from hansa_control.adapters.identity import PeerVerifier, TrustedDomain
from hansa_control.adapters.law_source import LawFiles
from hansa_control.adapters.legal_facts import legal_facts_of
from hansa_control.adapters.log_setup import set_up_logs
from hansa_control.adapters.metrics import Metrics
from hansa_control.adapters.network_file import read_network_file
from hansa_control.adapters.offers_follower import tell_stray_given_back, tell_strays
from hansa_control.adapters.partner_link import Home, Partner, PartnerLink
from hansa_control.adapters.rates import PartnerRates
from hansa_control.adapters.seals import CertificateSeals
from hansa_control.adapters.stores import check_store, new_store
from hansa_control.adapters.system import SystemClock, SystemIds, ThreadWorker, calm_collector, rest_collector
from hansa_control.adapters.task_scope import first_to_end
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import RefusalError, Store, StoreFailed
from hansa_control.application.settings import Settings
from hansa_control.config import Config, read_config
from hansa_control.domain.model import NetworkNode
from hansa_control.domain.origin import JOINT

if TYPE_CHECKING:
    from hansa_control.adapters.mqtt_link import MqttLink

STATE_FILE = "state.db"
DAY_MS = 86_400_000
EXIT_DEFECT, EXIT_USAGE, EXIT_STORE, EXIT_ADDRESS = 1, 2, 3, 4

log = structlog.get_logger(__name__)


class AddressTaken(Exception):
    """A server cannot listen where it should."""


class Credentials:
    """The files that the configuration names, read and checked; OSError, ValueError or RefusalError if they do not do.

    ``own`` believes the operator's own authority, ``partners`` those of the partners, each in its own trust domain.
    """

    def __init__(self, config: Config) -> None:
        self.certificate = KeyPair(config.tls.cert.read_bytes(), config.tls.key.read_bytes())
        self.ca_pem = config.tls.ca.read_bytes()
        self.own = PeerVerifier([TrustedDomain(config.operator, config.trust_domain, self.ca_pem)])
        identity = self.own.identity_of(self.certificate.cert_pem)
        if identity.role is not Role.CONTROL_PLANE:
            raise ValueError(f"{config.tls.cert}: {identity.spiffe_id} is not the identity of a control plane")
        check_pair(self.certificate, SystemClock().wall_ms(), str(config.tls.cert))
        self.partner_ca_pems = {partner.operator: partner.ca.read_bytes() for partner in config.partners}
        self.partners = PeerVerifier(
            TrustedDomain(partner.operator, partner.trust_domain, self.partner_ca_pems[partner.operator])
            for partner in config.partners
        )

        others = (*config.partners, *config.known_operators)
        self.authority_pems = {other.operator: other.ca.read_bytes() for other in others}
        # Whoever is merely known is believed what he signed, and may not call.
        signers = PeerVerifier(
            TrustedDomain(other.operator, other.trust_domain, self.authority_pems[other.operator]) for other in others
        )
        self.seals = CertificateSeals(self.certificate, signers)

    @property
    def partner_bundle_pem(self) -> bytes:
        """Every partner's authority; without partners the own one, whose certificates are refused by name."""
        return b"\n".join(self.partner_ca_pems.values()) or self.ca_pem


class _Defects:
    """Defects that were met and contained: each is told with where it was met, and all are counted."""

    def __init__(self) -> None:
        self.count = 0

    def tell(self, defect: Exception, **where: str) -> None:
        self.count += 1
        log.error("defect", **where, exc_info=defect)


def _load_for_deciding() -> None:
    """What the first decision would load, a third of a second in which nobody would be answered."""
    for name in ("scipy.sparse.csgraph", "scipy.special"):
        import_module(name)


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


class ControlPlaneProcess:
    """One operator's control plane with everything around it: made from a configuration, run once."""

    def __init__(self, config: Config, credentials: Credentials, store: Store) -> None:
        self._config = config
        self._credentials = credentials
        self._clock = SystemClock()
        self._ids = SystemIds()
        self._metrics = Metrics()
        self._guard = CallGuard(self._metrics, self._clock, self._ids)
        self._guard.trouble = lambda: store.trouble
        self.links = self._partner_links()
        laws = LawFiles(config.law, self._clock.wall_ms())
        network = read_network_file(config.network)
        agreements = _agreements(config, credentials, network[0])
        self.application = ControlPlane(
            settings_of(config, credentials),
            network,
            Surroundings(
                store,
                self._clock,
                self._ids,
                self.links,
                laws,
                ThreadWorker(),
                self.links,
                agreements,
                credentials.seals,
            ),
        )
        self.application.agreements.on_event = tell_agreement
        self._defects = tell = _Defects()
        self.application.reconciler.on_defect = lambda workload, defect: tell.tell(defect, workload=workload)
        self.application.relays.on_defect = lambda claim, defect: tell.tell(defect, duty="relays", claim=claim)
        self.application.strays.on_defect = lambda owner, defect: tell.tell(defect, duty="strays", owner=owner)
        self.application.agreements.on_defect = lambda defect: tell.tell(defect, duty="virtual links")
        self.application.settlement.on_objection = tell_objection
        self.application.settlement.on_price_objection = tell_price_objection
        self.application.strays.on_seen = tell_strays
        self.application.strays.on_given_back = tell_stray_given_back
        self.application.reconciler.turn = self._guard.precedence.turn
        for link in self.links.values():
            link.bind(self.application.partners)
            link.on_defect = lambda owner, defect: tell.tell(defect, duty="offers", owner=owner)
        limits = config.limits
        rates = PartnerRates(self._clock, limits.partner_calls_per_s, limits.partner_calls_burst)
        self._federation = FederationServicer(self.application, credentials.partners, self._clock, rates)
        self._agent_links = self._new_agent_links()
        self._mqtt: MqttLink | None = None
        self._servers = [
            GrpcServer(listener, credentials.certificate, self._guard, config.limits.concurrent_calls_max)
            for listener in self._listeners()
        ]
        self.ready = asyncio.Event()
        self.ports: Mapping[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until ``stop`` is set, then drains; ``ports`` are known once ``ready`` is. StoreFailed, AddressTaken."""
        try:
            await self._start(stop)
            if stop.is_set():
                return
            self.ports = await self._listen()
            self.ready.set()
            log.info("ready", ports=self.ports)
            warn_of_names(self.application.settings)
            tell = tell_health(self._servers, self._guard.trouble, self._clock, self._config.timings.tick_ms)
            work = [tell, *(link.run() for link in self.links.values())]
            self._mqtt = self._new_mqtt_link()
            if self._mqtt is not None:
                work.append(self._mqtt.run())
            await first_to_end(self._pass_time(), self._until(stop), *work)
        finally:
            await self._shut_down()

    async def _start(self, stop: asyncio.Event) -> None:
        rest_collector()
        try:
            await first_to_end(self.application.start(), _wait(stop))
        finally:
            calm_collector()

    async def _listen(self) -> dict[str, int]:
        host, _, port = self._config.listen.metrics.rpartition(":")
        try:
            for server in self._servers:
                await server.start()
            self._metrics.read_from(self._counts)
            metrics_port = await self._metrics.serve(host.strip("[]"), int(port))
        except (OSError, RuntimeError) as error:
            raise AddressTaken(str(error)) from error
        return {**{server.listener.name: server.port for server in self._servers}, "metrics": metrics_port}

    async def _pass_time(self) -> None:
        await asyncio.to_thread(_load_for_deciding)
        try:
            await self.application.run()
        except ExceptionGroup as group:
            # Not "except*": Python 3.11.2, which Debian 12 has, would put what is raised there into another group.
            failures = group.subgroup(StoreFailed)
            if failures is None:
                raise
            raise _first_of(failures) from None

    async def _until(self, stop: asyncio.Event) -> None:
        await stop.wait()
        log.info("stopping", drain_ms=self._config.timings.drain_ms)
        for server in self._servers:
            await server.drain()
        self._guard.end_streams()
        grace_s = self._config.timings.drain_ms / 1000
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))

    async def _shut_down(self) -> None:
        """After draining there is nothing left to wait for; after a failure nothing is waited for."""
        await asyncio.gather(*(server.stop(0) for server in self._servers))
        for link in self.links.values():
            await link.close()
        await self._metrics.stop()
        await self.application.stop()
        log.info("stopped")

    def _counts(self) -> Mapping[str, int]:
        """Every number for metrics, named as ``adapters.metrics`` has them."""
        told = {**self.application.queries.counts(), "adverts": self.application.agents.advert_count}
        told["defects"] = self._defects.count
        told.update(self.application.promises.counts())
        told.update(self._federation.counts())
        for link in (*self.links.values(), *((self._mqtt,) if self._mqtt is not None else ())):
            told.update(link.counts())
        return told

    # --- parts ---

    def _partner_links(self) -> dict[str, PartnerLink]:
        home = Home(self._config.operator, self._credentials.certificate)
        return {
            one.operator: PartnerLink(
                Partner(one.operator, one.trust_domain, one.endpoint, self._credentials.partner_ca_pems[one.operator]),
                home,
                self._clock,
                self._ids,
                CircuitLimits(self._config.limits.circuit_failures_max, self._config.limits.circuit_pause_ms),
            )
            for one in self._config.partners
        }

    def _listeners(self) -> Sequence[Listener]:
        listen, own_ca_pem = self._config.listen, self._credentials.ca_pem
        own = self._credentials.own
        return (
            api_listener(
                listen.api,
                own_ca_pem,
                ApiServicers(
                    WorkloadServicer(self.application, own),
                    UsageServicer(self.application, own, self._clock),
                    PartnerServicer(self.application, own),
                    ZoneServicer(self.application, own),
                    SnapshotServicer(self.application, own),
                ),
            ),
            agents_listener(listen.agents, own_ca_pem, AgentServicer(self._agent_links, own)),
            partners_listener(
                listen.partners,
                self._credentials.partner_bundle_pem,
                self._federation,
            ),
        )

    def _new_agent_links(self) -> AgentLinks:
        asked = self._config.limits
        limits = LinkLimits(asked.messages_per_s, asked.messages_burst, asked.facts_per_zone_max)
        return AgentLinks(self.application.agents, self.application.settings, self._clock, limits)

    def _new_mqtt_link(self) -> MqttLink | None:
        asked, tls = self._config.mqtt, self._config.tls
        if asked is None:
            return None
        from hansa_control.adapters.mqtt_serving import MqttAsked, mqtt_link

        files = BrokerTls(tls.ca, tls.cert, tls.key, asked.server_name)
        wanted = MqttAsked(asked.brokers, files, self._config.data_dir, asked.telemetry_kept_days)
        return mqtt_link(self._config.operator, wanted, self._agent_links, (self._clock, self._ids))


def settings_of(config: Config, credentials: Credentials) -> Settings:
    """What the application needs of the configuration."""
    timings = config.timings
    return Settings(
        operator=config.operator,
        places_checked=config.places_checked,
        endpoint_ca_pem=credentials.ca_pem,
        client_ca_pem=credentials.ca_pem,
        partners=frozenset(partner.operator for partner in config.partners),
        known_operators=frozenset(known.operator for known in config.known_operators),
        authority_pems=tuple(sorted(credentials.authority_pems.items())),
        legal_facts=legal_facts_of(config.legal_facts),
        heartbeat_interval_ms=timings.heartbeat_interval_ms,
        quiet_after_ms=timings.quiet_after_ms,
        lost_after_ms=timings.lost_after_ms,
        hold_lease_ms=timings.hold_lease_ms,
        offer_ttl_ms=timings.offer_ttl_ms,
        clock_skew_ms_max=timings.clock_skew_ms_max,
        tick_ms=timings.tick_ms,
        usage_kept_ms=config.usage_kept_days * DAY_MS,
        choices_tried_max=config.placing.choices_tried_max,
        placing_deadline_ms=config.placing.deadline_ms,
        promise_half_life_ms=config.placing.promise_half_life_ms,
        linger_ms=timings.linger_ms,
        stray_after_ms=timings.stray_after_ms,
        start_within_ms=timings.start_within_ms,
    )


def _first_of(group: ExceptionGroup[StoreFailed]) -> StoreFailed:
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first


# --- command line ---------------------------------------------------------------------------------------------------

app = typer.Typer(no_args_is_help=True, help="An operator's control plane.")
app.add_typer(ca_commands.app, name="ca")
app.add_typer(mqtt_commands.app, name="mqtt")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration, a YAML file.")]


def warn_of_names(settings: Settings) -> None:
    """Says whose zones nobody offers on, for what their operator is called; see ``domain.origin.alias_of``."""
    for operator in sorted({settings.operator} | settings.partners | settings.known_operators):
        if JOINT in operator:
            why = f"its name has {JOINT} in it, so that a zone that is offered on could be of another operator"
            log.warning("zones_not_offered_on", operator=operator, reason=why)


@app.command("check-config")
def check_config(config: ConfigOption) -> None:
    """Read the configuration and every file that it names; exit 2 if anything is wrong."""
    checked, _ = _read(config)
    nodes, links = read_network_file(checked.network)
    typer.echo(f"{checked.operator}: {len(checked.partners)} partners, {len(nodes)} nodes, {len(links)} links")


@app.command()
def serve(config: ConfigOption) -> None:
    """Run the control plane until SIGTERM or SIGINT. Logs are JSON lines on standard error.

    The line with the event "ready" carries the ports once everything listens. Exit codes: 0 stopped as asked, 1 a
    defect, 2 wrong configuration or files, 3 the store failed or is not sound, 4 an address cannot be listened on.
    """
    checked, credentials = _read(config)
    set_up_logs(checked.operator, checked.log_level, for_good=True)
    _make_data_dir(checked.data_dir)
    try:
        asyncio.run(_serve(checked, credentials))
    except StoreFailed as error:
        log.error("store_failed", error=str(error))
        raise typer.Exit(EXIT_STORE) from error
    except AddressTaken as error:
        log.error("address_taken", error=str(error))
        raise typer.Exit(EXIT_ADDRESS) from error
    except Exception as error:
        log.exception("defect")
        raise typer.Exit(EXIT_DEFECT) from error


async def _serve(config: Config, credentials: Credentials) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await ControlPlaneProcess(config, credentials, new_store(config.data_dir / STATE_FILE, config.store)).run(stop)


def _make_data_dir(path: Path) -> None:
    """The folder of the store, or exit 2 with one line that says why it cannot be made."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        typer.echo(f"error: data_dir: {path}: {error.strerror}", err=True)
        raise typer.Exit(EXIT_USAGE) from error


def _agreements(config: Config, credentials: Credentials, nodes: Sequence[NetworkNode]) -> AgreementFiles | None:
    names = [node.name for node in nodes]
    return agreements_of(config.agreements, credentials.partner_ca_pems, SystemClock().wall_ms(), names)


def _read(path: Path) -> tuple[Config, Credentials]:
    """The configuration with its files, or exit 2 with one line that says what is wrong."""
    try:
        config = read_config(path)
        credentials = Credentials(config)
        for partner in config.partners:
            check_authority(credentials.partner_ca_pems[partner.operator], partner.trust_domain, str(partner.ca))
        for known in config.known_operators:
            check_authority(known.ca.read_bytes(), known.trust_domain, str(known.ca))
        legal_facts_of(config.legal_facts)
        nodes, _ = read_network_file(config.network)
        LawFiles(config.law, SystemClock().wall_ms())
        _agreements(config, credentials, nodes)
        check_store(config.store)
        if config.mqtt is not None:
            check_installed()
    except (OSError, ValueError, RefusalError, HansaError, MqttMissing) as error:
        typer.echo(f"error: {said(error) if isinstance(error, OSError) else error}", err=True)
        raise typer.Exit(EXIT_USAGE) from error
    return config, credentials


def main() -> None:
    """Entry point of ``hansa-control``."""
    app()
