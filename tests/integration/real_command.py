"""What the tests of the command line against a real control plane share: its zones, a workload, an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from operator_thread import L4, L40S, ZoneByHand

DIGEST = "sha256:" + "a" * 64
ZONES = (
    ZoneByHand("oslo-1", "oslo", L40S, probes="bergen-1"),
    ZoneByHand("oslo-2", "oslo", L40S, parent="US", price_millieur_per_hour=400),
    ZoneByHand("bergen-1", "bergen", L4, price_millieur_per_hour=200),
)
FORMATS = ("table", "wide", "json", "yaml")
SPEC = """\
kind: Workload
name: {name}
artefact: {{name: ocr-server, digest: {digest}}}
accelerators: {{any_of: [L40S], count: 1, memory_gib_min: 40}}
resources: {{cpu: 100m, memory: 64MiB}}
replicas: 1
users:
  - {{access_point: bergen, requests_per_s: 5}}
latency: {{percentile: 95, rtt_ms_max: 40}}
residency:
  data: ['NO']
  control: ['NO']
  transit: ['NO']
  on_change: drain
"""


class Result:
    """What a command wrote and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def data(self) -> Any:
        return json.loads(self.out)


Hansa = Callable[..., Result]
Write = Callable[..., Path]
