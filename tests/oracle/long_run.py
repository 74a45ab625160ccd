"""Holds the engine against the oracle on random worlds for as long as you like: python tests/oracle/long_run.py.

Prints how many worlds were compared a second, and the first disagreement without all that it does not need.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pprint import pformat

from oracle_compare import disagreements, smallest
from oracle_worlds import World, random_world
from oracle_zones import expected


def main() -> int:
    """0 if nothing disagreed, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worlds", type=int, default=1 << 60)
    parser.add_argument("--terse", action="store_true", help="only say whether something disagreed")
    options = parser.parse_args()
    began, compared = time.perf_counter(), 0
    while time.perf_counter() - began < options.seconds and compared < options.worlds:
        world = random_world(options.seed * 10_000_000 + compared)
        compared += 1
        found = disagreements(world)
        if found:
            print(f"after {compared} worlds, {world.note}:", *found, sep="\n  ")
            if not options.terse:
                _show(world)
            return 1
    seconds = time.perf_counter() - began
    print(f"{compared} worlds, {compared / seconds:.0f} a second, no disagreement")
    if not options.terse:
        print(_what_was_met(options.seed * 10_000_000, min(compared, 2_000)))
    return 0


def _show(world: World) -> None:
    small = smallest(world, lambda other: bool(disagreements(other)))
    print("smallest:", *disagreements(small), sep="\n  ")
    print(pformat(small, width=160))


def _what_was_met(seed: int, count: int) -> str:
    """How often zones were feasible, and each reason was met, so that one sees what the worlds try out."""
    met: Counter[str] = Counter()
    for n in range(count):
        for verdict in expected(random_world(seed + n)).values():
            met.update([f"{x} {y.value}" for x, y in verdict.faults] or ["feasible"])
    return "\n".join(f"{times:7d} {what}" for what, times in met.most_common())


if __name__ == "__main__":
    sys.exit(main())
