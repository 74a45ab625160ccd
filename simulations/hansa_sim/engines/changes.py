"""What changes while the event engine runs: servers that come and go, and what zones could do over all of it."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np

from hansa_sim.engines.model import Ints, Outages, Window

Course = Sequence[tuple[int, Ints]]
"""From when on how many servers each zone has, in the order of time; the first from the beginning."""


def staff(free_ns: list[int], retired: list[int], servers: int, now_ns: int) -> None:
    """Brings a zone to so many servers: ``free_ns`` is the heap of when they get free, ``retired`` who went before.

    Those that get free first go first, and finish what they took on; who comes back does so when that is done. So never
    more are at work than the most that a zone has at any time.
    """
    while len(free_ns) > servers:
        retired.append(heappop(free_ns))
    while len(free_ns) < servers:
        heappush(free_ns, max(retired.pop() if retired else now_ns, now_ns))


def peak_servers(course: Course) -> Ints:
    """(Z,) the most servers that each zone has at any time."""
    return np.asarray(np.max([servers for _, servers in course], axis=0), dtype=np.int64)


def up_ns(course: Course, outages: Outages, window: Window) -> Ints:
    """(Z,) how long each zone was up in the window, in time of all servers of its peak: half of them count half."""
    done = np.zeros(len(course[0][1]), np.int64)
    ends = [at_ns for at_ns, _ in course[1:]] + [window.end_ns]
    for (at_ns, servers), end_ns in zip(course, ends, strict=True):
        done += servers * _open_ns(len(servers), outages, max(at_ns, window.begin_ns), min(end_ns, window.end_ns))
    return np.asarray(done // peak_servers(course), dtype=np.int64)


def _open_ns(zones: int, outages: Outages, begin_ns: int, end_ns: int) -> Ints:
    """(Z,) how long each zone was up between two times."""
    open_ns = np.full(zones, max(0, end_ns - begin_ns), np.int64)
    for zone in np.unique(outages.zone).tolist():
        for down, up in outages.of_zone(zone):
            open_ns[zone] -= max(0, min(up, end_ns) - max(down, begin_ns))
    return open_ns
