"""Makes the tables of countries for topohub's European backbone, once, from polygons.

topohub gives positions and distances but no country. This script looks up the country of every named node and the
countries that every link crosses in Natural Earth's public-domain polygons, and writes the two tables that
``hansa_sim.topology`` reads. The polygons themselves are not kept in the repository. How to run it::

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    pip install shapely topohub pycountry
    python tools/make_topology_tables.py package/countries-10m.json simulations/hansa_sim/data

What is corrected by hand stands in ``topology_corrections.py`` beside this file; data/SOURCE.md tells the limits.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pycountry
import shapely
import topohub
from shapely.affinity import translate
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box
from shapely.geometry.base import BaseGeometry
from topology_corrections import CONTESTED_BOXES, COUNTRIES, DEPENDENT, NAMES, TITLES, slug

UNKNOWN = "unknown"
SAMPLE_STEP_KM = 0.5
EARTH_RADIUS_KM = 6371.0
SHORE_DEGREES_MAX = 0.35
REGION = box(-40, 25, 65, 80)

Position = tuple[float, float]
Territories = Mapping[str, BaseGeometry]


def decode_arcs(topology: Mapping[str, Any]) -> list[list[Position]]:
    """Undoes the quantised delta encoding of a TopoJSON file; gives (lon, lat) in degrees."""
    (scale_x, scale_y), (move_x, move_y) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for deltas in topology["arcs"]:
        x = y = 0
        arc = []
        for step in deltas:
            x, y = x + step[0], y + step[1]
            arc.append((x * scale_x + move_x, y * scale_y + move_y))
        arcs.append(arc)
    return arcs


def ring(arcs: Sequence[Sequence[Position]], indices: Sequence[int]) -> list[Position]:
    """Joins arcs to a ring; a negative index is an arc reversed.

    Longitudes run on across the 180th meridian: otherwise Russia's last ring would span the whole map.
    """
    points: list[Position] = []
    for index in indices:
        arc = arcs[index] if index >= 0 else arcs[~index][::-1]
        for lon, lat in arc[1:] if points else arc:
            turns = round((points[-1][0] - lon) / 360) if points else 0
            points.append((lon + 360 * turns, lat))
    return points


def shape(geometry: Mapping[str, Any], arcs: Sequence[Sequence[Position]]) -> BaseGeometry:
    """A country's territory near Europe, valid and cut to the region."""
    polygons = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
    rings = [[ring(arcs, part) for part in polygon] for polygon in polygons]
    # Quantisation collapses the smallest islands to fewer corners than a ring has.
    parts = [Polygon(shell, [hole for hole in holes if len(hole) > 3]) for shell, *holes in rings if len(shell) > 3]
    whole = shapely.make_valid(MultiPolygon(parts))
    turned = [translate(whole, xoff=degrees) for degrees in (-360, 0, 360)]
    return shapely.union_all([area.intersection(REGION) for area in turned])


def territories(path: Path) -> Territories:
    """Territory by ISO 3166-1 alpha-2 code; what is contested, or has no code, is joined under ``unknown``."""
    topology = json.loads(path.read_text())
    arcs = decode_arcs(topology)
    found: dict[str, list[BaseGeometry]] = {UNKNOWN: []}
    for geometry in topology["objects"]["countries"]["geometries"]:
        if geometry["type"] not in ("Polygon", "MultiPolygon"):
            continue
        area = shape(geometry, arcs)
        if not area.is_empty:
            found.setdefault(code_of(geometry), []).append(area)
    joined = {code: shapely.union_all(areas) for code, areas in found.items()}
    return cut_contested(joined)


def code_of(geometry: Mapping[str, Any]) -> str:
    country = pycountry.countries.get(numeric=geometry["id"]) if geometry.get("id") else None
    code = country.alpha_2 if country else UNKNOWN
    return DEPENDENT.get(code, code)


