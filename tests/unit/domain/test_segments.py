"""Every link of a path with its own countries, whoever's it is and whichever way it is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hansa_control.domain.model import (
    AccessDemand,
    ArtefactRef,
    DataClass,
    LatencyBasis,
    LatencyBudget,
    LinkKind,
    NetworkLink,
    NetworkNode,
    ResidencyPolicy,
    RoundTrip,
    TransitRule,
    WorkloadSpec,
    ZoneId,
)
from hansa_control.domain.network import build_network
from hansa_control.domain.segments import Segment, used_paths

from hansa.cli.documents import Screen
from hansa.cli.view_decision import segment_table
from hansa.v1 import workload_service_pb2


def node(name: str, country: str | None, **changes: Any) -> NetworkNode:
    return replace(NetworkNode(name, "", country, 0.0, 0.0, access_point=True), **changes)


def link(a: str, b: str, carrier: str, countries: tuple[str, ...] | None = (), **changes: Any) -> NetworkLink:
    rtt = RoundTrip(1_000, 1_100, 1_200, LatencyBasis.MODELLED)
    return replace(
        NetworkLink(f"{a}--{b}", a, b, 0, rtt, countries, carrier, LinkKind.TERRESTRIAL),
        **changes,
    )


NODES = (node("oslo", "NO"), node("cape", None, at_sea=True), node("lund", "SE"), node("turku", "FI"))
LINKS = (
    link("oslo", "cape", "nordavind", ("NO",)),
    link("cape", "lund", "skargard", ("DK", "SE")),
    link("lund", "turku", "waldnetz", None),
)


class At:
    """A zone as far as paths ask about it."""

    def __init__(self, name: str, at: str) -> None:
        self.id = ZoneId("waldnetz", name)
        self.inventory = self
        self.node = at


def spec(*points: str, transit: TransitRule | None = None) -> WorkloadSpec:
    access = tuple(AccessDemand(point, 1_000) for point in points)
    residency = ResidencyPolicy(transit=transit, applies_to=frozenset(DataClass))
    return WorkloadSpec(ArtefactRef("a", "sha256:0"), None, 1, 1, 1, access, LatencyBudget(95, 90_000), residency)


def paths(wanted: WorkloadSpec, *links: NetworkLink, zones: tuple[Any, ...] = (At("turku-1", "turku"),)) -> Any:
    return used_paths(build_network(1, NODES, links or LINKS), wanted, zones)


def test_each_segment_has_its_own_countries_and_carrier_and_says_when_it_may_cross_others() -> None:
    (path,) = paths(spec("oslo"))
    assert path.there == (
        Segment("oslo", "cape", "oslo--cape", "nordavind", ("NO",), True),
        Segment("cape", "lund", "cape--lund", "skargard", ("DK", "SE"), True),
        Segment("lund", "turku", "lund--turku", "waldnetz", ("FI", "SE"), False),
    )
    assert path.back == ()


def test_a_node_on_land_in_an_unknown_country_leaves_its_segments_unknown() -> None:
    nodes = (*NODES[:2], node("lund", None), NODES[3])
    (path,) = used_paths(build_network(1, nodes, LINKS), spec("oslo"), (At("turku-1", "turku"),))  # type: ignore[arg-type]
    assert [segment.is_known for segment in path.there] == [True, False, False]


def test_the_way_back_is_told_where_it_is_another() -> None:
    ways = (*LINKS, link("lund", "oslo", "blueridge", one_way=True), replace(LINKS[1], one_way=True))
    (path,) = paths(spec("oslo"), ways[0], ways[4], ways[2], ways[3])
    assert [segment.end for segment in path.there] == ["cape", "lund", "turku"]
    assert [(segment.start, segment.end) for segment in path.back] == [("turku", "lund"), ("lund", "oslo")]


@pytest.mark.parametrize("denied", ["DK", "FI"])
def test_only_lawful_paths_are_told_and_none_where_there_is_none(denied: str) -> None:
    rule = TransitRule(None, countries_denied=frozenset({denied}))
    assert paths(spec("oslo", transit=rule), *LINKS[:2], link("lund", "turku", "waldnetz")) == ()


def test_every_access_point_has_its_path_to_every_zone() -> None:
    found = paths(spec("oslo", "lund"), zones=(At("lund-1", "lund"), At("turku-1", "turku")))
    assert [(path.zone.zone, path.access_point, len(path.there)) for path in found] == [
        ("lund-1", "oslo", 2),
        ("lund-1", "lund", 0),
        ("turku-1", "oslo", 3),
        ("turku-1", "lund", 1),
    ]


def shown(capsys: pytest.CaptureFixture[str], *zones: str, wide: bool = False) -> list[str]:
    segment = workload_service_pb2.PathSegment
    far = [
        segment(from_node="oslo", to_node="stockholm", link="a--b", carrier="nordavind", countries=["NO", "SE"]),
        segment(from_node="stockholm", to_node="turku", link="b--c", countries=["SE"], countries_unknown=True),
    ]
    back = [segment(from_node="turku", to_node="oslo", link="c--a", carrier="skargard", countries=["FI", "NO"])]
    used = [
        workload_service_pb2.UsedPath(zone=zone, access_point="oslo", segments=far, return_segments=back)
        for zone in zones
    ]
    Screen(width_columns=80).show([segment_table(used, wide=wide)])
    return [row.rstrip() for row in capsys.readouterr().out.splitlines()]


def test_segments_are_read_one_a_line_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(capsys, "skargard/turku-1")
    assert [row.split() for row in rows[1:]] == [
        ["oslo", "oslo", "stockholm", "nordavind", "NO,SE"],
        ["oslo", "stockholm", "turku", "unknown", "SE,unknown"],
        ["back", "to", "oslo", "turku", "oslo", "skargard", "FI,NO"],
    ]
    assert max(map(len, rows)) <= 80
    assert "LINK" in shown(capsys, "skargard/turku-1", wide=True)[0]


def test_with_several_zones_each_path_names_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(capsys, "skargard/turku-1", "nordavind/oslo-1")
    assert max(map(len, rows)) <= 80
    assert any("oslo to nordavind/oslo-1" in row for row in rows)
