"""What a workload file says of latency and of the service time, which queueing and bandwidth follow from.

    latency: {percentile: 95, rtt_ms_max: 24, response_ms_max: 120}     # percentile optional, 95; response optional
    service:                                                  # optional; without it only round trips count
      times:                                                  # or a single one without the list
        - {accelerator: L40S, mean_ms: 40, p95_ms: 55, p99_ms: 80, scv: 0.2}
        - {mean_ms: 90}                                       # for every other zone; stands last
      concurrency: 4                                          # requests that one replica serves at once; optional, 1
      request_kib: 200                                        # optional, 0: bandwidth does not count
      response_kib: 2

``scv`` is the squared coefficient of variation of the service time: 0 is deterministic, 1 exponential and the default.
``quantile_us`` has the rule for percentiles that are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from hansa.v1 import workload_pb2
from hansa.yaml_tree import YamlValue

PERCENTILES = ("50", "95", "99")
_MODEL_OR_POOL = re.compile(r"([a-z][a-z0-9.-]*/)?[A-Za-z0-9][A-Za-z0-9._ -]*(/mig-[0-9]+g\.[0-9]+gb(\+[a-z.]+)?)?")
_SERVICE_MS_MAX = 3_600_000
_NORMAL = {95: 1.6448536269514722, 99: 2.3263478740408408}
"""Quantiles of the standard normal distribution."""


def latency_of(value: YamlValue, *, has_service: bool) -> workload_pb2.LatencyBudget:
    """The budget; a bound on the whole response needs a service profile beside it."""
    parts = value.mapping(("rtt_ms_max",), ("percentile", "response_ms_max"))
    percentile = parts["percentile"].one_of(PERCENTILES) if "percentile" in parts else "95"
    budget = workload_pb2.LatencyBudget(
        percentile=int(percentile), rtt_us_max=parts["rtt_ms_max"].scaled(1000, most=60_000)
    )
    if "response_ms_max" in parts:
        if not has_service:
            raise parts["response_ms_max"].error("needs service beside latency, with how long a request takes")
        budget.response_us_max = parts["response_ms_max"].scaled(1000, most=3_600_000)
    return budget


def service_of(value: YamlValue) -> workload_pb2.ServiceProfile:
    """The service profile, with a time for each accelerator and every percentile."""
    parts = value.mapping(("times",), ("concurrency", "request_kib", "response_kib"))
    entries = list(parts["times"].items()) if parts["times"].is_list else [parts["times"]]
    if not entries:
        raise parts["times"].error("must have at least one service time")
    times: dict[str, workload_pb2.ServiceTime] = {}
    for entry in entries:
        time = _service_time(entry)
        if time.model.casefold() in times:
            raise entry.error(f"{time.model or 'every zone'} has a service time already")
        if "" in times:
            raise entry.error("stands after the time without an accelerator, which hides it; put that one last")
        times[time.model.casefold()] = time
    return workload_pb2.ServiceProfile(
        times=times.values(),
        concurrency=parts["concurrency"].integer(1, 10_000) if "concurrency" in parts else 1,
        request_bytes=_kib(parts, "request_kib"),
        response_bytes=_kib(parts, "response_kib"),
    )


def _kib(parts: Mapping[str, YamlValue], key: str) -> int:
    return parts[key].scaled(1024, least=0, most=1_073_741_824) if key in parts else 0


def _service_time(value: YamlValue) -> workload_pb2.ServiceTime:
    parts = value.mapping(("mean_ms",), ("accelerator", "p95_ms", "p99_ms", "scv"))
    mean_us = parts["mean_ms"].scaled(1000, most=_SERVICE_MS_MAX)
    scv_permille = parts["scv"].scaled(1000, least=0, most=100) if "scv" in parts else 1000
    written_p95_us = _written_us(parts, "p95_ms", ("mean_ms", mean_us))
    written_p99_us = _written_us(
        parts, "p99_ms", ("p95_ms", written_p95_us) if written_p95_us else ("mean_ms", mean_us)
    )
    p95_us = written_p95_us or quantile_us(mean_us, scv_permille, 95)
    p99_us = written_p99_us or max(p95_us, quantile_us(mean_us, scv_permille, 99))
    return workload_pb2.ServiceTime(
        model=_model(parts["accelerator"]) if "accelerator" in parts else "",
        mean_us=mean_us,
        p95_us=min(p95_us, p99_us),
        p99_us=p99_us,
        scv_permille=scv_permille,
    )


def _written_us(parts: Mapping[str, YamlValue], key: str, least: tuple[str, int]) -> int:
    """A percentile as written, which is no less than another figure; 0 if it is left out."""
    if key not in parts:
        return 0
    name, least_us = least
    figure_us = parts[key].scaled(1000, most=1000 * _SERVICE_MS_MAX)
    if figure_us < least_us:
        raise parts[key].error(f"{parts[key].text()} is less than {name}; nearest valid: {least_us / 1000:g}")
    return figure_us


def _model(value: YamlValue) -> str:
    if not _MODEL_OR_POOL.fullmatch(value.text()):
        raise value.error(f"{value.text()!r} is no accelerator, for example L40S or nvidia/H100/mig-1g.10gb")
    return value.text()


def quantile_us(mean_us: int, scv_permille: int, percentile: int) -> int:
    """A service time's 95th or 99th percentile from its mean and squared coefficient of variation; never too low.

    Deterministic (0): the mean. Exponential (1000): -ln(1 - p) times the mean. Between: the gamma distribution of this
    variation by Wilson and Hilferty (1931, PNAS 17:684), q = m (1 - c/9 + z sqrt(c/9))^3 with c the squared
    coefficient, plus 1 %, the most that it falls short there, and no more than the exponential. Above: Cantelli's
    bound, q = m (1 + sqrt(c p / (1 - p))), which holds whatever the distribution. Rounded up, microseconds.
    """
    c, p = scv_permille / 1000, percentile / 100
    exponential = -math.log(1 - p)
    if scv_permille == 0:
        factor = 1.0
    elif scv_permille < 1000:
        factor = min(1.01 * (1 - c / 9 + _NORMAL[percentile] * math.sqrt(c / 9)) ** 3, exponential)
    elif scv_permille == 1000:
        factor = exponential
    else:
        factor = 1 + math.sqrt(c * p / (1 - p))
    return max(mean_us, math.ceil(mean_us * factor))
