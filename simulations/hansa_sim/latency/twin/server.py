# ruff: noqa: TID251 - an artefact is told everything through its environment, and its time is the machine's
"""An inference server with a simulated accelerator: it works as long as a request says that it takes.

An agent starts it as a file, as it would any artefact, and it keeps an artefact's contract
(``hansa_agent.launch.ENVIRONMENT``): HTTPS with mutual TLS, only for the clients that the order names. ``POST /infer``
with ``{"demand_ns": 40000000}`` is answered once a simulated device has spent that long, times 1000 /
``TWIN_SPEED_PERMILLE``, on it; ``TWIN_CONCURRENCY`` requests at the same time, the others wait in the order in which
they came. Nothing computes: sockets, TLS, HTTP and queue are real, the accelerator's time passes by the clock.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import json
import os
import selectors
import signal
import ssl
import time
from pathlib import Path

from aiohttp import web

DEMAND_NS_MAX = 600_000_000_000
WAITING_MAX = 10_000
BODY_BYTES_MAX = 4_096
REALTIME_PRIORITY = 10


class Accelerator:
    """So many equal devices behind one queue; when each gets free is known when a request comes."""

    def __init__(self, concurrency: int, speed_permille: int) -> None:
        self._free_ns = [0] * concurrency
        self._speed_permille = speed_permille

    def finish_ns(self, now_ns: int, demand_ns: int) -> tuple[int, int]:
        """When a request that comes now is begun and when it is done, on the clock of ``now_ns``."""
        start_ns = max(now_ns, self._free_ns[0])
        end_ns = start_ns + demand_ns * 1_000 // self._speed_permille
        heapq.heapreplace(self._free_ns, end_ns)
        return start_ns, end_ns


class Server:
    """Answers requests with the accelerator."""

    def __init__(self, accelerator: Accelerator, client_ids: frozenset[str]) -> None:
        self._accelerator = accelerator
        self._client_ids = client_ids
        self._waiting = 0

    async def infer(self, request: web.Request) -> web.Response:
        """One request; refused where the caller, its demand or its number is not as allowed."""
        came_ns = time.monotonic_ns()
        if not self._client_ids & _identities(request):
            return web.json_response({"error": "this client is not named in the order"}, status=403)
        if (demand_ns := _demand_ns(await request.read())) is None:
            return web.json_response({"error": f"demand_ns is from 0 to {DEMAND_NS_MAX}"}, status=400)
        if self._waiting >= WAITING_MAX:
            return web.json_response({"error": "too many requests wait"}, status=503)
        start_ns, end_ns = self._accelerator.finish_ns(came_ns, demand_ns)
        self._waiting += 1
        try:
            await _until(end_ns)
        finally:
            self._waiting -= 1
        return web.json_response({"waited_ns": start_ns - came_ns, "served_ns": end_ns - start_ns})


def _demand_ns(content: bytes) -> int | None:
    """What a request demands; None where it does not say so in the form."""
    try:
        demand_ns = json.loads(content)["demand_ns"]
    except (ValueError, TypeError, KeyError):
        return None
    return demand_ns if type(demand_ns) is int and 0 <= demand_ns <= DEMAND_NS_MAX else None


def _identities(request: web.Request) -> frozenset[str]:
    shown = request.transport.get_extra_info("peercert") if request.transport else None
    return frozenset(name for kind, name in (shown or {}).get("subjectAltName", ()) if kind == "URI")


async def _until(moment_ns: int) -> None:
    """By an absolute time of the loop's clock, so that being late does not add up."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_at(moment_ns / 1e9, done.set_result, None)
    await done


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(os.environ["HANSA_TLS_CERT"], os.environ["HANSA_TLS_KEY"])
    context.load_verify_locations(cafile=os.environ["HANSA_CLIENT_CA"])
    return context


async def _serve() -> None:
    accelerator = Accelerator(int(os.environ["TWIN_CONCURRENCY"]), int(os.environ["TWIN_SPEED_PERMILLE"]))
    server = Server(accelerator, frozenset(filter(None, os.environ["HANSA_CLIENT_IDS"].split(","))))
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_post("/infer", server.infer)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=600, shutdown_timeout=2)
    await runner.setup()
    port = int(os.environ["HANSA_LISTEN_PORT"])
    await web.TCPSite(runner, os.environ["HANSA_LISTEN_HOST"], port, ssl_context=_tls(), backlog=512).start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await asyncio.to_thread(Path(os.environ["HANSA_READY_FILE"]).touch)
    gc.collect()
    gc.freeze()
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    # What else the machine does must not be in a device's time; where that is not allowed it goes without.
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
    except OSError:
        print("without real-time scheduling", flush=True)
    # select takes timeouts of microseconds where epoll takes milliseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