def cut_contested(areas: dict[str, BaseGeometry]) -> Territories:
    """Moves what lies in a contested box from the country that the polygons name to ``unknown``."""
    for code, bounds in CONTESTED_BOXES:
        contested = areas[code].intersection(box(*bounds))
        areas[code] = areas[code].difference(contested)
        areas[UNKNOWN] = areas[UNKNOWN].union(contested)
    for area in areas.values():
        shapely.prepare(area)
    return areas


def country_at(position: Position, areas: Territories) -> str:
    """The country of a node; coarse coastlines put some in the water, so the nearest shore counts."""
    point = Point(position)
    distance, code = min((area.distance(point), code) for code, area in areas.items())
    if distance > SHORE_DEGREES_MAX:
        raise SystemExit(f"{position}: nearest shore {code} is {distance:.2f} degrees away; correct it by hand")
    return code


def vector(position: Position) -> tuple[float, float, float]:
    lon, lat = map(math.radians, position)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def great_circle(start: Position, end: Position) -> LineString:
    """The great-circle segment between two positions as a line with a vertex every half kilometre."""
    a, b = vector(start), vector(end)
    angle = math.acos(max(-1.0, min(1.0, sum(x * y for x, y in zip(a, b, strict=True)))))
    count = max(2, math.ceil(angle * EARTH_RADIUS_KM / SAMPLE_STEP_KM))
    return LineString([interpolate(a, b, angle, step / count) for step in range(count + 1)])


def interpolate(a: Sequence[float], b: Sequence[float], angle: float, share: float) -> Position:
    p, q = math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)
    x, y, z = (p * u + q * v for u, v in zip(a, b, strict=True))
    return math.degrees(math.atan2(y, x)), math.degrees(math.asin(z))


def crossed(line: LineString, areas: Territories) -> set[str]:
    """Every country whose territory the line touches."""
    return {code for code, area in areas.items() if area.intersects(line)}


def node_rows(graph: Mapping[str, Any], areas: Territories) -> Iterator[tuple[int, str, str, str]]:
    """(topohub id, name, title, country) of every named node; the country is empty when unknown."""
    named = sorted((node for node in graph["nodes"] if node.get("name")), key=lambda node: int(node["id"]))
    for node in named:
        number, given = int(node["id"]), str(node["name"])
        country = COUNTRIES.get(number) or country_at((node["pos"][0], node["pos"][1]), areas)
        name = NAMES.get(number) or slug(given)
        yield number, name, TITLES.get(number, given), "" if country == UNKNOWN else country


def link_rows(graph: Mapping[str, Any], nodes: Mapping[int, Sequence[str]], areas: Territories) -> Iterator[list[str]]:
    """(a, b, countries crossed besides those of the ends, or ``unknown``) of every link, ends in order of name."""
    positions = {int(node["id"]): (node["pos"][0], node["pos"][1]) for node in graph["nodes"]}
    for edge in graph["edges"]:
        ends = sorted((int(edge["source"]), int(edge["target"])), key=lambda number: node_name(number, nodes))
        found = crossed(great_circle(positions[ends[0]], positions[ends[1]]), areas)
        extra = found - {nodes[number][2] for number in ends if number in nodes}
        countries = UNKNOWN if UNKNOWN in found else " ".join(sorted(extra))
        yield [node_name(ends[0], nodes), node_name(ends[1], nodes), countries]


def node_name(number: int, nodes: Mapping[int, Sequence[str]]) -> str:
    return nodes[number][0] if number in nodes else f"sea-{number}"


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main(polygons: Path, folder: Path) -> None:
    areas = territories(polygons)
    graph = topohub.get("backbone/europe")
    nodes = list(node_rows(graph, areas))
    names = [row[1] for row in nodes]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise SystemExit(f"names given twice: {sorted(repeated)}")
    by_number = {row[0]: row[1:] for row in nodes}
    write_table(folder / "europe_nodes.csv", ("id", "name", "title", "country"), nodes)
    links = sorted(link_rows(graph, by_number, areas))
    write_table(folder / "europe_links.csv", ("a", "b", "countries"), links)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: make_topology_tables.py COUNTRIES_10M_JSON OUTPUT_FOLDER")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
