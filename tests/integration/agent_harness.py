"""What the agent's integration tests share: certificates, a fake operator, an agent process, a client."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import http.client
import ipaddress
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hansa_agent.artefacts import artefact_digest
from hansa_agent.instance_store import InstanceStore
from hansa_agent.processes import lives

from hansa.delta import DeltaReceiver, DeltaSender, etag_of
from hansa.v1 import agent_service_pb2 as pb
from hansa.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server
from hansa.v1.common_pb2 import ArtefactRef, Capacity
from hansa.v1.instance_pb2 import INSTANCE_STATE_READY, DesiredInstance, InstanceStatus

SCRIPT = Path(__file__).with_name("agent_artefact.py")
DIGEST = artefact_digest([SCRIPT])
ZONE = "nordfjell/osl-1"
CALLER = "spiffe://nordfjell/app/shop"
WAIT_S = 30.0


class Certificates:
    """A certificate authority and what it issued, as PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"CA {folder.name}")])
        builder = self._builder(self._name, self._key.public_key())
        certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))

    def issue(self, name: str, *uris: str) -> tuple[Path, Path]:
        """A certificate for localhost, 127.0.0.1 and ``uris``; certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            *(x509.UniformResourceIdentifier(uri) for uri in uris),
        ]
        builder = self._builder(subject, key.public_key())
        certificate = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        cert_path, key_path = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert_path.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert_path, key_path

    def _builder(self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass
class FakeOperator(AgentServiceServicer):
    """An operator that keeps its view of the agent when its server is killed, and remembers every message."""

    certificates: Certificates
    heartbeat_interval_ms: int = 200
    silent_streams: set[int] = field(default_factory=set)
    refuse_adverts: set[str] = field(default_factory=set)
    orders: dict[str, pb.Order] = field(default_factory=dict)
    adverts: dict[str, pb.Advert] = field(default_factory=dict)
    received: list[pb.SessionRequest] = field(default_factory=list)
    streams: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._receiver = DeltaReceiver()
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None
        self._tls = self.certificates.issue("operator", "spiffe://nordfjell/operator")

    async def start(self) -> None:
        self._server = grpc.aio.server()
        add_AgentServiceServicer_to_server(self, self._server)
        cert, key = self._tls
        credentials = grpc.ssl_server_credentials(
            [(key.read_bytes(), cert.read_bytes())], self.certificates.ca.read_bytes(), require_client_auth=True
        )
        self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        await self._server.start()

    async def kill(self) -> None:
        assert self._server is not None
        await self._server.stop(None)
        self._server = None

    async def order(self, *desired: DesiredInstance | pb.ProbeTarget) -> None:
        """These are from now on all orders."""
        fresh: dict[str, pb.Order] = {}
        for each in desired:
            if isinstance(each, DesiredInstance):
                name = f"instances/{each.instance}"
                fresh[name] = pb.Order(name=name, etag=etag_of(each), instance=each)
            else:
                name = f"probe-targets/{each.zone}"
                fresh[name] = pb.Order(name=name, etag=etag_of(each), probe_target=each)
        self.orders = fresh
        await self.notify()

    async def notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, predicate: Callable[[], Any]) -> Any:
        """Waits until ``predicate`` gives something true, and returns it."""
        async with asyncio.timeout(WAIT_S), self._changed:
            return await self._changed.wait_for(predicate)

    def status(self, instance: str) -> InstanceStatus | None:
        advert = self.adverts.get(f"instances/{instance}")
        return advert.instance if advert is not None else None

    def of(self, kind: str, since: int = 0) -> list[Any]:
        """Bodies of a kind among what was received."""
        return [getattr(message, kind) for message in self.received[since:] if message.WhichOneof("body") == kind]

    async def ready(self, instance: str) -> InstanceStatus:
        def is_ready() -> InstanceStatus | None:
            status = self.status(instance)
            return status if status is not None and status.state == INSTANCE_STATE_READY else None

        return await self.until(is_ready)

    async def Session(self, request_iterator: Any, context: grpc.aio.ServicerContext) -> None:
        self.streams += 1
        number = self.streams
        sender = DeltaSender()
        pump = asyncio.create_task(self._pump_orders(sender, context))
        try:
            async for message in request_iterator:
                if number in self.silent_streams:
                    continue
                await self._take(message, sender, context)
                async with self._changed:
                    self.received.append(message)
                    self._changed.notify_all()
        finally:
            pump.cancel()

    async def _take(self, message: pb.SessionRequest, sender: DeltaSender, context: grpc.aio.ServicerContext) -> None:
        body = message.WhichOneof("body")
        if body == "hello":
            sender.start({held.name: held.etag for held in message.hello.order_etags})
            etags = [pb.NamedEtag(name=name, etag=etag) for name, etag in self._receiver.held.items()]
            welcome = pb.AgentWelcome(
                advert_etags=etags,
                heartbeat_interval_ms=self.heartbeat_interval_ms,
                lost_after_ms=5_000,
                wall_clock_ms=message.hello.wall_clock_ms,
            )
            await context.write(pb.SessionResponse(welcome=welcome))
            sender.greeted = True  # type: ignore[attr-defined]
        elif body == "adverts":
            await context.write(pb.SessionResponse(advert_ack=self._take_adverts(message.adverts)))
        elif body == "order_ack":
            sender.on_ack(message.order_ack.nonce, [refusal.name for refusal in message.order_ack.refusals])
        else:
            await context.write(pb.SessionResponse(heartbeat=pb.Heartbeat(wall_clock_ms=1)))

    def _take_adverts(self, delta: pb.AdvertDelta) -> pb.DeltaAck:
        refused = [advert.name for advert in delta.updated if advert.name in self.refuse_adverts]
        taken = [advert for advert in delta.updated if advert.name not in refused]
        self._receiver.on_delta({advert.name: advert.etag for advert in taken}, delta.removed_names)
        self.adverts.update({advert.name: advert for advert in taken})
        for name in delta.removed_names:
            self.adverts.pop(name, None)
        refusals = [pb.DeltaRefusal(name=name, field="fact.value", message="not a country") for name in refused]
        return pb.DeltaAck(nonce=delta.nonce, refusals=refusals)

    async def _pump_orders(self, sender: DeltaSender, context: grpc.aio.ServicerContext) -> None:
        while True:
            async with self._changed:
                await self._changed.wait()
            if not hasattr(sender, "greeted"):
                continue
            delta = sender.next_delta({name: order.etag for name, order in self.orders.items()})
            if delta is not None:
                updated = [self.orders[name] for name in delta.updated]
                message = pb.OrderDelta(updated=updated, removed_names=delta.removed, nonce=delta.nonce)
                await context.write(pb.SessionResponse(orders=message))


def free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that are free."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(_listening(0)).getsockname()[1]
            if first + count >= 65_536:
                continue
            with contextlib.suppress(OSError):
                for port in range(first + 1, first + count):
                    stack.enter_context(_listening(port))
                return first


def _listening(port: int) -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", port))
    return sock


class World:
    """One zone in a folder: certificates, an operator, and agents that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = Certificates(folder / "operator-ca")
        self.callers = Certificates(folder / "caller-ca")
        self.operator = FakeOperator(self.certificates)
        self.state_dir = folder / "state"
        self._agents: list[asyncio.subprocess.Process] = []

    @cached_property
    def _fixed(self) -> tuple[tuple[Path, Path], tuple[Path, Path], int]:
        """Key pairs of agent and instances, and the first port: written once, as instances may just be reading them."""
        agent = self.certificates.issue("agent", f"spiffe://{ZONE}")
        return agent, self.certificates.issue("instance", f"spiffe://{ZONE}/instance"), free_ports(8)

    def config(self, **changes: Any) -> Path:
        """Writes the configuration; ``changes`` replace top-level sections."""
        (agent_cert, agent_key), (instance_cert, instance_key), first = self._fixed
        content: dict[str, Any] = {
            "zone": ZONE,
            "operator": {
                "endpoints": [f"localhost:{self.operator.port}"],
                "tls": {"ca": str(self.certificates.ca), "cert": str(agent_cert), "key": str(agent_key)},
            },
            "state_dir": "state",
            "inventory": {
                "node": "oslo",
                "title": "Oslo",
                "capacity": {"cpu_millis": 8_000, "memory_mib": 8_192},
                "pools": [{"model": "L4", "memory_mib": 24_576, "count": 2}],
                "price_millieur_per_hour": 900,
            },
            "facts": [fact("SITE_COUNTRY", "NO"), fact("HEADQUARTERS_COUNTRY", "NO")],
            "artefacts": [self.artefact()],
            "instance": {
                "port_range": {"first": first, "last": first + 7},
                "tls": {"cert": str(instance_cert), "key": str(instance_key)},
                "stop_grace_s": 1.0,
                "restart": {"backoff_ms_min": 50, "quick_failures_max": 3},
            },
        }
        content.update(changes)
        path = self.folder / "agent.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    def artefact(self, name: str = "echo", mode: str = "") -> dict[str, Any]:
        environment = {"env": {"TEST_MODE": mode}} if mode else {}
        return {"name": name, "files": [str(SCRIPT)], "command": [sys.executable, "-I", str(SCRIPT)], **environment}

    def desired(self, instance: str = "c1-0", **changes: Any) -> DesiredInstance:
        content: dict[str, Any] = {
            "instance": instance,
            "claim": instance.rpartition("-")[0],
            "workload": "workloads/shop",
            "artefact": ArtefactRef(name="echo", digest=DIGEST),
            "limits": Capacity(cpu_millis=500, memory_mib=256),
            "fencing_token": 7,
            "client_ca_pem": self.callers.ca.read_bytes(),
            "client_ids": [CALLER],
        }
        return DesiredInstance(**(content | changes))

    async def spawn(self, config: Path, *options: str) -> asyncio.subprocess.Process:
        with (self.folder / "agent.log").open("ab") as log:
            agent = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hansa_agent.main", "serve", "--config", str(config), *options, stderr=log
            )
        self._agents.append(agent)
        return agent

    async def command(self, *words: str) -> int:
        """Runs another command of the agent's to its end; its exit status."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hansa_agent.main", *words, stdout=asyncio.subprocess.DEVNULL
        )
        return await process.wait()

    def log(self) -> list[dict[str, Any]]:
        *whole, _ = (self.folder / "agent.log").read_text().split("\n")  # the last line may still be written
        return [json.loads(line) for line in whole if line.startswith("{")]

    def record(self, instance: str = "c1-0") -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.state_dir / "instances" / instance / "instance.json").read_bytes())
        return content

    async def call(self, status: InstanceStatus, path: str) -> Any:
        """Asks an instance, as the app team's gateway would."""
        return await asyncio.to_thread(self._call, status.endpoint_url, path)

    def _call(self, url: str, path: str) -> Any:
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        context.load_cert_chain(*self.callers.issue("caller", CALLER))
        host, port = url.removeprefix("https://").split(":")
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())

    async def clean_up(self) -> None:
        for agent in self._agents:
            if agent.returncode is None:
                agent.kill()
                await agent.wait()
        store = InstanceStore(self.state_dir)
        recorded = [record.process for record in store.records.values()]
        for mark in [*recorded, *(store.written_mark(name) for name in (*store.records, *store.strays()))]:
            if lives(mark):
                os.killpg(mark.pid, signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            await self.operator.kill()


def fact(kind: str, value: str) -> dict[str, Any]:
    evidence = {
        "issuer": "Nordfjell AS",
        "scheme": "operator-declaration",
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2036-01-01T00:00:00Z",
    }
    return {"kind": kind, "value": value, "evidence": evidence}


@contextlib.asynccontextmanager
async def zone_world(folder: Path) -> AsyncIterator[World]:
    """A world whose operator listens."""
    world = World(folder)
    await world.operator.start()
    try:
        yield world
    finally:
        await world.clean_up()


def alive(pid: int) -> bool:
    """Whether a process lives; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def gone(pid: int) -> None:
    """Waits for the end of any process."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(WAIT_S):
            await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
