"""A journal gives back what was finished and nothing else, wherever it was cut, and holds one writer at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hansa_sim.latency.sweeps.journal import Journal, JournalBusy
from hansa_sim.latency.sweeps.playing import Outcome, Status
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

TEXTS = st.text(max_size=20)
FIGURES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
OUTCOMES = st.builds(
    Outcome,
    digest=st.text("0123456789abcdef", min_size=4, max_size=4),
    status=st.sampled_from(Status),
    error=TEXTS,
    rows=st.lists(st.dictionaries(TEXTS, FIGURES, max_size=4), max_size=3).map(tuple),
    code=TEXTS,
)
DAMAGED = (b"\0" * 40, b"[]", b"{}", b"3", b'{"digest": 1}', b"not json")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def _written(path: Path, *outcomes: Outcome) -> None:
    with Journal(path) as journal:
        for outcome in outcomes:
            journal.add(outcome)


def _read(path: Path) -> dict[str, Outcome]:
    with Journal(path) as journal:
        return dict(journal.finished)


@settings(max_examples=60, deadline=None)
@given(outcomes=st.lists(OUTCOMES, max_size=6))
def test_what_was_finished_comes_back_as_it_was(outcomes: list[Outcome]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        _written(path, *outcomes)
        assert _read(path) == {one.digest: one for one in outcomes if one.status is not Status.FAILED}


@settings(max_examples=60, deadline=None)
@given(outcomes=st.lists(OUTCOMES, min_size=1, max_size=4), data=st.data())
def test_wherever_it_is_cut_the_lines_before_are_kept_and_the_next_one_is_whole(
    outcomes: list[Outcome], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        _written(path, *outcomes)
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        kept = {json.loads(line)["digest"] for line in content[:cut].split(b"\n")[:-1]}
        later = Outcome("later", Status.OK, "", ({"row": "nearest"},), "code")
        with Journal(path) as journal:
            assert set(journal.finished) == kept
            journal.add(later)
        assert _read(path)["later"] == later
        assert set(_read(path)) == {*kept, "later"}


@settings(max_examples=60, deadline=None)
@given(digests=st.lists(st.text("abc", min_size=3, max_size=3), unique=True, min_size=2, max_size=5), data=st.data())
def test_a_damaged_line_costs_itself_alone(digests: list[str], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        _written(path, *(Outcome(digest, Status.OK) for digest in digests))
        lines = path.read_bytes().splitlines(keepends=True)
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(st.sampled_from(DAMAGED)) + b"\n"
        path.write_bytes(b"".join(lines))
        assert set(_read(path)) == set(digests) - {digests[at]}


def test_a_point_that_failed_is_not_written_down(path: Path) -> None:
    _written(path, Outcome("a", Status.FAILED, "broken"), Outcome("b", Status.REFUSED, "never"))
    assert list(_read(path)) == ["b"]


def test_the_newest_of_two_lines_of_a_point_counts(path: Path) -> None:
    _written(path, Outcome("a", Status.REFUSED, "first"), Outcome("a", Status.REFUSED, "second"))
    assert _read(path)["a"].error == "second"


def test_one_journal_has_one_writer_and_is_free_when_that_one_has_gone(path: Path) -> None:
    with Journal(path), pytest.raises(JournalBusy, match="another sweep"), Journal(path):
        pass
    _written(path, Outcome("a", Status.OK))
    assert list(_read(path)) == ["a"]


def test_a_writer_that_was_killed_leaves_the_journal_free(path: Path) -> None:
    child = os.fork()
    if child == 0:
        with Journal(path) as journal:
            journal.add(Outcome("a", Status.OK))
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert list(_read(path)) == ["a"]


def test_a_line_is_on_the_disk_before_its_point_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, bool]] = []
    with Journal(path) as journal:
        monkeypatch.setattr(os, "fsync", lambda _: seen.append((path.stat().st_size, "a" in journal.finished)))
        journal.add(Outcome("a", Status.OK))
        assert seen == [(path.stat().st_size, False)]
        assert "a" in journal.finished


def test_an_empty_journal_has_nothing(path: Path) -> None:
    _written(path)
    assert _read(path) == {}
    assert path.read_bytes() == b""


class Crashes(RuleBasedStateMachine):
    """A journal that is written to, torn in its last line, and opened again, against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.jsonl"
        self.kept: dict[str, Outcome] = {}

    @rule(outcome=OUTCOMES)
    def finish(self, outcome: Outcome) -> None:
        """A point is finished and written down."""
        _written(self.path, outcome)
        if outcome.status is not Status.FAILED:
            self.kept[outcome.digest] = outcome

    @rule(outcome=OUTCOMES, share=st.floats(0, 0.99))
    def tear(self, outcome: Outcome, share: float) -> None:
        """The process dies while it writes a line."""
        before = self.path.read_bytes() if self.path.exists() else b""
        _written(self.path, outcome)
        line = self.path.read_bytes()[len(before) :]
        self.path.write_bytes(before + line[: int(len(line) * share)])

    @invariant()
    def nothing_is_lost_and_nothing_made_up(self) -> None:
        """What can be read is what was finished."""
        assert _read(self.path) == self.kept

    def teardown(self) -> None:
        """Every history has a folder of its own."""
        self.folder.cleanup()


TestCrashes = Crashes.TestCase
TestCrashes.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
