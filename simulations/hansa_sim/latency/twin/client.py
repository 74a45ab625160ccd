"""The users of one access point: they send requests at times that were drawn before, whatever the answers do.

Run as a program in the access point's namespace. The first line of standard input is a JSON object: ``zones``, for
each zone {``urls`` of its instances, ``ca`` in PEM}; ``cert`` and ``key``, files; ``connections`` to keep open to each
instance; ``requests``, a list of [``offset_ns``, ``demand_ns``, index of the zone]; ``timeout_s``. It opens the
connections, prints "ready", reads a second line, the moment to count offsets from (CLOCK_MONOTONIC, ns), sends every
request at its time, and prints one JSON line: of each request its latency, ns, or -1 where it failed, and how late it
was sent; and how often each failure was seen.

Latency counts from when a request was to be sent, so that whoever is late himself does not flatter the server.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import selectors
import ssl
import sys
from collections import Counter
from typing import Any

import aiohttp

from hansa_sim.latency.twin.system import monotonic_ns, take_realtime

REALTIME_PRIORITY = 5
FAILED = -1
OPENING_DEMAND_NS = 50_000_000
"""Of the requests that open connections: they work for a while, or the next would go out on the connection before."""


class Instances:
    """The instances of one zone, and how many requests of these users each has."""

    def __init__(self, urls: list[str]) -> None:
        self._open = dict.fromkeys((f"{url.rstrip('/')}/infer" for url in urls), 0)

    def take(self) -> str:
        """The one with the fewest; ties by the order in which the operator gave them."""
        url = min(self._open, key=self._open.__getitem__)
        self._open[url] += 1
        return url

    def give_back(self, url: str) -> None:
        self._open[url] -= 1

    @property
    def urls(self) -> list[str]:
        return list(self._open)


class Users:
    """Sends the requests of one access point."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._requests = [(int(at), int(demand), int(zone)) for at, demand, zone in job["requests"]]
        self._zones = [Instances(zone["urls"]) for zone in job["zones"]]
        self._timeout = aiohttp.ClientTimeout(total=float(job["timeout_s"]))
        self._connections = int(job["connections"])
        self._sessions = [_session(_tls(zone["ca"], job["cert"], job["key"])) for zone in job["zones"]]
        self._latency_ns = [FAILED] * len(self._requests)
        self._late_ns = [0] * len(self._requests)
        self._failures: Counter[str] = Counter()

    async def open(self) -> None:
        """Opens as many connections as will be wanted, so that no handshake is in a latency."""
        for session, zone in zip(self._sessions, self._zones, strict=True):
            for url in zone.urls:
                asked = (self._ask(session, url, OPENING_DEMAND_NS) for _ in range(self._connections))
                await asyncio.gather(*asked)

    async def send_all(self, begin_ns: int) -> dict[str, Any]:
        """Sends every request at its time; what came of them."""
        under_way: list[asyncio.Task[None]] = []
        for number, (offset_ns, _, _) in enumerate(self._requests):
            at_ns = begin_ns + offset_ns
            if at_ns > monotonic_ns():
                await _until(at_ns)
            under_way.append(asyncio.create_task(self._send(number, at_ns)))
        await asyncio.gather(*under_way)
        return {"latency_ns": self._latency_ns, "late_ns": self._late_ns, "failures": dict(self._failures)}

    async def _send(self, number: int, at_ns: int) -> None:
        _, demand_ns, zone = self._requests[number]
        instances = self._zones[zone]
        url = instances.take()
        self._late_ns[number] = monotonic_ns() - at_ns
        try:
            await self._ask(self._sessions[zone], url, demand_ns)
            self._latency_ns[number] = monotonic_ns() - at_ns
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._failures[f"{type(error).__name__}: {error}"[:200]] += 1
        finally:
            instances.give_back(url)

    async def _ask(self, session: aiohttp.ClientSession, url: str, demand_ns: int) -> None:
        async with session.post(url, json={"demand_ns": demand_ns}, timeout=self._timeout) as answer:
            await answer.read()
            answer.raise_for_status()

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=600))


def _tls(ca: str, cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca)
    context.load_cert_chain(cert, key)
    return context


async def _until(moment_ns: int) -> None:
    loop = asyncio.get_running_loop()
    come = loop.create_future()
    loop.call_at(moment_ns / 1e9, come.set_result, None)
    await come


async def _run(job: dict[str, Any]) -> None:
    users = Users(job)
    try:
        await users.open()
        gc.collect()
        gc.freeze()
        gc.disable()
        print("ready", flush=True)
        begin = await asyncio.to_thread(sys.stdin.readline)
        if begin:
            print(json.dumps(await users.send_all(int(begin))), flush=True)
    finally:
        await users.close()


def main() -> None:
    if not take_realtime(os.SCHED_RR, REALTIME_PRIORITY):
        print("users: without real-time scheduling", file=sys.stderr)
    job = json.loads(sys.stdin.readline())
    # select takes timeouts of microseconds where epoll takes milliseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(_run(job))


if __name__ == "__main__":
    main()
