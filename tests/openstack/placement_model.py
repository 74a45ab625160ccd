"""A second opinion on what a zone may count with: random changes are made to a real Placement and kept here as well.

Nothing here is taken from the product: the books are plain dictionaries, and the sums are written down anew.
"""

from __future__ import annotations

import math
import random
import uuid
from collections import Counter
from dataclasses import dataclass, field

from openstack_cloud import Cloud

CLASSES = ("VCPU", "MEMORY_MB", "PGPU", "CUSTOM_GPU_L4", "CUSTOM_PCI_10DE_2335", "VGPU", "CUSTOM_FPGA")
MODELS = {"PGPU": "L40S", "CUSTOM_GPU_L4": "L4", "CUSTOM_PCI_10DE_2335": "H200"}
POOLS = {resource_class: f"nvidia/{model}" for resource_class, model in MODELS.items()}
PROVIDERS_MAX = 8
DISABLED = "COMPUTE_STATUS_DISABLED"


@dataclass
class Books:
    """One provider: inventories as (total, reserved, ratio), and what each consumer holds."""

    root: str
    stocks: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    is_disabled: bool = False
    held: dict[str, dict[str, int]] = field(default_factory=dict)


class RandomPlacement:
    """Makes random changes. ``ours`` is what servers of the zone were ordered with, by consumer and class."""

    def __init__(self, cloud: Cloud, seed: int) -> None:
        self._cloud = cloud
        self._random = random.Random(seed)
        self.books: dict[str, Books] = {}
        self.ours: dict[str, dict[str, int]] = {}
        self.done: Counter[str] = Counter()

    def change(self) -> None:
        """One change that Placement took."""
        while True:
            action = self._random.choice((*("hold", "release") * 4, *("stock",) * 3, "add", "disable", "remove"))
            if getattr(self, f"_{action}")():
                self.done[action] += 1
                return

    def truth(self) -> dict[str, int]:
        """Units by class that may be counted with; processors in thousandths."""
        total: Counter[str] = Counter()
        for books in self.books.values():
            for resource_class in books.stocks:
                total[resource_class] += self._usable(books, resource_class)
        return {name: total[name] for name in CLASSES if name in MODELS or name in ("VCPU", "MEMORY_MB")}

    def _usable(self, books: Books, resource_class: str) -> int:
        scale = 1_000 if resource_class == "VCPU" else 1
        total, reserved, ratio = books.stocks[resource_class]
        own = used = 0
        for consumer, amounts in books.held.items():
            amount = amounts.get(resource_class, 0) * scale
            used += amount
            own += min(amount, self.ours.get(consumer, {}).get(resource_class, 0))
        if self.books[books.root].is_disabled:
            return own
        return max(own, math.floor((total - reserved) * ratio) * scale - (used - own))

    def _add(self) -> bool:
        if len(self.books) >= PROVIDERS_MAX:
            return False
        roots = [name for name, books in self.books.items() if books.root == name]
        parent = self._random.choice([None, *roots])
        made = self._cloud.provider(parent)
        self.books[made] = Books(parent or made)
        self._cloud.traits(made, "CUSTOM_GPU_L40S")
        return True

    def _remove(self) -> bool:
        free = [name for name, one in self.books.items() if not one.held and self._is_leaf(name)]
        if not free or self._random.random() < 0.7:
            return False
        gone = self._random.choice(free)
        self._cloud.remove_provider(gone)
        del self.books[gone]
        return True

    def _stock(self) -> bool:
        name = self._any()
        if name is None:
            return False
        books = self.books[name]
        stocks = {kind: self._inventory() for kind in self._random.sample(CLASSES, self._random.randint(1, 4))}
        # Placement gives no inventory up that somebody holds something of; less of it than is held is all right.
        needed = {kind for amounts in books.held.values() for kind in amounts}
        stocks |= {kind: stocks.get(kind, books.stocks[kind]) for kind in needed}
        body = {
            kind: {"total": total, "reserved": reserved, "allocation_ratio": ratio}
            for kind, (total, reserved, ratio) in stocks.items()
        }
        self._cloud.stock(name, **body)
        books.stocks = stocks
        return True

    def _inventory(self) -> tuple[int, int, float]:
        total = self._random.randint(1, 64)
        return total, self._random.randint(0, total), self._random.choice((1.0, 1.0, 1.5, 4.0, 0.9, 16.0))

    def _disable(self) -> bool:
        name = self._any()
        if name is None:
            return False
        books = self.books[name]
        books.is_disabled = not books.is_disabled
        self._cloud.traits(name, "CUSTOM_GPU_L40S", *([DISABLED] if books.is_disabled else []))
        return True

    def _hold(self) -> bool:
        name = self._any()
        room = self._room(name) if name else {}
        if name is None or not room:
            return False
        amounts = {kind: self._random.randint(1, room[kind]) for kind in self._random.sample(sorted(room), 1)}
        consumer = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        self._cloud.hold(consumer, {name: amounts})
        self.books[name].held[consumer] = amounts
        if self._random.random() < 0.5:
            self.ours[consumer] = {kind: self._ordered(kind, amount) for kind, amount in amounts.items()}
        return True

    def _ordered(self, kind: str, amount: int) -> int:
        """What was ordered is at most what the flavor has, and sometimes less."""
        most = amount * 1_000 if kind == "VCPU" else amount
        return self._random.choice((most, self._random.randint(0, most)))

    def _release(self) -> bool:
        name = self._any()
        if name is None or not self.books[name].held:
            return False
        consumer = self._random.choice(sorted(self.books[name].held))
        self._cloud.release(consumer)
        del self.books[name].held[consumer]
        return True

    def _room(self, name: str) -> dict[str, int]:
        books = self.books[name]
        used: Counter[str] = Counter()
        for amounts in books.held.values():
            used.update(amounts)
        free = {kind: math.floor((t - r) * ratio) - used[kind] for kind, (t, r, ratio) in books.stocks.items()}
        return {kind: min(left, books.stocks[kind][0]) for kind, left in free.items() if left > 0}

    def _any(self) -> str | None:
        return self._random.choice(sorted(self.books)) if self.books else None

    def _is_leaf(self, name: str) -> bool:
        return not any(one.root == name and other != name for other, one in self.books.items())
