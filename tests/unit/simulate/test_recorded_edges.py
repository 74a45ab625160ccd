"""Recorded requests and what servers noted, at the edges: marks, line ends, and numbers that no clock can show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hansa_sim.latency.served_file import ServedFileError, read_served
from hansa_sim.latency.trace_file import Trace, TraceFileError, read_trace

MARK = b"\xef\xbb\xbf"
"""Put before UTF-8 by spreadsheets."""

TABLES = {
    "azure": "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,30,4\n2023-11-16 18:17:05,20,6\n",
    "mooncake": "timestamp_ms,input_length,output_length\n0,30,4\n2000,20,6\n",
    "lines": '{"timestamp": 0, "input_length": 30, "output_length": 4}\n'
    '{"timestamp": 2000, "input_length": 20, "output_length": 6}\n',
}
SAME = ([0, 2_000_000_000], [30, 20], [4, 6])
MANY_DIGITS = "9" * 5_000
NOTED = {
    "input_toks": 10,
    "output_toks": 5,
    "arrival_time": 1_000.0,
    "queued_ts": 5.0,
    "scheduled_ts": 5.1,
    "first_token_ts": 5.2,
    "last_token_ts": 6.0,
}


def _file(folder: Path, content: bytes | str) -> Path:
    file = folder / "recorded"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def _columns(trace: Trace) -> tuple[list[int], list[int], list[int]]:
    return trace.at_ns.tolist(), trace.prompt.tolist(), trace.generated.tolist()


def _noted(folder: Path, *rows: Mapping[str, object]) -> Path:
    return _file(folder, "\n".join(json.dumps({**NOTED, **row}) for row in rows))


# --- recorded requests ---


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("mark", [b"", MARK], ids=["plain", "marked"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\n\n", "\n  \n"], ids=["unix", "windows", "double", "blanks"])
def test_marks_and_ends_of_lines_are_no_matter(tmp_path: Path, kind: str, mark: bytes, ends: str) -> None:
    content = mark + TABLES[kind].replace("\n", ends).encode()
    assert _columns(read_trace(_file(tmp_path, content))) == SAME


@pytest.mark.parametrize("kind", TABLES)
def test_the_last_line_needs_no_end(tmp_path: Path, kind: str) -> None:
    assert _columns(read_trace(_file(tmp_path, TABLES[kind].rstrip()))) == SAME


@pytest.mark.parametrize("kind", TABLES)
def test_times_that_go_backwards_are_put_in_order_each_with_its_tokens(tmp_path: Path, kind: str) -> None:
    head, *rows = TABLES[kind].splitlines()
    lines = [*reversed([head, *rows])] if kind == "lines" else [head, *reversed(rows)]
    assert _columns(read_trace(_file(tmp_path, "\n".join(lines)))) == SAME


def test_requests_of_one_moment_stay_in_the_order_in_which_they_stand(tmp_path: Path) -> None:
    rows = [f"7,{prompt},1" for prompt in range(100, 60, -1)] + ["0,1,1"]
    trace = read_trace(_file(tmp_path, "timestamp_ms,input_length,output_length\n" + "\n".join(rows)))
    assert trace.prompt.tolist() == [1, *range(100, 60, -1)]


def test_moments_before_1970_have_fractions_that_go_forwards(tmp_path: Path) -> None:
    rows = ["1969-12-31 23:59:58.25,1,1", "1969-12-31 23:59:59.75,2,1", "1970-01-01 00:00:00.5,3,1"]
    trace = read_trace(_file(tmp_path, "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(rows)))
    assert trace.at_ns.tolist() == [0, 1_500_000_000, 2_250_000_000]


@pytest.mark.parametrize("content", [b"", MARK, b"\r\n", b" \n\n", MARK + b"\n"])
def test_a_file_of_nothing_is_no_trace(tmp_path: Path, content: bytes) -> None:
    file = _file(tmp_path, content)
    with pytest.raises(TraceFileError) as refused:
        read_trace(file)
    assert str(refused.value).startswith(f"{file}:1:1: no trace begins like this")


@pytest.mark.parametrize("kind", ["azure", "mooncake"])
def test_a_header_alone_has_no_rate(tmp_path: Path, kind: str) -> None:
    with pytest.raises(TraceFileError, match="0 requests; two are the least"):
        read_trace(_file(tmp_path, TABLES[kind].splitlines()[0]))


@pytest.mark.parametrize(
    ("kind", "old", "new", "says"),
    [
        ("lines", "20,", "20.5,", ":2:22: input_length is 20.5"),
        ("lines", "20,", "1e999,", ":2:22: input_length is inf"),
        ("lines", "20,", "true,", ":2:22: input_length is True"),
        ("lines", "2000", "NaN", ":2:3: timestamp is nan"),
        ("lines", "20,", f"{MANY_DIGITS},", ":2:1: not JSON"),
        ("azure", ",20,", f",{MANY_DIGITS},", ":3:21: '999"),
        ("azure", ",20,", ",100000001,", ":3:21: '100000001' is not a number of tokens from 0 to 100000000"),
        ("azure", ",20,", ",\u0662,", ":3:21: '\u0662' is not a number of tokens"),
        ("azure", "2023-11-16 18:17:05", "0001-01-01 00:00:00+14:00", ":3:1: '0001-01-01 00:00:00+14:00' is not a"),
        ("azure", "18:17:05", "18:17:60", ":3:1: '2023-11-16 18:17:60' is not a moment"),
        ("mooncake", "2000", "inf", ":3:1: 'inf' is not a moment"),
        ("mooncake", "2000", "-0.001", ":3:1: '-0.001' is not a moment"),
        ("mooncake", "2000,20", "", ":3:1: '' is not a moment"),
    ],
)
def test_a_figure_that_is_none_is_refused_where_it_stands(
    tmp_path: Path, kind: str, old: str, new: str, says: str
) -> None:
    head, _, last = TABLES[kind].rpartition(TABLES[kind].splitlines()[-1])
    changed = TABLES[kind].splitlines()[-1].replace(old, new, 1)
    assert last == "\n" and changed != TABLES[kind].splitlines()[-1]
    file = _file(tmp_path, head + changed)
    with pytest.raises(TraceFileError) as refused:
        read_trace(file)
    assert str(refused.value).startswith(f"{file}{says}"[:200])


@pytest.mark.parametrize(("tokens", "read"), [("0", 1), ("000", 1), ("0" * 5_000 + "7", 7), ("100000000", 100_000_000)])
def test_tokens_are_read_up_to_the_most_and_with_leading_zeros(tmp_path: Path, tokens: str, read: int) -> None:
    trace = read_trace(_file(tmp_path, TABLES["azure"].replace(",20,", f",{tokens},")))
    assert trace.prompt.tolist() == [30, read]


def test_bytes_that_are_no_utf_8_are_said(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="utf-8"):
        read_trace(_file(tmp_path, TABLES["azure"].encode("utf-16")))


# --- what a server noted ---


@pytest.mark.parametrize("mark", [b"", MARK], ids=["plain", "marked"])
def test_notes_with_marks_and_empty_lines_are_read(tmp_path: Path, mark: bytes) -> None:
    line = json.dumps(NOTED).encode()
    served = read_served(_file(tmp_path, mark + line + b"\r\n\r\n" + line + b"\r\n"))
    assert (served.prompt.tolist(), served.whole_ns.tolist()) == ([10, 10], [1_000_000_000] * 2)


@pytest.mark.parametrize("content", [b"", b"\n\n", MARK])
def test_notes_of_nothing_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ServedFileError, match="no request in it"):
        read_served(_file(tmp_path, content))


@pytest.mark.parametrize("key", ["arrival_time", "queued_ts", "last_token_ts", "input_toks", "output_toks"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300, -1, True, None, "5", [5]])
def test_a_figure_that_no_clock_and_no_count_can_show_is_refused(tmp_path: Path, key: str, value: object) -> None:
    file = _noted(tmp_path, {}, {key: value})
    with pytest.raises(ServedFileError) as refused:
        read_served(file)
    column = file.read_text(encoding="utf-8").splitlines()[1].index(key) + 1
    assert str(refused.value).startswith(f"{file}:2:{column}: {key} is {value!r}")


def test_a_part_of_a_token_is_refused_and_a_whole_one_may_have_a_point(tmp_path: Path) -> None:
    assert read_served(_noted(tmp_path, {"input_toks": 12.0})).prompt.tolist() == [12]
    with pytest.raises(ServedFileError, match=r"input_toks is 12\.5; tokens are whole"):
        read_served(_noted(tmp_path, {"input_toks": 12.5}))


def test_a_number_of_thousands_of_digits_is_refused_with_its_line(tmp_path: Path) -> None:
    line = json.dumps(NOTED)
    file = _file(tmp_path, f"{line}\n" + line.replace('"input_toks": 10', f'"input_toks": {MANY_DIGITS}'))
    with pytest.raises(ServedFileError, match=":2:1: not JSON"):
        read_served(file)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("queued_ts", "scheduled_ts"), ("scheduled_ts", "first_token_ts"), ("first_token_ts", "last_token_ts")],
)
def test_stamps_of_a_request_may_be_equal_and_never_go_backwards(tmp_path: Path, earlier: str, later: str) -> None:
    assert len(read_served(_noted(tmp_path, dict.fromkeys(list(NOTED)[3:], 7.0))).prompt) == 1
    with pytest.raises(ServedFileError, match=f":1:[0-9]+: {later} is before {earlier}"):
        read_served(_noted(tmp_path, {later: NOTED[earlier] - 0.001}))


def test_clocks_meet_where_a_request_was_queued_soonest_and_nobody_is_queued_before_it_came(tmp_path: Path) -> None:
    slow = {"arrival_time": 1_000.0, "queued_ts": 5.4, "scheduled_ts": 5.5, "first_token_ts": 5.6}
    quick = {"arrival_time": 1_001.0, "queued_ts": 6.1, "scheduled_ts": 6.1, "first_token_ts": 6.2, "last_token_ts": 7}
    served = read_served(_noted(tmp_path, quick, slow))
    # The second arrived at 6.1 s of the server's clock, so the first did at 5.1 s.
    assert served.arrival_ns.tolist() == [0, 1_000_000_000]
    assert served.to_first_ns.tolist() == pytest.approx([500_000_000, 100_000_000], abs=2)
    assert served.whole_ns.tolist() == pytest.approx([900_000_000, 900_000_000], abs=2)
