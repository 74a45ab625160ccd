"""Numbers for Prometheus, on an HTTP port of their own that belongs on the loopback interface."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LATENCY_BUCKETS_US = tuple(round(bound * 1_000_000) for bound in LATENCY_BUCKETS_S)

REQUEST_BYTES_MAX = 8 * 1024
REQUEST_TIMEOUT_S = 5.0

_STATE_GAUGES: Mapping[str, str] = {
    "zones": "Own zones by state",
    "workloads": "Workloads by state",
    "claims": "Claims on own zones by state",
    "federations": "Federations by state",
}
_BY_PARTNER: Mapping[str, tuple[str, str, tuple[str, ...], bool]] = {
    "circuit_open": ("hansa_partner_circuit_open", "1 while a partner counts as not answering", (), False),
    "circuit_opened": ("hansa_partner_circuit_opened", "How often a partner's circuit has opened", (), True),
    "circuit_spared": ("hansa_partner_calls_spared", "Calls not sent while a circuit was open", (), True),
    "limited": ("hansa_partner_calls_limited", "Calls of a partner refused for their rate", (), True),
    "offers_refused": ("hansa_partner_offers_refused", "Offers that were not taken, and by whom", ("side",), True),
    "broken": ("hansa_partner_promises_broken", "Promises that a partner did not keep", ("breach",), True),
    "held": ("hansa_partner_held_against_milli", "What is left against a partner; 1000: a false grant", (), False),
}
"""Numbers named "kind|partner" or "kind|partner|label": name, text, labels after the partner, whether it only grows."""

_GAUGES: Mapping[str, str] = {"mqtt_streams": "Agents whose session goes over MQTT"}
_TOTALS: Mapping[str, str] = {
    "decisions": "Decisions made",
    "adverts": "Adverts taken over",
    "defects": "Defects met and contained; the log has each",
    "mqtt_passed_over": "MQTT frames passed over: doubled, late, strange or unreadable",
    "telemetry_records": "Telemetry records kept",
    "telemetry_doubled": "Telemetry records that came again and were passed over",
    "telemetry_lost": "Telemetry records that zones lost before they could be sent",
    "telemetry_refused": "Telemetry records and batches refused",
    "telemetry_deferred": "Telemetry batches put off for their rate; they are sent again",
}


class CallCounts:
    """Calls and streams of one method that ended, by gRPC code, and how long calls took that were answered.

    Plain numbers, as all of it happens on the event loop: the library's own, made for threads, take more of a call that
    is answered from memory than finding the answer does.
    """

    __slots__ = ("by_bucket", "by_code", "sum_us")

    def __init__(self) -> None:
        self.by_code: dict[str, int] = {}
        self.by_bucket = [0] * (len(_LATENCY_BUCKETS_US) + 1)
        self.sum_us = 0

    def ended(self, code: str) -> None:
        """A call or a stream ended."""
        self.by_code[code] = self.by_code.get(code, 0) + 1

    def took(self, elapsed_us: int) -> None:
        """A call that is no stream took so many microseconds."""
        self.by_bucket[bisect_left(_LATENCY_BUCKETS_US, elapsed_us)] += 1
        self.sum_us += elapsed_us

    def cumulated(self) -> list[tuple[str, int]]:
        """Calls by the upper bound of their time in seconds, as Prometheus has them."""
        bounds = [*map(str, LATENCY_BUCKETS_S), "+Inf"]
        return list(zip(bounds, accumulate(self.by_bucket), strict=True))


class Metrics:
    """What this process counts itself, and what it reads from the application when asked."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls: dict[str, CallCounts] = {}
        self.registry.register(_Calls(self._calls))
        self._server: asyncio.Server | None = None

    def calls_of(self, method: str) -> CallCounts:
        """Where calls of "service/method" are counted."""
        return self._calls.setdefault(method, CallCounts())

    def read_from(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Adds the application's numbers, named "gauge|STATE" or by the name of a total."""
        self.registry.register(_Counts(counts))

    async def serve(self, host: str, port: int) -> int:
        """Serves ``/metrics``; returns the port, which matters when 0 was asked for. OSError if it is taken.

        On the event loop, not on a thread, so that the application's records do not change while they are counted.
        """
        self._server = await asyncio.start_server(self._answer, host, port, limit=REQUEST_BYTES_MAX)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def _response(self, head: bytes) -> bytes:
        request = head.split(b"\r\n", 1)[0].split(b" ")
        known = len(request) == 3 and request[0] == b"GET" and request[1].split(b"?")[0] == b"/metrics"
        status, kind = (b"200 OK", CONTENT_TYPE_LATEST) if known else (b"404 Not Found", "text/plain")
        body = generate_latest(self.registry) if known else b"only GET /metrics is here\n"
        fields = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return b"HTTP/1.1 " + status + b"\r\n" + fields.encode() + body


class _Calls:
    """A collector of what ``CallCounts`` count, by method."""

    def __init__(self, calls: Mapping[str, CallCounts]) -> None:
        self._calls = calls

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        ended = CounterMetricFamily("hansa_rpc", "Calls by method and gRPC code", labels=["method", "code"])
        text = "Time in the server by method, streams excluded"
        took = HistogramMetricFamily("hansa_rpc_duration_seconds", text, labels=["method"])
        for method, counts in sorted(self._calls.items()):
            for code, count in sorted(counts.by_code.items()):
                ended.add_metric([method, code], count)
            if any(counts.by_bucket):
                took.add_metric([method], counts.cumulated(), counts.sum_us / 1_000_000)
        return ended, took


class _Counts:
    """A collector that asks the application at each scrape."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        counts = self._counts()
        for name, text in _STATE_GAUGES.items():
            gauge = GaugeMetricFamily(f"hansa_{name}", text, labels=["state"])
            for key, value in sorted(counts.items()):
                kind, bar, state = key.partition("|")
                if bar and kind == name:
                    gauge.add_metric([state.lower()], value)
            yield gauge
        yield from (_by_partner(kind, counts) for kind in _BY_PARTNER)
        for name, text in _GAUGES.items():
            if name in counts:
                yield GaugeMetricFamily(f"hansa_{name}", text, value=counts[name])
        for name, text in _TOTALS.items():
            if name in counts:
                yield CounterMetricFamily(f"hansa_{name}", text, value=counts[name])


def _by_partner(kind: str, counts: Mapping[str, int]) -> Metric:
    name, text, more, grows = _BY_PARTNER[kind]
    family = (CounterMetricFamily if grows else GaugeMetricFamily)(name, text, labels=["partner", *more])
    for key, value in sorted(counts.items()):
        first, *labels = key.split("|")
        if first == kind and len(labels) == 1 + len(more):
            family.add_metric([label.lower() for label in labels], value)
    return family
