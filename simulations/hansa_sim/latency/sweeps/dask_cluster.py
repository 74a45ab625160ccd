"""Plays points on a Dask cluster: one that runs, or one that is started here for the time of the sweep.

A point goes out with the scenario and its files, so workers need no disk in common, but the same hansa, numpy, scipy
and topohub. What comes back is the same to the last byte as on this machine. A worker that is lost is the cluster's
matter, which gives its point to another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from distributed import Client, LocalCluster, Security, as_completed

from hansa.names import hint
from hansa_sim.latency.sweeps.bundle import Bundle, code_digest
from hansa_sim.latency.sweeps.playing import Outcome, Status, Task, play
from hansa_sim.latency.sweeps.study import ClusterError

AHEAD = 4
"""Points that are handed over for each thread of the cluster: enough that none waits, few enough to be called back."""

TLS_KEYS = ("tls_ca_file", "tls_client_cert", "tls_client_key")
CONNECT_S = 20
QUIET: dict[str, Any] = {"dashboard_address": None, "silence_logs": "ERROR"}
"""What a cluster of this machine does not need: a page to watch it, and words about its ending."""


@dataclass(frozen=True, slots=True)
class DaskCluster:
    """The cluster at an address; without one, so many processes of this machine. ``tls`` is a YAML file with
    ``tls_ca_file``, ``tls_client_cert`` and ``tls_client_key``, whose paths are beside it."""

    scheduler: str = ""
    jobs: int = 1
    tls: Path | None = None

    def play(self, bundle: Bundle, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Every task's outcome, as it is done. ClusterError where there is no cluster."""
        if not tasks:
            return
        with ExitStack() as stack:
            client = stack.enter_context(self._client(stack))
            held = client.scatter(bundle, broadcast=True)
            waiting = list(reversed(tasks))
            room = AHEAD * max(1, sum(client.nthreads().values()))
            first = [_submitted(client, held, waiting.pop()) for _ in tasks[:room]]
            running = as_completed(first, loop=client.loop)
            try:
                for future in running:
                    yield _outcome(future)
                    if waiting:
                        running.add(_submitted(client, held, waiting.pop()))
            finally:
                client.cancel(list(running.futures))

    def _client(self, stack: ExitStack) -> Client:
        address: Any = self.scheduler
        if not address:
            cluster = LocalCluster(n_workers=self.jobs, threads_per_worker=1, host="127.0.0.1", **QUIET)
            address = stack.enter_context(cluster)
        security = _security(self.tls) if self.tls else None
        try:
            client = Client(address, security=security, timeout=CONNECT_S, set_as_default=False)
            client.wait_for_workers(1, timeout=CONNECT_S)
        except (OSError, ValueError, TypeError, TimeoutError) as error:
            raise ClusterError(f"--scheduler {self.scheduler}: {error}") from error
        return client


def _submitted(client: Client, held: Any, task: Task) -> Any:
    return client.submit(play, held, task, key=f"hansa-{task.number}-{task.digest}", pure=False)


def _outcome(future: Any) -> Outcome:
    """What came of a point; what the cluster itself could not do is said of it."""
    error = future.exception()
    if error is None:
        found: Outcome = future.result()
        return found
    digest = future.key.rpartition("-")[2]
    return Outcome(digest, Status.FAILED, f"the cluster gave it up: {error}", code=code_digest())


def _security(file: Path) -> Security:
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClusterError(f"{file}: {str(error).splitlines()[0]}") from error
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ClusterError(f"{file}: a mapping of {', '.join(TLS_KEYS)} to files is needed")
    for key in [key for key in given if key not in TLS_KEYS]:
        raise ClusterError(f"{file}: {key}: unknown key{hint(str(key), TLS_KEYS)}")
    for key in [key for key in TLS_KEYS if key not in given]:
        raise ClusterError(f"{file}: {key} is missing")
    return Security(require_encryption=True, **{key: str(file.parent / value) for key, value in given.items()})
