"""What those who keep the machines ask: the file, the commands, and what the agent makes of both."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from agent_orders import order
from hansa_agent import site_wish
from hansa_agent.admission import judge
from hansa_agent.main import whole_app
from hansa_agent.site_wish import NOTHING, Wish, WishFile, WishUnreadable, WishWindow
from test_agent_admission import grounds
from typer.testing import CliRunner

from hansa.v1 import zone_pb2

NIGHT = ("--from", "2099-01-01T00:00", "--to", "2099-01-01T02:00")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "agent.yaml").write_text("state_dir: state\nbroken: {what: ever}\n")
    return tmp_path


def told(place: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(whole_app(), [words[0], "--config", str(place / "agent.yaml"), *words[1:]])
    assert result.exit_code == code, result.output
    return result.output


def asked(place: Path) -> Wish:
    return WishFile(place / "state").read()


def test_each_command_changes_its_own_part_and_leaves_the_rest(place: Path) -> None:
    told(place, "maintenance", *NIGHT, "--why", "switch")
    told(place, "cordon", "--why", "fan")
    told(place, "drain", "--by", "2098-12-31T00:00")
    wish = asked(place)
    assert (wish.cordoned, wish.drained, wish.note, len(wish.windows)) == (True, True, "fan", 1)
    assert "drained, to be empty by 2098-12-31 00:00 UTC (fan)" in told(place, "status")
    told(place, "uncordon")
    assert asked(place) == Wish(windows=wish.windows)
    told(place, "maintenance", "--withdraw", "--from", "2099-01-01T00:00")
    assert asked(place) == NOTHING


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("drain", "--by", "2020-01-01T00:00"), "--by: has passed"),
        (("drain", "--by", "soon"), "ISO 8601"),
        (("cordon", "--why", "x" * 201), "200 characters"),
        (("maintenance", "--from", "2099-01-01T00:00"), "ISO 8601"),
        (("maintenance", "--from", "2099-01-01T00:00", "--to", "2098-01-01T00:00"), "ends after its begin"),
        (("maintenance", "--from", "2020-01-01T00:00", "--to", "2020-01-01T01:00"), "has passed"),
        (("maintenance", "--from", "2099-01-01T01:00", "--to", "2099-01-01T03:00"), "overlap"),
        (("maintenance", "--withdraw", "--from", "2099-02-01T00:00"), "begin at 2099-01-01 00:00 UTC"),
    ],
)
def test_what_cannot_be_asked_changes_nothing(place: Path, words: tuple[str, ...], why: str) -> None:
    told(place, "maintenance", *NIGHT)
    before = asked(place)
    assert why in told(place, *words, code=1)
    assert asked(place) == before


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"\xff", b'{"cordoned": "no"}', b'{"drain": true}', b'{"windows": [{}]}', b" " * 70_000),
        *(b'{"\\u0007": true}', b'{"cordoned": true, "due_ms": 100000000000000000000}'),
        b'{"windows": [{"from_ms": 100000000000000000000, "until_ms": 100000000000000000005}]}',
    ],
)
def test_a_file_that_cannot_be_read_closes_the_zone_with_its_reason(place: Path, content: bytes) -> None:
    file = WishFile(place / "state")
    file.path.write_bytes(content)
    with pytest.raises(WishUnreadable):
        file.read()
    wish = file.look()
    assert wish.cordoned and "cannot be read: site-wish.json" in wish.note
    assert "uncordon" in told(place, "cordon", code=1)
    told(place, "uncordon")
    assert file.look() == NOTHING


def test_a_folder_in_the_place_of_the_file_closes_the_zone(place: Path) -> None:
    (place / "state" / "site-wish.json").mkdir()
    assert WishFile(place / "state").look().cordoned


def test_a_pipe_in_the_place_of_the_file_closes_the_zone_and_holds_nobody(place: Path) -> None:
    file = WishFile(place / "state")
    os.mkfifo(file.path)
    assert "no plain file" in file.look().note
    told(place, "uncordon")
    assert file.look() == NOTHING


def test_a_file_that_could_not_be_opened_once_is_looked_at_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = WishFile(place / "state")
    told(place, "maintenance", *NIGHT)
    with monkeypatch.context() as patched:
        patched.setattr(site_wish, "read_plain", Mock(side_effect=OSError(errno.EMFILE, "too many")))
        assert file.look().cordoned
    assert not file.look().cordoned


def test_a_folder_that_somebody_holds_and_does_not_let_go_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_wish, "LOCK_ATTEMPTS", 2)
    with WishFile(place / "state").alone():
        assert "another process holds it" in told(place, "cordon", code=1)
    told(place, "cordon")


def test_a_link_that_lies_in_wait_is_not_written_through(place: Path) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.write_text("mine")
    before = elsewhere.stat()
    (place / "state" / "site-wish.json.new").symlink_to(elsewhere)
    told(place, "cordon")
    assert (elsewhere.read_text(), elsewhere.stat().st_mtime_ns) == ("mine", before.st_mtime_ns)
    assert asked(place).cordoned and not (place / "state" / "site-wish.json").is_symlink()


def test_the_agent_sees_a_change_and_does_not_read_what_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = WishFile(place / "state")
    assert file.look() == NOTHING
    told(place, "cordon")
    assert file.look().cordoned
    monkeypatch.setattr(WishFile, "read", lambda self: pytest.fail("read again"))
    assert file.look().cordoned


def test_the_file_is_the_owners_of_the_state_directory_alone(place: Path) -> None:
    told(place, "cordon")
    found = (place / "state" / "site-wish.json").stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o600, (place / "state").stat().st_uid)


def test_a_wish_is_told_in_full_and_nothing_is_told_as_nothing() -> None:
    window = WishWindow(from_ms=1, until_ms=2, lead_ms=3, note="switch")
    wish = Wish(cordoned=True, drained=True, note="fan", due_ms=4, windows=(window,))
    sent = zone_pb2.MaintenanceWindow(from_ms=1, until_ms=2, lead_ms=3, note="switch")
    assert wish.message() == zone_pb2.SiteWish(cordoned=True, drained=True, note="fan", due_ms=4, windows=[sent])
    assert NOTHING.message() is None


def test_a_cordoned_agent_takes_no_new_order_and_keeps_those_that_it_has() -> None:
    closed = replace(grounds(), closed=Wish(cordoned=True, note="power").closed)
    held = {order().name: order()}
    assert judge(order(), {}, closed) == ("instance", "the site takes nothing new: power")
    assert judge(order(), held, closed) is None
    announced = Wish(windows=(WishWindow(from_ms=1, until_ms=2),))
    assert announced.closed == NOTHING.closed == ""


def test_an_empty_begin_withdraws_no_window(place: Path) -> None:
    told(place, "maintenance", *NIGHT)
    assert "--from" in told(place, "maintenance", "--withdraw", "--from", "", code=1)
    assert len(asked(place).windows) == 1
    told(place, "maintenance", "--withdraw")
    assert asked(place).windows == ()
