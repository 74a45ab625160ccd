from __future__ import annotations

import pytest

from hansa.cli.documents import Screen, Styled, Table, line
from hansa.cli.figures import age, bound_ms, cpu, memory, plural, rtt_ms
from hansa.cli.main import _report
from hansa.cli.session import note
from hansa.errors import HansaError

LONG = "path goteborg > oslo > trondheim > bodo, probed 4 s ago"
TABLE = Table(
    ("ZONE", "RTT", "CARRIER", "EVIDENCE"),
    (("solvik/sto-1", "9.1 ms", "nordavind", LONG), ("a/b", "14.2 ms", "x", Styled("-", "red"))),
    right=frozenset({1}),
    spare=(2,),
)


def shown(capsys: pytest.CaptureFixture[str], width_columns: int) -> list[str]:
    Screen(width_columns=width_columns).show([TABLE])
    return capsys.readouterr().out.splitlines()


def test_without_a_width_every_row_is_one_line_in_aligned_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, 0) == [
        "ZONE              RTT  CARRIER    EVIDENCE",
        f"solvik/sto-1   9.1 ms  nordavind  {LONG}",
        "a/b           14.2 ms  x          -",
    ]


def test_a_spare_column_goes_before_anything_is_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, 80)
    assert "CARRIER" not in lines[0]
    assert lines[1].rstrip().endswith("probed 4 s ago")


def test_a_narrow_terminal_wraps_words_and_never_the_zone(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, 50)
    assert max(len(text) for text in lines) <= 50
    assert lines[1].startswith("solvik/sto-1   9.1 ms  path goteborg")
    assert len(lines) > 3


def test_five_columns_of_sentences_lose_no_word_at_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    cells = ("blueridge/stockholm-2", "TransitResidency", "crosses DK, SE from hamburg", "none of {US-CLOUD-ACT}", LONG)
    headers = ("ZONE", "CONSTRAINT", "MEASURED", "BOUND", "EVIDENCE")
    Screen(width_columns=80).show([Table(headers, (cells,), fixed=frozenset({0, 1}))])
    out = capsys.readouterr().out
    assert max(len(text) for text in out.splitlines()) <= 80
    assert sorted("".join(out.split())) == sorted("".join((*headers, *cells)).replace(" ", ""))


def test_a_wide_terminal_shows_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert "CARRIER" in shown(capsys, 200)[0]


@pytest.mark.parametrize("width_columns", [0, 80])
def test_what_a_terminal_would_obey_is_shown_and_not_done(
    capsys: pytest.CaptureFixture[str], width_columns: int
) -> None:
    hostile = "a\x1b[2J\x9b1mb\x00\u202ec\ud800\rd\te"
    table = Table(("CELL", "STYLED"), ((hostile, Styled(hostile, "red")),))
    Screen(width_columns=width_columns).show([line(hostile), line(Styled(hostile, "red")), table])
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert out.count(r"a\x1b[2J\x9b1mb\x00\u202ec\ud800\rd\te") == 4


def test_line_ends_of_a_cell_still_part_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(width_columns=80).show([Table(("CELL",), (("one\ntwo",),))])
    assert capsys.readouterr().out.split() == ["CELL", "one", "two"]


def test_a_note_and_an_error_are_harmless_too(capsys: pytest.CaptureFixture[str]) -> None:
    note("refused by \x1b[31mskargard")
    _report(HansaError("INVALID_FIELD", "no \x1b]0;title\x07", field="spec\u202e"), with_traceback=False)
    assert capsys.readouterr().err.splitlines() == [
        r"refused by \x1b[31mskargard",
        r"error: INVALID_FIELD (spec\u202e): no \x1b]0;title\x07",
    ]


def test_markup_in_a_message_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(width_columns=0).show([line("[red]not markup[/red] :smile:")])
    assert capsys.readouterr().out == "[red]not markup[/red] :smile:\n"


def test_figures_read_well() -> None:
    assert (rtt_ms(31_400), rtt_ms(412), bound_ms(24_000), bound_ms(20_500)) == (
        "31.4 ms",
        "0.41 ms",
        "<= 24 ms",
        "<= 20.5 ms",
    )
    assert (memory(512), memory(1024), memory(1536), memory(81_920)) == ("512 MiB", "1 GiB", "1.5 GiB", "80 GiB")
    assert (cpu(500), cpu(2000), cpu(250)) == ("0.5", "2", "0.25")
    assert (plural(1, "zone"), plural(2, "zone")) == ("1 zone", "2 zones")


@pytest.mark.parametrize(
    ("passed_ms", "text"),
    [(0, "0 s"), (119_000, "119 s"), (120_000, "2 min"), (7_200_000, "2 h"), (172_800_000, "2 d"), (-5, "0 s")],
)
def test_ages_grow_in_unit(passed_ms: int, text: str) -> None:
    assert age(1_000_000, 1_000_000 + passed_ms) == text
    assert age(0, passed_ms) == "-"
