"""The network between the twin's namespaces, in user space: each packet is held for its way's delay, or lost.

Run as a program by root, ``python -m hansa_sim.latency.twin.relay``. The first line of standard input is a JSON object:
``hosts``, a list of {namespace, address}, and ``ways``, a matrix of [delay_ns, loss] by sender and receiver, null
where there is no way. It opens a TUN device in each namespace, prints "ready", and works until standard input ends;
every other line asks for an account, which is a JSON line.

Kernels without netem are common (containers, micro virtual machines), TUN is nearly everywhere. Devices of the third
layer need no neighbour tables, and the kernel hands over whole packets with checksums. Waiting is done by select, whose
timeout has microseconds where that of epoll has milliseconds, so nothing spins; real-time scheduling, where it is
allowed, keeps whatever else runs on the machine out of the figures.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from hansa_sim.latency.twin.system import monotonic_ns, take_realtime
from hansa_sim.latency.twin.under_way import Lateness, UnderWay, Way

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
DEVICE = "twin0"
PREFIX_LENGTH = 24
PACKET_BYTES_MAX = 65_536
PACKETS_AT_ONCE = 64
REALTIME_PRIORITY = 50
Clock = Callable[[], int]


class Relay:
    """All hosts' devices, and what is under way between them."""

    def __init__(self, plan: dict[str, Any], clock_ns: Clock) -> None:
        self._now_ns = clock_ns
        self._under_way = UnderWay()
        self._lateness = Lateness()
        self._devices = [_open_device(host["namespace"]) for host in plan["hosts"]]
        self._at = {_packed(host["address"]): at for at, host in enumerate(plan["hosts"])}
        self._ways = [[Way(int(way[0]), float(way[1])) if way else None for way in row] for row in plan["ways"]]
        for host in plan["hosts"]:
            _configure(host["namespace"], host["address"])

    def run(self) -> None:
        """Until standard input ends."""
        orders, source_of = sys.stdin.fileno(), {device: at for at, device in enumerate(self._devices)}
        while True:
            pause_ns = self._under_way.pause_ns(self._now_ns())
            readable, _, _ = select.select(
                [*self._devices, orders], [], [], None if pause_ns is None else pause_ns / 1e9
            )
            for device in readable:
                if device != orders:
                    self._take(device, source_of[device])
                elif not os.read(orders, 4_096):
                    return
                else:
                    self._tell()
            self._release()

    def _take(self, device: int, source: int) -> None:
        for _ in range(PACKETS_AT_ONCE):
            try:
                packet = os.read(device, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            target = self._at.get(packet[16:20]) if packet[0] >> 4 == 4 else None
            if target is not None:
                self._under_way.send(self._ways[source][target], target, packet, self._now_ns())

    def _release(self) -> None:
        while (due := self._under_way.due(now_ns := self._now_ns())) is not None:
            due_ns, target, packet = due
            self._lateness.note(now_ns - due_ns)
            try:
                os.write(self._devices[target], packet)
            except OSError:  # the receiver's queue is full: what a network does then is lose it
                self._under_way.lost_count += 1

    def _tell(self) -> None:
        late = {f"late_us_p{percent:g}": self._lateness.percentile_us(percent) for percent in (50, 99, 100)}
        print(json.dumps({"packets": self._lateness.count, "lost": self._under_way.lost_count, **late}), flush=True)


def _open_device(namespace: str) -> int:
    """Opens a TUN device in a namespace; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    home, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
        return device
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


def _configure(namespace: str, address: str) -> None:
    lines = ["link set lo up", f"addr add {address}/{PREFIX_LENGTH} dev {DEVICE}", f"link set {DEVICE} up"]
    subprocess.run(["ip", "-n", namespace, "-batch", "-"], input="\n".join(lines), text=True, check=True)


def _packed(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))


def main() -> None:
    if not take_realtime(os.SCHED_FIFO, REALTIME_PRIORITY):
        print("relay: without real-time scheduling", file=sys.stderr)
    # Not by the buffered reader: what it had read ahead, select would never tell of.
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(sys.stdin.fileno(), 1 << 16) or sys.exit("relay: no plan")
    relay = Relay(json.loads(line), monotonic_ns)
    print("ready", flush=True)
    relay.run()


if __name__ == "__main__":
    main()
