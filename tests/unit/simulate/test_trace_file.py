"""Recorded requests in their published formats: what is read, how it is repeated, and what is said of errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_sim.latency.trace_file import TraceFileError, read_trace

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:05.0319601,110,27
"""
MOONCAKE = """{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 3000, "input_length": 7322, "output_length": 490, "hash_ids": [0, 14]}
{"timestamp": 3000, "input_length": 7236, "output_length": 794, "hash_ids": [0]}
"""
MOONCAKE_TABLE = "timestamp_ms,input_length,output_length,n_blocks\n0,6758,500,14\n3000,7322,490,15\n3000,7236,794,15\n"

ROOT = Path(__file__).resolve().parents[3]
RECORDED = ROOT.parent / "shared" / "data" / "llm-trace"


def _file(folder: Path, text: str) -> Path:
    file = folder / "trace"
    file.write_text(text, encoding="utf-8")
    return file


def test_azures_moments_are_read_to_their_last_digit(tmp_path: Path) -> None:
    trace = read_trace(_file(tmp_path, AZURE))
    assert trace.at_ns.tolist() == [0, 52_000_000, 1_052_000_100]
    assert (trace.prompt.tolist(), trace.generated.tolist()) == ([4808, 3180, 110], [10, 8, 27])


@pytest.mark.parametrize(
    ("moment", "ns"),
    [
        ("2023-11-16 18:17:04", 20_040_000),
        ("2023-11-16T18:17:04.5Z", 520_040_000),
        ("2023-11-16 19:17:04.000000+01:00", 20_040_000),
    ],
)
def test_moments_may_have_a_zone_and_no_fraction(tmp_path: Path, moment: str, ns: int) -> None:
    text = AZURE.replace("2023-11-16 18:17:04.0319600", moment)
    assert read_trace(_file(tmp_path, text)).at_ns[1] == ns


@pytest.mark.parametrize("text", [MOONCAKE, MOONCAKE_TABLE], ids=["lines", "table"])
def test_mooncake_is_read_as_published_and_as_a_table(tmp_path: Path, text: str) -> None:
    trace = read_trace(_file(tmp_path, text))
    assert trace.at_ns.tolist() == [0, 3_000_000_000, 3_000_000_000]
    assert (trace.prompt.tolist(), trace.generated.tolist()) == ([6758, 7322, 7236], [500, 490, 794])


def test_columns_may_stand_in_another_order_and_requests_too(tmp_path: Path) -> None:
    text = "output_length,timestamp_ms,input_length\r\n5,20,7\r\n3,10,9\r\n\r\n"
    trace = read_trace(_file(tmp_path, text))
    assert (trace.at_ns.tolist(), trace.prompt.tolist(), trace.generated.tolist()) == ([0, 10_000_000], [9, 7], [3, 5])


def test_no_tokens_count_as_one(tmp_path: Path) -> None:
    trace = read_trace(_file(tmp_path, MOONCAKE_TABLE.replace("7322,490", "0,0")))
    assert (trace.prompt[1], trace.generated[1]) == (1, 1)


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    read_trace(_file(tmp_path, MOONCAKE_TABLE))
    assert len(read_trace(_file(tmp_path, MOONCAKE_TABLE + "6000,10,10,1\n"))) == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1:1: no trace begins like this"),
        ("TIMESTAMPS,a,b\n", ":1:1: no trace begins like this; did you mean TIMESTAMP?"),
        (
            "TIMESTAMP,ContextToken,GeneratedTokens\n",
            ":1:1: column ContextTokens is missing; did you mean",
        ),
        (AZURE + "yesterday,1,1\n", ":5:1: 'yesterday' is not a moment"),
        (AZURE + "2023-13-16 18:17:04,1,1\n", ":5:1: '2023-13-16 18:17:04' is not a moment"),
        (AZURE + "2023-11-16 18:17:06,1,-1\n", ":5:23: '-1' is not a number of tokens from 0 to 100000000"),
        (AZURE + "2023-11-16 18:17:06,x,1\n", ":5:21: 'x' is not a number of tokens"),
        (AZURE + "2023-11-16 18:17:06,1\n", ":5:22: 2 columns; the header has more"),
        (MOONCAKE_TABLE + "nan,1,1,1\n", ":5:1: 'nan' is not a moment"),
        (MOONCAKE + "{\n", ":4:2: not JSON"),
        (MOONCAKE + "[]\n", ":4:1: not a JSON object"),
        (
            MOONCAKE + '{"timestamp": 1, "input_length": 5}\n',
            ":4:1: output_length is missing",
        ),
        (MOONCAKE + '{"timestamp": 1, "input_length": 5, "output_length": "8"}\n', ":4:38: output_length is '8'"),
        (MOONCAKE + '{"timestamp": -1, "input_length": 5, "output_length": 8}\n', ":4:3: timestamp is -1"),
        (AZURE.splitlines()[0] + "\n" + AZURE.splitlines()[1], "1 requests; two are the least"),
        (MOONCAKE_TABLE.replace("3000", "0"), "all requests at the same moment"),
    ],
)
def test_errors_have_file_line_and_column(tmp_path: Path, text: str, says: str) -> None:
    file = _file(tmp_path, text)
    with pytest.raises(TraceFileError) as refused:
        read_trace(file)
    assert str(refused.value).startswith(f"{file}:") and says in str(refused.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="No such file"):
        read_trace(tmp_path / "none.csv")


def test_a_trace_begins_again_after_its_length_and_a_mean_gap(tmp_path: Path) -> None:
    trace = read_trace(_file(tmp_path, "timestamp_ms,input_length,output_length\n0,1,1\n10,2,1\n40,3,1\n"))
    ms = 1_000_000
    assert trace.period_ns == 60 * ms
    assert trace.rate_rps == 50.0
    part = trace.part(1, 100 * ms)
    assert part.at_ns.tolist() == [0, 30 * ms, 50 * ms, 60 * ms, 90 * ms]
    assert part.prompt.tolist() == [2, 3, 1, 2, 3]
    assert trace.part(0, 11 * ms).at_ns.tolist() == [0, 10 * ms], "cut to the length"


def test_a_trace_that_is_played_faster_has_the_same_requests_in_less_time(tmp_path: Path) -> None:
    trace = read_trace(_file(tmp_path, AZURE))
    twice = trace.faster(2.0)
    assert twice.at_ns.tolist() == [0, 26_000_000, 526_000_050]
    assert twice.rate_rps == pytest.approx(2 * trace.rate_rps, rel=1e-6)
    assert twice.prompt.tolist() == trace.prompt.tolist()


@pytest.mark.parametrize(
    ("name", "requests", "seconds"),
    [
        ("AzureLLMInferenceTrace_conv.csv", 19_366, 3_501.7),
        ("AzureLLMInferenceTrace_code.csv", 8_819, 3_436.0),
        ("mooncake_conversation_trace.csv", 12_031, 3_537.0),
    ],
)
def test_the_published_files_are_read_whole(name: str, requests: int, seconds: float) -> None:
    file = RECORDED / name
    if not file.is_file():
        pytest.skip(f"{file} is not there: traces are not shipped")
    trace = read_trace(file)
    assert len(trace) == requests
    assert trace.at_ns[-1] / 1e9 == pytest.approx(seconds, abs=0.1)
