"""Names that changed since somebody last looked."""

from __future__ import annotations

from hansa_control.application.changes import Changes
from hypothesis import given
from hypothesis import strategies as st


def test_whoever_has_never_looked_must_look_at_everything() -> None:
    assert Changes().since(-1) is None


def test_each_name_is_told_once_the_last_change_first() -> None:
    changes = Changes()
    for name in ("a", "b", "a", "c"):
        changes.note(name)
    assert changes.since(0) == ["c", "a", "b"]
    assert changes.since(2) == ["c", "a"]
    assert changes.since(changes.version) == []


def test_whoever_looked_too_long_ago_must_look_at_everything() -> None:
    changes = Changes(names_max=2)
    for name in ("a", "b", "c"):
        changes.note(name)
    assert changes.since(0) is None
    assert changes.since(1) == ["c", "b"]


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.integers(0, 40), st.integers(1, 6))
def test_what_is_told_is_all_that_changed_or_that_anything_may_have(
    names: list[str], looked_at: int, names_max: int
) -> None:
    changes = Changes(names_max)
    for name in names:
        changes.note(name)
    told = changes.since(looked_at)
    assert told is None or set(told) == set(names[looked_at:])
    if len(set(names)) <= names_max:
        assert told is not None
