"""The composition root of a control plane, and its command line, ``hansa-control``.

Exit codes of ``serve``: 0 stopped as asked (SIGTERM, SIGINT), 1 a defect, 2 wrong usage, configuration or files,
3 the store failed or is not sound, 4 an address could not be listened on.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import structlog
import typer

from hansa.v1 import agent_service_pb2_grpc, federation_service_pb2_grpc, workload_service_pb2_grpc
from hansa_control.adapters import ca_commands
from hansa_control.adapters.agent_link import AgentLinks, LinkLimits
from hansa_control.adapters.authority import KeyPair
from hansa_control.adapters.grpc_agents import AgentServicer
from hansa_control.adapters.grpc_calls import CallGuard
from hansa_control.adapters.grpc_partners import FederationServicer
from hansa_control.adapters.grpc_server import GrpcServer, Listener
from hansa_control.adapters.grpc_workloads import WorkloadServicer
from hansa_control.adapters.identity import PeerVerifier, TrustedDomain
from hansa_control.adapters.log_setup import set_up_logs
from hansa_control.adapters.metrics import Metrics
from hansa_control.adapters.network_file import read_network_file
from hansa_control.adapters.partner_link import Home, Partner, PartnerLink
from hansa_control.adapters.store_sqlite import SqliteStore
from hansa_control.adapters.system import SystemClock, SystemIds
from hansa_control.application.control_plane import ControlPlane, Surroundings
from hansa_control.application.ports import Store, StoreFailed
from hansa_control.application.settings import Settings
from hansa_control.config import Config, read_config

EXIT_DEFECT, EXIT_USAGE, EXIT_STORE, EXIT_ADDRESS = 1, 2, 3, 4

log = structlog.get_logger(__name__)


class AddressTaken(Exception):
    """A server cannot listen where it should."""


class Credentials:
    """The files that the configuration names, read and checked. OSError or ValueError if they do not do."""

    def __init__(self, config: Config) -> None:
        self.certificate = KeyPair(config.tls.cert.read_bytes(), config.tls.key.read_bytes())
        self.ca_pem = config.tls.ca.read_bytes()
        self.own = PeerVerifier([TrustedDomain(config.operator, config.trust_domain, self.ca_pem)])
        self.partner_ca_pems = {partner.operator: partner.ca.read_bytes() for partner in config.partners}
        self.partners = PeerVerifier(
            TrustedDomain(partner.operator, partner.trust_domain, self.partner_ca_pems[partner.operator])
            for partner in config.partners
        )
        self.identity = self.own.identity_of(self.certificate.cert_pem)

    @property
    def partner_bundle_pem(self) -> bytes:
        """Every partner's authority; without partners the own one, whose certificates are then refused by name."""
        return b"\n".join(self.partner_ca_pems.values()) or self.ca_pem


class ControlPlaneProcess:
    """One operator's control plane with everything around it. Made from a configuration, run once."""

    def __init__(self, config: Config, credentials: Credentials, store: Store) -> None:
        self._config = config
        self._credentials = credentials
        self._clock = SystemClock()
        self._ids = SystemIds()
        self._metrics = Metrics()
        self._links = {partner.operator: partner for partner in ()}
        self.partner_links = self._partner_links()
        surroundings = Surroundings(store, self._clock, self._ids, self.partner_links)
        self.application = ControlPlane(settings_of(config, credentials), read_network_file(config.network), surroundings)
        for link in self.partner_links.values():
            link.bind(self.application.partners)
        self._guard = CallGuard(self._metrics, self._clock, self._ids, lambda failure: None)
        self._servers = [self._server(listener) for listener in self._listeners()]
        self.ports: dict[str, int] = {}
