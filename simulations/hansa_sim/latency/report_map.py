"""The report's map: nodes, links and zones of operators, the ways in use, and where the law lets nothing pass."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import cos, radians
from typing import Any

from hansa_sim.latency.report_charts import SERIES, svg

WIDTH, HEIGHT_MAX, EDGE = 860, 760, 16
MARKS = ("circle", "square", "diamond", "triangle", "arrow")
Place = tuple[float, float]


def map_svg(ground: Mapping[str, Any]) -> str:
    """The map as SVG; words instead where places are not known."""
    nodes: Mapping[str, list[Any]] = ground.get("nodes", {})
    if not nodes or all(node[0] == 0 and node[1] == 0 for node in nodes.values()):
        return "<p>The network tells no places, so there is no map.</p>"
    place, height = _projection(nodes)
    owners = sorted({name.partition("/")[0] for name in ground["zones"]})  # of zones; some have no node of their own
    parts = [_line("way-none", place[a], place[b]) for a, b in ground["links"]]
    parts += [_node(place[name], owners, node) for name, node in nodes.items()]
    parts += [_way([place[name] for name in way]) for way in ground["ways"].values() if len(way) > 1]
    parts += [_cross(place[name], name) for name in ground["unserved"]]
    parts += [_zone(place[node], owners, name) for name, node in ground["zones"].items()]
    parts += _legend(owners, height)
    return svg(
        parts, (WIDTH, height + 30 + 22 * (len(owners) // 4 + 2)), "Map of operators, zones and lawful ways in use"
    )


def _projection(nodes: Mapping[str, list[Any]]) -> tuple[dict[str, Place], int]:
    """Equirectangular, true at the middle latitude; (places, height of the picture)."""
    longitudes, latitudes = [node[0] for node in nodes.values()], [node[1] for node in nodes.values()]
    west, east, south, north = min(longitudes), max(longitudes), min(latitudes), max(latitudes)
    stretch = cos(radians((north + south) / 2)) or 1.0
    wide, high = max((east - west) * stretch, 1e-4), max(north - south, 1e-4)
    scale = min((WIDTH - 2 * EDGE) / wide, (HEIGHT_MAX - 2 * EDGE) / high)
    left = (WIDTH - wide * scale) / 2
    places = {
        name: (left + (node[0] - west) * stretch * scale, EDGE + (north - node[1]) * scale)
        for name, node in nodes.items()
    }
    return places, round(high * scale) + 2 * EDGE


def _line(kind: str, one: Place, other: Place) -> str:
    return f'<line class="{kind}" x1="{one[0]:.1f}" y1="{one[1]:.1f}" x2="{other[0]:.1f}" y2="{other[1]:.1f}"/>'


def _node(at: Place, owners: list[str], node: list[Any]) -> str:
    """Small; hollow and faint where the law lets no traffic pass."""
    colour = f"f{owners.index(node[2]) % SERIES}" if node[2] in owners else "fx"
    kind = "closed" if node[3] else colour
    return f'<circle class="{kind}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{1.7 if node[3] else 2.2}"/>'


def _way(places: list[Place]) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline class="way" points="{points}"/>'


def _cross(at: Place, name: str) -> str:
    x, y = at
    lines = f"M{x - 4:.1f} {y - 4:.1f}L{x + 4:.1f} {y + 4:.1f}M{x - 4:.1f} {y + 4:.1f}L{x + 4:.1f} {y - 4:.1f}"
    return f'<path class="cross" d="{lines}"><title>{escape(name)}: not served</title></path>'


def _zone(at: Place, owners: list[str], name: str) -> str:
    n = owners.index(name.partition("/")[0])
    return f"<g><title>{escape(name)}</title>{_mark(at, n, 6.5)}</g>"


def _mark(at: Place, n: int, r: float) -> str:
    """Operators differ in the form of their mark, too."""
    (x, y), form = at, MARKS[n % len(MARKS)]
    if form == "circle":
        return f'<circle class="zone f{n % SERIES}" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    corners = {
        "square": ((-r, -r), (r, -r), (r, r), (-r, r)),
        "diamond": ((0, -1.3 * r), (1.3 * r, 0), (0, 1.3 * r), (-1.3 * r, 0)),
        "triangle": ((0, -1.2 * r), (1.15 * r, r), (-1.15 * r, r)),
        "arrow": ((0, 1.2 * r), (1.15 * r, -r), (0, -0.4 * r), (-1.15 * r, -r)),
    }[form]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="zone f{n % SERIES}" points="{points}"/>'


def _legend(owners: list[str], height: int) -> list[str]:
    parts = []
    for n, name in enumerate(owners):
        x, y = EDGE + 205 * (n % 4), height + 18 + 22 * (n // 4)
        parts.append(f'{_mark((x + 6, y - 4), n, 6)}<text x="{x + 20}" y="{y}">{escape(name)}</text>')
    y = height + 18 + 22 * (1 + (len(owners) - 1) // 4)
    parts.append(f'{_line("way", (EDGE, y - 4), (EDGE + 24, y - 4))}<text x="{EDGE + 30}" y="{y}">way in use</text>')
    parts.append(f'<circle class="closed" cx="{EDGE + 140}" cy="{y - 4}" r="3"/>')
    parts.append(f'<text x="{EDGE + 150}" y="{y}">closed to the traffic by law</text>')
    parts.append(
        f'{_cross((EDGE + 366, y - 4), "users")}<text x="{EDGE + 378}" y="{y}">users without a lawful zone</text>'
    )
    return parts
