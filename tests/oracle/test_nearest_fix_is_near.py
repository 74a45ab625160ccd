"""The nearest fix, read from its words and done, makes its zone feasible, and less of the same would not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

from hansa_control.domain.model import WorkloadSpec, ZoneId
from hansa_control.domain.placement import decide
from oracle_worlds import World, random_world
from oracle_zones import expected

TENTH_MS_US = 100


def listed(words: str) -> frozenset[str]:
    return frozenset(words.split(" and "))


def widened(spec: WorkloadSpec, part: str, countries: frozenset[str]) -> WorkloadSpec:
    rule: Any = getattr(spec.residency, part)
    allowed = None if rule.countries_allowed is None else rule.countries_allowed | countries
    wider = replace(rule, countries_allowed=allowed, countries_denied=rule.countries_denied - countries)
    return replace(spec, residency=replace(spec.residency, **{part: wider}))


def budget_of(spec: WorkloadSpec, tenths: int) -> WorkloadSpec:
    return replace(spec, latency=replace(spec.latency, rtt_us_max=tenths * TENTH_MS_US))


def fixed(spec: WorkloadSpec, words: str) -> tuple[str, WorkloadSpec, list[WorkloadSpec]]:
    """The kind of a fix, the request with it, and requests with less of the same."""
    if found := re.fullmatch(r"raise the latency budget to (\d+(?:\.\d)?) ms", words):
        tenths = round(float(found[1]) * 10)
        return "budget", budget_of(spec, tenths), [budget_of(spec, tenths - 1)]
    if found := re.fullmatch(r"ask for (\d+) replicas", words):
        more = range(int(found[1]) + 1, spec.replicas)
        return "replicas", replace(spec, replicas=int(found[1])), [replace(spec, replicas=n) for n in more]
    need, law = spec.accelerator, spec.residency
    if found := re.fullmatch(r"ask for (\d+) MiB of accelerator memory", words):
        assert need is not None
        sizes = (int(found[1]), int(found[1]) + 1)
        specs = [replace(spec, accelerator=replace(need, memory_mib_min=size)) for size in sizes]
        return "memory", specs[0], specs[1:]
    if found := re.fullmatch(r"accept accelerator (\S+)", words):
        assert need is not None
        return "model", replace(spec, accelerator=replace(need, any_of=(*need.any_of, found[1]))), []
    if found := re.fullmatch(r"allow carrier (\S+)", words):
        assert law.transit is not None
        rule = replace(law.transit, carriers_denied=law.transit.carriers_denied - {found[1]})
        return "carrier", replace(spec, residency=replace(law, transit=rule)), []
    if found := re.fullmatch(r"accept the law (.+)", words):
        assert law.legal is not None
        legal = replace(law.legal, laws_denied=law.legal.laws_denied - listed(found[1]))
        return "law", replace(spec, residency=replace(law, legal=legal)), []
    found = re.fullmatch(r"allow (transit through|sites in|control from) (.+)", words)
    assert found, words
    part = {"transit through": "transit", "sites in": "site", "control from": "legal"}[found[1]]
    names = sorted(listed(found[2]))
    fewer = [frozenset(some) for n in range(len(names)) for some in combinations(names, n)]
    return part, widened(spec, part, frozenset(names)), [widened(spec, part, some) for some in fewer]


def fixes(seeds: range) -> Iterator[tuple[World, str, ZoneId]]:
    for seed in seeds:
        world = random_world(seed)
        words = decide(world.request(with_fix=True), world.snapshot(), world.now_ms).nearest_fix
        fix, arrow, zone = words.partition(" -> ")
        if arrow:
            yield world, fix, ZoneId.parse(zone)


def test_a_fix_makes_its_zone_feasible_and_less_of_it_does_not() -> None:
    met: Counter[str] = Counter()
    for world, words, zone in fixes(range(1_000)):
        kind, spec, smaller = fixed(world.spec, words)
        met[kind] += 1
        assert expected(world)[zone].faults, f"{world.note}: {zone} was feasible before {words}"
        assert not expected(replace(world, spec=spec))[zone].faults, f"{world.note}: {words} does not help {zone}"
        for less in smaller:
            assert expected(replace(world, spec=less))[zone].faults, f"{world.note}: {zone} needs less than {words}"
        if kind == "budget":  # nor does a smaller budget help any other zone
            before, after = expected(world), expected(replace(world, spec=smaller[0]))
            others = {at for at, verdict in before.items() if verdict.faults and at not in world.exclude}
            assert all(after[at].faults for at in others), f"{world.note}: {words} is not the nearest"
    assert met.keys() >= {"budget", "replicas", "memory", "model", "transit", "site"}, met
