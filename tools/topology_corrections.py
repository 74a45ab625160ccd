"""What polygons and topohub's names do not say, corrected by hand for ``make_topology_tables.py``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

# Letters that Unicode does not decompose into a base letter and a mark.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "ı": "i", "ß": "ss", "æ": "ae", "đ": "d", "ð": "d", "þ": "th"})

# Territory that Natural Earth keeps apart but that is part of a state for the law of transit: Aland is Finland.
DEPENDENT: Mapping[str, str] = {"AX": "FI"}

# (code in the polygons, west, south, east, north): territory whose control is contested; generous on purpose.
CONTESTED_BOXES = (
    ("RU", (32.4, 44.3, 36.7, 46.3)),  # Crimea
    ("UA", (32.4, 44.3, 36.7, 46.3)),  # Kherson south of the isthmus
    ("UA", (34.4, 46.2, 40.3, 50.1)),  # Donetsk, Luhansk, Zaporizhzhia
    ("MD", (29.2, 46.3, 30.2, 47.5)),  # Transnistria
    ("GE", (40.0, 42.35, 42.2, 43.7)),  # Abkhazia
    ("GE", (43.4, 42.0, 44.9, 42.8)),  # South Ossetia
)

# Platforms on a continental shelf are under the exclusive jurisdiction of the coastal state
# (UN Convention on the Law of the Sea, articles 60 and 80).
COUNTRIES: Mapping[int, str] = {
    1705: "NO",  # Valhall
    1704: "NO",  # Ekofisk
    1703: "NO",  # Draupner
    1702: "NO",  # Ula
    1706: "GB",  # Murdoch
    1364: "DK",  # South Arne
    1363: "DK",  # Valdemar
    1362: "DK",  # Tyra
}

# Where topohub names a district, the city; where two nodes share a name, the landing point says so.
NAMES: Mapping[int, str] = {
    384: "paris",
    406: "hamburg",
    416: "berlin",
    463: "budapest",
    714: "almere",
    791: "warsaw",
    831: "saint-petersburg",
    954: "madrid",
    1445: "palma-landing",
}
TITLES: Mapping[int, str] = {
    384: "Paris",
    406: "Hamburg",
    416: "Berlin",
    463: "Budapest",
    714: "Almere",
    791: "Warsaw",
    831: "Saint Petersburg",
    954: "Madrid",
    1283: "Nyborg",
    1289: "Vellinge",
    1294: "Teriberka",
    1364: "South Arne (platform)",
    1363: "Valdemar (platform)",
    1362: "Tyra (platform)",
    1374: "Ålsgårde",
    1389: "Nynäshamn",
    1392: "Bornholm",
    1394: "Norrtälje",
    1445: "Palma (landing point)",
    1609: "Stavsnäs",
    1686: "Rødbyhavn",
    1700: "Fårösund",
    1702: "Ula (platform)",
    1703: "Draupner (platform)",
    1704: "Ekofisk (platform)",
    1705: "Valhall (platform)",
    1706: "Murdoch (platform)",
    1741: "Måde",
    1772: "Vesterø Havn",
    1773: "Lyngså",
    1855: "Breivika (Harstad)",
}


def slug(title: str) -> str:
    """A stable lower-case ascii name: letters without their marks, everything else a single hyphen."""
    plain = unicodedata.normalize("NFKD", title.lower().replace("i̇", "i").translate(_LETTERS))
    ascii_only = plain.encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.replace("'", "")).strip("-")
