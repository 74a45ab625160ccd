"""Files that never end, YAML that unfolds without end, text that a terminal would obey, folders that take nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_sim.latency.command import app
from scenario_texts import written
from typer.testing import CliRunner

from hansa.bounded_file import open_table, read_bounded
from hansa.errors import HansaError
from hansa.yaml_tree import read_yaml_file

ZERO = Path("/dev/zero")
FULL = Path("/dev/full")
SHORT = ("--requests", "2000", "--set", "policies=[nearest]", "--set", "compare={law: false, federation: false}")


def _refused(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.replace("\u2502", " ").split())


def test_a_scenario_that_never_ends_is_refused_and_not_read_on() -> None:
    assert _refused("check", ZERO) == "/dev/zero: larger than 16777216 bytes"


@pytest.mark.parametrize("key", ["network.round_trips=/dev/zero", "arrivals={kind: trace, file: /dev/zero}"])
def test_tables_that_never_end_are_refused(tmp_path: Path, key: str) -> None:
    said = _refused("run", written(tmp_path), "--set", key)
    assert "/dev/zero: not a regular file" in said


def test_points_and_notes_of_a_server_that_never_end_are_refused(tmp_path: Path) -> None:
    said = _refused("sweep", written(tmp_path), "--out", tmp_path / "sweep", "--points", ZERO)
    assert "/dev/zero: not a regular file" in said
    said = _refused("calibrate", ZERO, "--model", "llama-3.1-8b", "--hardware", "L40S")
    assert said == "/dev/zero: not a regular file"


def test_yaml_of_others_that_never_ends_is_refused() -> None:
    with pytest.raises(HansaError, match="larger than 1048576 bytes"):
        read_yaml_file(ZERO)


def test_bounded_files_are_read_whole_up_to_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "four"
    path.write_bytes(b"a\r\nb")
    assert read_bounded(path, 4) == b"a\r\nb"
    with pytest.raises(OSError, match="larger than 3 bytes"):
        read_bounded(path, 3)
    with open_table(path) as lines:
        assert list(lines) == ["a\r\n", "b"]


def test_aliases_that_unfold_to_a_billion_are_looked_at_once(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    assert "bomb.yaml:9: i: unknown key" in _refused("check", path)


def test_a_title_is_shown_as_it_is_and_obeyed_by_nobody(tmp_path: Path) -> None:
    title = 'title="[/nope] [bold]x\\e[31m"'
    path = str(written(tmp_path))
    result = CliRunner().invoke(app, ["run", path, *SHORT, "--set", title])
    assert result.exit_code == 0, result.output
    assert "[/nope] [bold]x\\x1b[31m" in result.stdout
    assert "\x1b" not in CliRunner().invoke(app, ["check", path, "--set", title]).stdout


@pytest.mark.parametrize("name", ["results.json", "rows.parquet"])
def test_a_disk_without_room_is_told_of_in_a_line(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).symlink_to(FULL)
    assert _refused("run", written(tmp_path), *SHORT, "--out", out) == f"--out {out}: No space left on device"


def test_a_sweep_without_room_is_told_of_in_a_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "sweep.html").symlink_to(FULL)
    points = ("--set", "run.requests=2000", "--set", "policies=[nearest]", "--jobs", "1")
    assert f"--out {out}: No space left on device" in _refused("sweep", written(tmp_path), "--out", out, *points)


def test_help_names_the_extra_that_dask_needs() -> None:
    assert "hansa[sim-dask]" in CliRunner().invoke(app, ["sweep", "--help"]).stdout
