"""Who was away himself does not call others silent for that; who is late every time is not excused."""

from __future__ import annotations

from hansa_control.domain.attention import Attention, look

AWAY_MS_MIN = 2_000


def absences(*moments_ms: int) -> list[int]:
    attention, found = Attention(), []
    for now_ms in moments_ms:
        attention, away_ms = look(attention, now_ms, AWAY_MS_MIN)
        found.append(away_ms)
    return found


def test_who_looks_in_time_was_never_away() -> None:
    assert absences(7_000, 7_250, 9_249) == [0, 0, 0]


def test_an_absence_is_as_long_as_nobody_looked() -> None:
    assert absences(0, 250, 4_550, 4_800) == [0, 0, 4_300, 0]
    assert absences(0, 2_000) == [0, 2_000]


def test_who_is_late_every_time_is_excused_once_until_he_has_been_in_time() -> None:
    assert absences(0, 3_000, 6_000, 9_000, 9_250, 13_000) == [0, 3_000, 0, 0, 0, 3_750]
