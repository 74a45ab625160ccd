"""What is asked for a zone, and what follows from it at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_control.domain.model import Intake, SiteWish, Upkeep, Window, ZoneSide
from hansa_control.domain.upkeep import (
    LEAD_MS_MAX,
    WINDOWS_MAX,
    UpkeepAsked,
    UpkeepInvalid,
    announced,
    cordoned,
    drained,
    merged,
    uncordoned,
    upkeep_at,
    wished,
    withdrawn,
    without_past,
)

HOUR_MS = 3_600_000
NOTHING = UpkeepAsked("oslo-1")
NIGHT = Window(10 * HOUR_MS, 12 * HOUR_MS, HOUR_MS, "new switch")


def intake_at(asked: UpkeepAsked, hours: float) -> Intake:
    return upkeep_at(asked, int(hours * HOUR_MS)).intake


def test_a_zone_of_which_nothing_is_asked_is_open() -> None:
    assert upkeep_at(NOTHING, 0) == Upkeep()
    assert NOTHING.is_nothing


def test_a_window_closes_the_zone_from_its_announcement_and_empties_it_from_its_lead_on() -> None:
    asked = announced(NOTHING, NIGHT, 0)
    stages = [intake_at(asked, hours) for hours in (0, 8.9, 9, 10, 11.9, 12)]
    maintenance, draining = Intake.MAINTENANCE, Intake.DRAINING
    assert stages == [maintenance, maintenance, draining, draining, draining, Intake.OPEN]


def test_what_is_to_leave_before_a_window_is_due_at_its_begin() -> None:
    found = upkeep_at(announced(NOTHING, NIGHT, 0), int(9.5 * HOUR_MS))
    assert (found.due_ms, found.note, found.windows) == (NIGHT.from_ms, "new switch", (NIGHT,))


def test_of_several_times_to_be_empty_the_soonest_counts() -> None:
    asked = drained(announced(NOTHING, NIGHT, 0), "now", 20 * HOUR_MS)
    assert upkeep_at(asked, 9 * HOUR_MS).due_ms == NIGHT.from_ms
    assert upkeep_at(asked, 1 * HOUR_MS).due_ms == 20 * HOUR_MS


def test_a_cordon_outlasts_the_window_and_a_drain_outdoes_a_cordon() -> None:
    asked = cordoned(announced(NOTHING, NIGHT, 0), "broken fan")
    assert [intake_at(asked, hours) for hours in (1, 9, 13)] == [Intake.CORDONED, Intake.DRAINING, Intake.CORDONED]
    assert upkeep_at(asked, 0).note == "broken fan"


def test_uncordon_ends_a_drain_and_leaves_what_is_announced() -> None:
    asked = uncordoned(drained(announced(NOTHING, NIGHT, 0), "now", 5))
    assert asked == announced(NOTHING, NIGHT, 0)


def test_a_cordon_does_not_end_a_drain() -> None:
    assert intake_at(cordoned(drained(NOTHING, "", 0), "still"), 0) is Intake.DRAINING


@pytest.mark.parametrize(
    ("window", "field"),
    [
        (replace(NIGHT, until_ms=NIGHT.from_ms), "until_ms"),
        (Window(0, HOUR_MS, 0), "until_ms"),
        (replace(NIGHT, until_ms=NIGHT.from_ms + 15 * 24 * HOUR_MS), "until_ms"),
        (replace(NIGHT, lead_ms=-1), "lead_ms"),
        (replace(NIGHT, lead_ms=LEAD_MS_MAX + 1), "lead_ms"),
        (replace(NIGHT, from_ms=NIGHT.from_ms + HOUR_MS, until_ms=NIGHT.until_ms + HOUR_MS), "from_ms"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_with_its_field(window: Window, field: str) -> None:
    asked = announced(NOTHING, NIGHT, 0)
    with pytest.raises(UpkeepInvalid) as refused:
        announced(asked, window, 2 * HOUR_MS)
    assert refused.value.field == field


def test_a_window_of_the_same_begin_is_replaced() -> None:
    later = replace(NIGHT, until_ms=NIGHT.until_ms + HOUR_MS)
    assert announced(announced(NOTHING, NIGHT, 0), later, 0).windows == (later,)


def test_windows_are_bounded_and_kept_by_their_begin() -> None:
    asked = NOTHING
    for number in reversed(range(WINDOWS_MAX)):
        asked = announced(asked, Window((2 * number + 1) * HOUR_MS, (2 * number + 2) * HOUR_MS, 0), 0)
    assert list(asked.windows) == sorted(asked.windows, key=lambda window: window.from_ms)
    with pytest.raises(UpkeepInvalid, match="more than 16 windows"):
        announced(asked, Window(100 * HOUR_MS, 101 * HOUR_MS, 0), 0)


def test_a_window_is_withdrawn_by_its_begin_and_a_wrong_one_names_the_nearest() -> None:
    asked = announced(NOTHING, NIGHT, 0)
    assert withdrawn(asked, NIGHT.from_ms) == NOTHING
    assert withdrawn(asked, 0) == NOTHING
    with pytest.raises(UpkeepInvalid, match=f"the nearest begins at {NIGHT.from_ms}"):
        withdrawn(asked, NIGHT.from_ms + 1)


def test_windows_that_are_over_are_forgotten() -> None:
    asked = announced(NOTHING, NIGHT, 0)
    assert without_past(asked, NIGHT.until_ms - 1) is asked
    assert without_past(asked, NIGHT.until_ms).is_nothing


def both(operator: UpkeepAsked, wish: SiteWish | None, hours: float = 0) -> Upkeep:
    at_ms = int(hours * HOUR_MS)
    return merged(upkeep_at(operator, at_ms), upkeep_at(wished("oslo-1", wish), at_ms))


def test_a_zone_is_open_only_if_neither_side_closes_it() -> None:
    cordon, wish = cordoned(NOTHING, "fan"), SiteWish(is_cordoned=True, note="power")
    assert both(NOTHING, None) == both(NOTHING, SiteWish()) == Upkeep()
    assert both(cordon, None) == Upkeep(Intake.CORDONED, "fan", sides=(ZoneSide.OPERATOR,))
    assert both(NOTHING, wish) == Upkeep(Intake.CORDONED, "power", sides=(ZoneSide.SITE,))
    assert both(cordon, wish) == Upkeep(Intake.CORDONED, "operator: fan; site: power", sides=tuple(ZoneSide))


def test_of_both_sides_the_stricter_counts_and_the_sooner_time() -> None:
    wish = SiteWish(is_drained=True, due_ms=5, note="power")
    found = both(drained(NOTHING, "", 3), wish)
    assert (found.intake, found.due_ms, found.note) == (Intake.DRAINING, 3, "site: power")
    assert both(cordoned(NOTHING, ""), wish).intake is Intake.DRAINING
    assert both(drained(NOTHING, "", 0), SiteWish(is_cordoned=True)).intake is Intake.DRAINING


def test_maintenance_of_the_site_begins_and_ends_like_the_operators() -> None:
    wish = SiteWish(windows=(NIGHT,))
    seen = [both(NOTHING, wish, hours).intake for hours in (8, 9, 11, 12)]
    assert seen == [Intake.MAINTENANCE, Intake.DRAINING, Intake.DRAINING, Intake.OPEN]


def test_windows_of_both_sides_stand_beside_one_another_by_begin_and_are_bounded() -> None:
    morning = Window(20 * HOUR_MS, 21 * HOUR_MS, 0)
    asked = announced(NOTHING, morning, 0)
    assert both(asked, SiteWish(windows=(NIGHT,))).windows == (NIGHT, morning)
    many = tuple(Window(at * HOUR_MS, at * HOUR_MS + 1, 0) for at in range(30, 30 + WINDOWS_MAX))
    assert len(both(asked, SiteWish(windows=many)).windows) == WINDOWS_MAX
