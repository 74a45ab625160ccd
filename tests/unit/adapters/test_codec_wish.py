"""What a site asks, as its agent's advert brings it."""

from __future__ import annotations

import pytest
from hansa_control.adapters.codec_upkeep import wish_in, wish_out
from hansa_control.domain.model import SiteWish, Window

from hansa.v1.zone_pb2 import MaintenanceWindow
from hansa.v1.zone_pb2 import SiteWish as Wire

PATH = "inventory.wish"


def test_every_field_of_a_wish_goes_there_and_back() -> None:
    wish = SiteWish(is_cordoned=True, is_drained=True, note="power", due_ms=5, windows=(Window(1, 2, 3, "switch"),))
    assert wish_in(wish_out(wish), PATH) == wish


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        (Wire(note="a\nb"), "inventory.wish.note"),
        (Wire(due_ms=-1), "inventory.wish.due_ms"),
        (Wire(windows=[MaintenanceWindow(from_ms=2, until_ms=2)]), "inventory.wish.windows[0].until_ms"),
        (Wire(windows=[MaintenanceWindow(from_ms=1, until_ms=2)] * 17), "inventory.wish.windows"),
    ],
)
def test_a_wish_that_cannot_be_read_closes_the_zone_and_says_what_is_wrong(wire: Wire, field: str) -> None:
    wish = wish_in(wire, PATH)
    assert wish.is_cordoned and wish.note.startswith(f"what the site asks cannot be read: {field} ")
