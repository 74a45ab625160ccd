"""A network in user space between network namespaces: delay, jitter, loss and cuts for each direction of each link.

Run as a program by root: ``delay_network.py NAME=ADDRESS...`` makes a namespace and a TAP device for each host, prints
"ready", and then obeys JSON lines on standard input until that ends: ``{"from": "a", "to": "b", "delay_ms": 20.0,
"jitter_ms": 2.0, "loss": 0.01, "cut": false}``. Jitter is the standard deviation of a normal distribution, cut off at
three of them. Frames of one direction keep their order. The kernel's own netem is not everywhere; this is.

The process asks for real-time scheduling and spins for the last millisecond before a frame is due, because an epoll
wakes up to a millisecond late.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random  # noqa: TID251 - the jitter of a network that is real in all else
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
FRAME_BYTES_MAX = 65_536
SPIN_S = 0.001
REALTIME_PRIORITY = 50
FRAMES_AT_ONCE = 64
Frame = tuple[float, int, int, bytes]
"""When it is due, a running number, the device and the content."""


@dataclass
class Direction:
    """One direction of one link."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    owed: float = 0.0
    is_cut: bool = False
    last_due_s: float = 0.0

    def due_s(self, now_s: float) -> float | None:
        """When a frame that is sent now arrives; None if it does not."""
        if self.is_cut or self._is_lost():
            return None
        jitter_s = random.gauss(0.0, self.jitter_s) if self.jitter_s else 0.0
        jitter_s = max(-3 * self.jitter_s, min(3 * self.jitter_s, jitter_s))
        self.last_due_s = max(self.last_due_s, now_s + max(0.0, self.delay_s + jitter_s))
        return self.last_due_s

    def _is_lost(self) -> bool:
        """One in so many, evenly, so that the share is what was set in a few hundred frames, too."""
        self.owed += self.loss
        if self.owed < 1.0:
            return False
        self.owed -= 1.0
        return True


def namespace_of(host: str) -> str:
    """Different for each process that makes a network."""
    return f"hansa-{os.getpid()}-{host}"


class Network:
    """All hosts, each with its device, and what is under way."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._device = {host: open_tap(namespace_of(host)) for host in addresses}
        self._host = {device: host for host, device in self._device.items()}
        self._mac = {hardware_address(index): host for index, host in enumerate(addresses)}
        self._links = {(a, b): Direction() for a in addresses for b in addresses if a != b}
        self._under_way: list[Frame] = []
        self._count = 0
        for index, (host, address) in enumerate(addresses.items()):
            configure(namespace_of(host), index, address)
        self._poll = select.epoll()
        for device in (*self._host, sys.stdin.fileno()):
            self._poll.register(device, select.EPOLLIN)

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            for device, _ in self._poll.poll(self._pause_s()):
                if device == sys.stdin.fileno():
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self._obey(json.loads(line))
                else:
                    self._take_from(device)
            self._deliver()

    def _obey(self, order: dict[str, object]) -> None:
        link = self._links[str(order["from"]), str(order["to"])]
        link.delay_s = float(str(order.get("delay_ms", 0))) / 1_000
        link.jitter_s = float(str(order.get("jitter_ms", 0))) / 1_000
        link.loss = float(str(order.get("loss", 0)))
        link.is_cut = bool(order.get("cut", False))
        print("set", flush=True)

    def _pause_s(self) -> float:
        if not self._under_way:
            return -1
        return max(0.0, self._under_way[0][0] - time.monotonic() - SPIN_S)  # noqa: TID251 - it is the clock here

    def _take_from(self, device: int) -> None:
        source = self._host[device]
        for _ in range(FRAMES_AT_ONCE):
            try:
                frame = os.read(device, FRAME_BYTES_MAX)
            except BlockingIOError:
                return
            known = self._mac.get(frame[:6])
            for target in [known] if known else [host for host in self._device if host != source]:
                self._send(source, target, frame)

    def _send(self, source: str, target: str, frame: bytes) -> None:
        if source == target:
            return
        due_s = self._links[source, target].due_s(time.monotonic())  # noqa: TID251 - it is the clock here
        if due_s is not None:
            self._count += 1
            heapq.heappush(self._under_way, (due_s, self._count, self._device[target], frame))

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= time.monotonic():  # noqa: TID251 - it is the clock here
            _, _, device, frame = heapq.heappop(self._under_way)
            try:
                os.write(device, frame)
            except OSError:
                continue


def hardware_address(index: int) -> bytes:
    return bytes([2, 0, 0, 0, 0, index + 1])


def open_tap(namespace: str) -> int:
    """Makes a namespace, and opens a TAP device "eth0" in it."""
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(there, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP | IFF_NO_PI))
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)
    return device


def configure(namespace: str, index: int, address: str) -> None:
    hardware = hardware_address(index).hex(":")
    for words in (
        ["link", "set", "lo", "up"],
        ["link", "set", "eth0", "address", hardware, "up"],
        ["addr", "add", f"{address}/24", "dev", "eth0"],
    ):
        subprocess.run(["ip", "-n", namespace, *words], check=True)


def main() -> None:
    addresses = dict(word.split("=") for word in sys.argv[1:])
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REALTIME_PRIORITY))
    except OSError:
        print("without real-time scheduling", file=sys.stderr)
    try:
        network = Network(addresses)
        print("ready", flush=True)
        network.run()
    finally:
        for host in addresses:
            subprocess.run(["ip", "netns", "del", namespace_of(host)], check=False)


if __name__ == "__main__":
    main()
