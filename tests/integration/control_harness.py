"""Whole control planes for tests: real servers with real mutual TLS on loopback, records in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from hansa_control.adapters.authority import (
    KeyPair,
    Role,
    Subject,
    Validity,
    control_plane_host,
    issue,
    new_authority,
)
from hansa_control.adapters.store_memory import MemoryStore
from hansa_control.adapters.system import SystemClock
from hansa_control.bootstrap import ControlPlaneProcess, Credentials
from hansa_control.config import read_config

from hansa.delta import etag_of
from hansa.errors import HansaError, from_rpc_error
from hansa.v1 import agent_service_pb2 as agent_pb2
from hansa.v1 import agent_service_pb2_grpc, common_pb2, workload_pb2, zone_pb2

NOWHERE = "127.0.0.1:1"
DIGEST = "sha256:" + "a" * 64
FIRST_MESSAGE_S = 10.0


def authority_of(operator: str) -> KeyPair:
    return new_authority(operator, f"{operator}.hansa.example", Validity.of_days(SystemClock().wall_ms(), 1))


@dataclass
class Operator:
    """One operator's files, and its control plane while it runs."""

    name: str
    folder: Path
    authority: KeyPair
    partners: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    store: MemoryStore = field(default_factory=MemoryStore)
    process: ControlPlaneProcess | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] | None = None

    def certificate(self, role: Role, name: str = "") -> KeyPair:
        return issue(self.authority, Subject(role, name), Validity.of_days(SystemClock().wall_ms(), 1))

    @property
    def running(self) -> ControlPlaneProcess:
        assert self.process is not None
        return self.process

    def address(self, listener: str) -> str:
        return f"127.0.0.1:{self.running.ports[listener]}"

    def channel(self, listener: str, certificate: KeyPair, trusted: bytes | None = None) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            trusted or self.authority.cert_pem, certificate.key_pem, certificate.cert_pem
        )
        options = (
            ("grpc.ssl_target_name_override", control_plane_host(f"{self.name}.hansa.example")),
            ("grpc.max_send_message_length", 64 * 1024 * 1024),
        )
        return grpc.aio.secure_channel(self.address(listener), credentials, options=options)

    def write_config(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        own = self.certificate(Role.CONTROL_PLANE)
        files = {"ca.pem": self.authority.cert_pem, "cp.pem": own.cert_pem, "cp.key": own.key_pem}
        files |= {f"partner-{name}.pem": ca_pem for name, (_, ca_pem) in self.partners.items()}
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        (self.folder / "network.yaml").write_text(yaml.safe_dump(self.network or network_of(self.name)))
        config = {
            "operator": self.name,
            "data_dir": "state",
            "network": "network.yaml",
            "listen": dict.fromkeys(("api", "agents", "partners", "metrics"), "127.0.0.1:0"),
            "tls": {"ca": "ca.pem", "cert": "cp.pem", "key": "cp.key"},
            "partners": [
                {"operator": name, "endpoint": endpoint, "ca": f"partner-{name}.pem"}
                for name, (endpoint, _) in self.partners.items()
            ],
            **self.settings,
        }
        path = self.folder / "control-plane.yaml"
        path.write_text(yaml.safe_dump(config))
        return path


def network_of(operator: str) -> dict[str, Any]:
    """Two nodes joined by one link; the second node of nordfjord is the first of fjordby's neighbours."""
    places = {"nordfjord": ("oslo", "bergen", "NO"), "fjordby": ("stockholm", "malmo", "SE")}
    first, second, country = places[operator]
    nodes = [
        {"name": name, "country": country, "lat": 59.9, "lon": 10.7, "access_point": True} for name in (first, second)
    ]
    links = [_link(first, second, operator)]
    if operator == "nordfjord":
        links.append(_link("oslo", "stockholm", operator))
    return {"nodes": nodes, "links": links}


def _link(node_a: str, node_b: str, carrier: str) -> dict[str, Any]:
    return {
        "name": f"{node_a}--{node_b}",
        "a": node_a,
        "b": node_b,
        "length_km": 300.0,
        "countries": [],
        "carrier": carrier,
        "kind": "terrestrial",
    }


@asynccontextmanager
async def running(operator: Operator) -> AsyncIterator[Operator]:
    """The operator's control plane, listening."""
    config = read_config(operator.write_config())
    operator.process = ControlPlaneProcess(config, Credentials(config), operator.store)
    stop = asyncio.Event()
    task = asyncio.create_task(operator.process.run(stop))
    ready = asyncio.create_task(operator.process.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if task.done():
        task.result()
    try:
        yield operator
    finally:
        stop.set()
        await task


async def refusal_of(call: Any) -> HansaError:
    """The refusal with which a call ends; AssertionError if it succeeds."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        refusal = from_rpc_error(error)
        refusal.code_seen = error.code()  # type: ignore[attr-defined]
        return refusal
    raise AssertionError("the call succeeded")


# --- an agent by hand -----------------------------------------------------------------------------------------------


class AgentByHand:
    """One stream of an agent, message by message."""

    def __init__(self, operator: Operator, zone: str, certificate: KeyPair | None = None) -> None:
        self.operator = operator
        self.zone = zone
        self.channel = operator.channel("agents", certificate or operator.certificate(Role.AGENT, zone))
        self.call: Any = agent_service_pb2_grpc.AgentServiceStub(self.channel).Session()
        self.nonce = 0
        self._sending = asyncio.Lock()

    async def __aenter__(self) -> AgentByHand:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        await self.channel.close()

    async def send(self, **body: Any) -> None:
        async with self._sending:  # gRPC takes one message at a time, whichever task sends it
            await self.call.write(agent_pb2.SessionRequest(**body))

    async def read(self) -> agent_pb2.SessionResponse:
        return await asyncio.wait_for(self.call.read(), FIRST_MESSAGE_S)

    async def read_until(self, kind: str) -> Any:
        """The body of the next message of a kind; others are passed over, orders are acknowledged."""
        while True:
            message = await self.read()
            assert message is not grpc.aio.EOF, f"the stream ended before {kind}"
            if message.WhichOneof("body") == kind:
                return getattr(message, kind)
            if message.WhichOneof("body") == "orders":
                await self.send(order_ack=agent_pb2.DeltaAck(nonce=message.orders.nonce))

    async def greet(self, zone: str = "", skew_ms: int = 0, boot_id: str = "boot-1") -> agent_pb2.AgentWelcome:
        await self.hello(zone, skew_ms, boot_id)
        return await self.read_until("welcome")

    async def hello(self, zone: str = "", skew_ms: int = 0, boot_id: str = "boot-1") -> None:
        hello = agent_pb2.AgentHello(
            zone=zone or f"{self.operator.name}/{self.zone}",
            boot_id=boot_id,
            wall_clock_ms=SystemClock().wall_ms() + skew_ms,
            version="test",
        )
        await self.send(hello=hello)

    async def advertise(self, *adverts: agent_pb2.Advert, removed: tuple[str, ...] = ()) -> agent_pb2.DeltaAck:
        self.nonce += 1
        delta = agent_pb2.AdvertDelta(updated=adverts, removed_names=removed, nonce=f"n{self.nonce}")
        await self.send(adverts=delta)
        ack = await self.read_until("advert_ack")
        assert ack.nonce == delta.nonce
        return ack

    async def refusal(self) -> HansaError:
        """How the stream ends."""

        async def to_the_end() -> None:
            while await self.read() is not grpc.aio.EOF:
                pass

        return await refusal_of(to_the_end())


def advert(name: str, body: Any) -> agent_pb2.Advert:
    kind = {"inventory": "inventory", "facts": "fact", "probes": "probe", "instances": "instance"}[name.split("/")[0]]
    return agent_pb2.Advert(name=name, etag=etag_of(body), **{kind: body})


def inventory(node: str = "oslo", **changes: Any) -> zone_pb2.Inventory:
    pool = common_pb2.AcceleratorPool(vendor="nvidia", model="L40S", memory_mib=46_068, count=2)
    return zone_pb2.Inventory(
        **{
            "node": node,
            "title": "Oslo",
            "capacity": common_pb2.Capacity(
                cpu_millis=16_000,
                memory_mib=65_536,
                accelerators=[common_pb2.PoolAmount(pool="nvidia/L40S", count=2)],
            ),
            "pools": [pool],
            "artefacts": [common_pb2.ArtefactRef(name="ocr-server", digest=DIGEST)],
            "source": "file",
            **changes,
        }
    )


def fact(kind: str = "SITE_COUNTRY", value: str = "NO") -> common_pb2.Fact:
    now_ms = SystemClock().wall_ms()
    evidence = common_pb2.Evidence(
        kind=common_pb2.EVIDENCE_KIND_DECLARATION,
        issuer="nordfjord",
        scheme="operator-declaration",
        valid_from_ms=now_ms - 86_400_000,
        valid_until_ms=now_ms + 86_400_000,
        digest=DIGEST,
    )
    return common_pb2.Fact(kind=common_pb2.FactKind.Value(f"FACT_KIND_{kind}"), value=value, evidence=evidence)


def spec(**changes: Any) -> workload_pb2.WorkloadSpec:
    wire = workload_pb2.WorkloadSpec(
        artefact=common_pb2.ArtefactRef(name="ocr-server", digest=DIGEST),
        cpu_millis=1_000,
        memory_mib=1_024,
        replicas=1,
        access=[workload_pb2.AccessDemand(access_point="bergen", demand_millirps=1_000)],
        latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=100_000),
    )
    for name, value in changes.items():
        wire.ClearField(name)  # type: ignore[arg-type]
        if isinstance(value, list):
            getattr(wire, name).extend(value)
        elif isinstance(value, int):
            setattr(wire, name, value)
        elif value is not None:
            getattr(wire, name).CopyFrom(value)
    return wire
