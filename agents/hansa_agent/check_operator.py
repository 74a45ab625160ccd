"""Looks at the way to the operator: name, address, TLS, and whether it would take this agent. Nothing is joined."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass
from typing import NamedTuple

from hansa.v1.agent_service_pb2 import AgentHello, SessionRequest
from hansa_agent.check import Finding, ok, problem, unknown, warning
from hansa_agent.check_certificate import check_authority, check_pair, uris_of
from hansa_agent.config import LoadedConfig
from hansa_agent.ports import Clock, UplinkLost
from hansa_agent.session import Identity
from hansa_agent.uplinks import uplink_of

REACH_S = 5.0
SKEW_WARN_MS = 2_000
LONG_AGO_MS = 1
_OFF = re.compile(r"clock is ([0-9]{1,12}) s off")


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks: the configuration, the clock, and a name for the one stream that is opened."""

    loaded: LoadedConfig
    clock: Clock
    boot_id: str


async def check_identity(loaded: LoadedConfig, now_ms: int) -> list[Finding]:
    """The agent's certificate and the operator's authority, on disk."""
    tls = loaded.config.operator.tls
    found, certificate = check_pair("certificate", loaded.base / tls.cert, loaded.base / tls.key, now_ms)
    told, authorities = check_authority("authority", loaded.base / tls.ca, now_ms)
    found += told
    if certificate is None:
        return found
    name = loaded.config.zone.partition("/")[2]
    named = [uri for uri in uris_of(certificate) if uri.startswith("spiffe://")]
    fits = any(uri.endswith(f"/agent/{name}") for uri in named)
    who = ", ".join(named) or "nobody"
    if fits:
        found.append(ok("identity", f"{who} is the agent of {loaded.config.zone}"))
    else:
        remedy = f"zone must be what the certificate says: spiffe://<trust domain of the operator>/agent/{name}"
        found.append(problem("identity", f"the certificate is for {who}, the zone is {loaded.config.zone}", remedy))
    if authorities and certificate.issuer not in [each.subject for each in authorities]:
        message = "operator.tls.ca did not issue the agent's certificate"
        found.append(unknown("authority", message, "right where the operator uses two authorities, else wrong"))
    return found


async def check_endpoints(asking: Asking) -> list[Finding]:
    """Each endpoint: its name, a connection, TLS; and of the first that stands what it says to this agent."""
    found: list[Finding] = []
    asked = False
    for way in _ways(asking.loaded):
        told, stands = await _reach(asking.loaded, way)
        found += told
        if stands and way.is_for_session and not asked:
            asked, endpoint = True, way.endpoint
            found += await _ask(asking, endpoint)
    if not asked:
        found.append(unknown("clock", "not compared with the operator's: it is not reached"))
    return found


class _Way(NamedTuple):
    """An address, the name expected there, and whether the session goes there or telemetry alone."""

    endpoint: str
    server_name: str
    is_for_session: bool = True


def _ways(loaded: LoadedConfig) -> list[_Way]:
    operator = loaded.config.operator
    ways = [_Way(endpoint, operator.server_name) for endpoint in operator.endpoints]
    if operator.mqtt is not None:
        ways += [_Way(one, operator.mqtt.server_name, operator.mqtt.session) for one in operator.mqtt.brokers]
    return ways


async def _reach(loaded: LoadedConfig, way: _Way) -> tuple[list[Finding], bool]:
    host, _, port = way.endpoint.rpartition(":")
    host, subject = host.strip("[]"), f"operator {way.endpoint}"
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        return [problem(subject, f"{host} has no address: {error.strerror}", "ask whoever runs the name server")], False
    try:
        context = _context(loaded)
    except (OSError, ssl.SSLError) as error:
        return [unknown(subject, f"not asked, because the certificates cannot be used: {error}")], False
    name = way.server_name or host
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name)
        writer.transport.abort()
    except ssl.SSLCertVerificationError as error:
        remedy = "compare operator.tls.ca and operator.server_name with the operator's certificate"
        return [problem(subject, f"its certificate is not trusted: {error.verify_message}", remedy)], False
    except ssl.SSLError as error:
        return [problem(subject, f"no TLS: {error.reason or error}", "is this the address for agents?")], False
    except (OSError, TimeoutError) as error:
        where = sorted({str(address[4][0]) for address in addresses})[0]
        remedy = "ask for the way to be opened: the agent dials out, TCP, and nothing needs to come in"
        return [problem(subject, f"{where} is not reached: {_why(error)}", remedy)], False
    return [ok(subject, "reached, with TLS")], True


def _context(loaded: LoadedConfig) -> ssl.SSLContext:
    tls = loaded.config.operator.tls
    context = ssl.create_default_context(cafile=str(loaded.base / tls.ca))
    context.load_cert_chain(str(loaded.base / tls.cert), str(loaded.base / tls.key))
    context.set_alpn_protocols(["h2"])
    return context


async def _ask(asking: Asking, endpoint: str) -> list[Finding]:
    """Says hello with a time of 1970. An operator refuses that clock and says how far it is off, and so what its own
    says, after it has judged certificate and zone and before it takes the agent for present.
    """
    identity = Identity(asking.loaded.config.zone, asking.boot_id)
    connection = uplink_of(asking.loaded, identity, lambda: asking.boot_id).connect(endpoint)
    hello = AgentHello(zone=asking.loaded.config.zone, boot_id=asking.boot_id, wall_clock_ms=LONG_AGO_MS)
    try:
        async with asyncio.timeout(REACH_S):
            await connection.send(SessionRequest(hello=hello))
            welcome = (await connection.receive()).welcome
        return [ok("session", "the operator would take this agent"), *_compared(asking, welcome.wall_clock_ms, 0)]
    except TimeoutError:
        return [problem("session", f"the operator says nothing for {REACH_S:.0f} s")]
    except UplinkLost as lost:
        return _judged(asking, str(lost))
    finally:
        await connection.close()


def _judged(asking: Asking, told: str) -> list[Finding]:
    off = _OFF.search(told)
    if off is None:
        return [problem("session", f"the operator refuses this agent: {told}", "ask the operator; these are its words")]
    operator_ms = int(off[1]) * 1_000 + LONG_AGO_MS
    return [ok("session", "the operator would take this agent"), *_compared(asking, operator_ms, 1_000)]


def _compared(asking: Asking, operator_ms: int, exact_to_ms: int) -> list[Finding]:
    skew_ms = asking.clock.now().wall_ms - operator_ms
    if operator_ms <= LONG_AGO_MS:
        return [unknown("clock", "the operator does not say what its clock shows")]
    beyond_ms = abs(skew_ms) - exact_to_ms
    if beyond_ms > SKEW_WARN_MS:
        way = "ahead of" if skew_ms > 0 else "behind"
        remedy = "run chrony or systemd-timesyncd; evidence cannot be judged by a wrong clock"
        return [warning("clock", f"{abs(skew_ms) / 1_000:.0f} s {way} the operator's", remedy)]
    return [ok("clock", "agrees with the operator's to within 3 s")]


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {REACH_S:.0f} s"
    return getattr(error, "strerror", "") or str(error)
