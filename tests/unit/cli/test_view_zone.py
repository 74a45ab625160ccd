"""Zones and the network as people see them, without a terminal and on terminals of several widths."""

from __future__ import annotations

import pytest
from shown_resources import NOW_MS, network, shown, zone

from hansa.cli.documents import Line, Screen, Styled, Table, terminal_width
from hansa.cli.figures import age, clock_time, date, euro_per_hour, memory, rtt_ms, timestamp
from hansa.cli.view_decision import basis_cell
from hansa.cli.view_zone import network_document, zone_table
from hansa.v1 import common_pb2, network_pb2, workload_service_pb2, zone_pb2

Capsys = pytest.CaptureFixture[str]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


# --- zones ---


def test_a_row_tells_place_control_what_is_free_of_what_there_is_and_the_price(capsys: Capsys) -> None:
    row = shown(capsys, zone_table([zone()], NOW_MS, wide=False))[1]
    assert cells(row) == [
        "solvik/sto-1",
        "AVAILABLE",
        "Stockholm, SE",
        "SE",
        "3/4 L40S 45 GiB, 7/7 H100/mig-1g.10gb 9.6 GiB",
        "15.5/16",
        "62.5 GiB",
        "1.45 EUR/h",
        "1 s",
    ]


def test_most_that_one_node_has_shows_where_it_is_less_than_all(capsys: Capsys) -> None:
    spread = common_pb2.AcceleratorPool(vendor="nvidia", model="L40S", memory_mib=46_068, count=4, node_count_max=2)
    row = cells(shown(capsys, zone_table([zone(pools=[spread])], NOW_MS, wide=False))[1])
    assert row[4] == "3/4 L40S 45 GiB, 2 a node"
    spread.node_count_max = 4
    assert cells(shown(capsys, zone_table([zone(pools=[spread])], NOW_MS, wide=False))[1])[4] == "3/4 L40S 45 GiB"


def test_control_names_each_country_once_and_a_law_only_if_there_is_one(capsys: Capsys) -> None:
    foreign = {"HEADQUARTERS_COUNTRY": "DE", "ULTIMATE_PARENT_COUNTRY": "US", "EXTRATERRITORIAL_LAW": "US-CLOUD-ACT"}
    row = cells(shown(capsys, zone_table([zone(claims=foreign)], NOW_MS, wide=False))[1])
    assert row[2:4] == ["Stockholm, unknown", "DE,US,US-CLOUD-ACT"]


def test_a_zone_without_facts_or_cards_says_so(capsys: Capsys) -> None:
    row = cells(shown(capsys, zone_table([zone(claims={}, pools=[], heard_at_ms=0)], NOW_MS, wide=False))[1])
    assert row[3:5] == ["unknown", "-"]
    assert row[-1] == "-"


@pytest.mark.parametrize(
    ("state", "cordoned", "expected"),
    [
        ("AVAILABLE", False, "AVAILABLE"),
        ("AVAILABLE", True, "CORDONED by agent"),
        ("LOST", True, "LOST"),
        ("STALE", False, "STALE"),
    ],
)
def test_a_cordon_shows_unless_something_worse_does(state: str, cordoned: bool, expected: str, capsys: Capsys) -> None:
    row = cells(shown(capsys, zone_table([zone(state=state, cordoned=cordoned)], NOW_MS, wide=False))[1])
    assert row[1] == expected


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([], "DRAINING"),
        ([1], "DRAINING by operator"),
        ([2], "DRAINING by site"),
        ([1, 2], "DRAINING by operator and site"),
    ],
)
def test_a_closed_zone_shows_whose_wish_it_is(sides: list[int], expected: str, capsys: Capsys) -> None:
    found = zone(cordoned=True)
    found.upkeep.intake = zone_pb2.ZONE_INTAKE_DRAINING
    found.upkeep.sides.extend(sides)  # type: ignore[arg-type]
    assert cells(shown(capsys, zone_table([found], NOW_MS, wide=False))[1])[1] == expected


def test_wide_adds_the_facts_with_their_proof(capsys: Capsys) -> None:
    row = shown(capsys, zone_table([zone()], NOW_MS, wide=True))[1]
    assert "site_country=SE (register by Bolagsverket until 2027-09-21)" in row
    assert cells(row)[9:15] == ["stockholm", "stockholm", "unknown", "file", "ocr-server", "17"]


def test_wide_shows_what_fails_together_and_the_power_of_a_device(capsys: Capsys) -> None:
    found = zone()
    found.inventory.failure_domain, found.inventory.device_watts = "hall-2", 350
    assert cells(shown(capsys, zone_table([found], NOW_MS, wide=True))[1])[10:12] == ["hall-2", "350 W"]


def test_wide_shows_what_the_agent_cannot_vouch_for(capsys: Capsys) -> None:
    found = zone()
    found.inventory.trouble = "1 node is not ready"
    assert "file, in trouble: 1 node is not ready" in shown(capsys, zone_table([found], NOW_MS, wide=True))[1]


def test_wide_shows_through_whose_hands_a_zone_goes(capsys: Capsys) -> None:
    found = zone("skargard/waldnetz--berlin-1")
    found.origin.zone = "waldnetz/berlin-1"
    found.origin.handlers.add(operator="skargard")
    rows = shown(capsys, zone_table([zone(), found], NOW_MS, wide=True))
    assert [cells(row)[-1] for row in rows] == ["ORIGIN", "-", "waldnetz/berlin-1 > skargard"]


@pytest.mark.parametrize(
    ("columns", "missing"),
    [(80, {"PRICE", "MEMORY FREE", "CPU FREE"}), (100, {"PRICE", "MEMORY FREE", "CPU FREE"}), (140, set())],
)
def test_a_narrow_terminal_goes_without_price_memory_and_cpu(columns: int, missing: set[str], capsys: Capsys) -> None:
    lines = shown(capsys, zone_table([zone(), zone("nordavind/oslo-1")], NOW_MS, wide=False), columns)
    assert max(map(len, lines)) <= columns
    assert {head for head in ("PRICE", "MEMORY FREE", "CPU FREE") if head not in lines[0]} == missing
    assert [line.split()[0] for line in lines if "/" in line[:14]] == ["solvik/sto-1", "nordavind/oslo-1"]


def test_no_zone_is_said_in_words(capsys: Capsys) -> None:
    assert shown(capsys, zone_table([], NOW_MS, wide=False)) == ["no zones"]


# --- network ---


def test_the_network_is_summed_up_and_every_figure_has_its_basis(capsys: Capsys) -> None:
    lines = shown(capsys, network_document(network(), NOW_MS, probes=False, wide=False))
    assert lines[0] == "generation 8812: 4 nodes, 3 links (1 measured, 2 modelled), 2 probed pairs"
    rows = [cells(line) for line in lines[2:]]
    assert rows[0][:5] == ["goteborg--oslo", "terrestrial", "295", "DK,NO,SE", "nordavind"]
    assert rows[0][5:] == ["9.8 ms", "12.7 ms", "13.7 ms", "modelled", "-"]
    assert rows[1][1:4] == ["sea cable", "-", "unknown"]
    assert rows[2][3:5] == ["NO", "-"]
    assert rows[2][-2:] == ["measured n=40", "4 s"]


def test_wide_tells_direction_bandwidth_and_encryption_of_links(capsys: Capsys) -> None:
    told = network()
    told.links[0].one_way = True
    told.links[0].bandwidth_kbps = 2_500
    told.links[0].encryption = network_pb2.LINK_ENCRYPTION_ENCRYPTED
    told.links[1].forward_permille = 605
    told.links[1].encryption = network_pb2.LINK_ENCRYPTION_UNKNOWN
    told.links[2].encryption = network_pb2.LINK_ENCRYPTION_NONE
    lines = shown(capsys, network_document(told, NOW_MS, probes=False, wide=True), 240)
    assert cells(lines[1])[-3:] == ["DIRECTION", "MBIT/S", "ENCRYPTION"]
    assert cells(lines[2])[-3:] == [f"one way to {told.links[0].node_b}", "2.5", "encrypted"]
    assert cells(lines[3])[-3:] == [f"60.5 % to {told.links[1].node_b}", "unknown", "unknown"]
    assert cells(lines[4])[-3:] == ["both", "unknown", "none"]


def test_wide_adds_the_nodes_with_what_is_not_known(capsys: Capsys) -> None:
    lines = shown(capsys, network_document(network(), NOW_MS, probes=False, wide=True))
    nodes = {cells(line)[0]: cells(line)[1:] for line in lines[-4:]}
    assert nodes["oslo"] == ["Oslo", "NO", "access point", "59.910, 0.000"]
    assert nodes["skagerrak"][:3] == ["-", "at sea", "-"]
    assert nodes["somewhere"][1] == "unknown"


def test_probes_stand_beside_the_model_and_no_path_is_said(capsys: Capsys) -> None:
    lines = shown(capsys, network_document(network(), NOW_MS, probes=True, wide=False))
    first, second = cells(lines[2]), cells(lines[3])
    assert first[:6] == ["nordavind/oslo-1", "solvik/sto-1", "0.41 ms", "0.54 ms", "0.04 ms", "0.4 %"]
    assert first[6:] == ["measured n=240", "4 s", "12.6 ms", "16.4 ms", "modelled"]
    assert second[-3:] == ["-", "-", "no path"]


def test_a_network_without_links_or_probes_is_its_summary_alone(capsys: Capsys) -> None:
    empty = workload_service_pb2.GetNetworkResponse(snapshot_generation=1)
    for probes in (False, True):
        document = network_document(empty, NOW_MS, probes=probes, wide=True)
        assert shown(capsys, document) == ["generation 1: 0 nodes, 0 links (0 measured, 0 modelled), 0 probed pairs"]


@pytest.mark.parametrize("columns", [80, 100, 140])
@pytest.mark.parametrize("probes", [False, True])
def test_the_network_keeps_to_the_terminal(columns: int, probes: bool, capsys: Capsys) -> None:
    lines = shown(capsys, network_document(network(), NOW_MS, probes=probes, wide=False), columns)
    assert max(map(len, lines[1:])) <= columns
    names = ["nordavind/oslo-1"] * 2 if probes else ["goteborg--oslo", "oslo--skagerrak", "oslo--somewhere"]
    assert [line.split()[0] for line in lines[2:] if line and not line.startswith(" ")] == names
    assert ("AGE" in lines[1]) == (columns == 140)


# --- figures and pages ---


@pytest.mark.parametrize(
    ("us", "text"), [(0, "0.00 ms"), (4, "0.00 ms"), (999, "1.00 ms"), (1_000, "1.0 ms"), (31_449, "31.4 ms")]
)
def test_a_round_trip_has_two_decimals_below_a_millisecond_and_one_above(us: int, text: str) -> None:
    assert rtt_ms(us) == text


def test_times_are_utc_and_unknown_ones_are_not_1970() -> None:
    assert clock_time(NOW_MS) == "14:15:00"
    assert date(NOW_MS) == "2026-09-21"
    assert timestamp(NOW_MS) == "2026-09-21 14:15:00 UTC"
    assert (clock_time(0), date(0), timestamp(0), age(0, NOW_MS)) == ("-", "unknown", "unknown", "-")


def test_money_and_memory_are_rounded_for_people() -> None:
    assert (euro_per_hour(1_450), euro_per_hour(5), euro_per_hour(0)) == ("1.45 EUR/h", "0.01 EUR/h", "0.00 EUR/h")
    assert (memory(1_023), memory(46_068), memory(0)) == ("1023 MiB", "45 GiB", "0 MiB")


def test_a_basis_is_green_only_if_everything_was_measured() -> None:
    assert basis_cell(["measured"]) == Styled("measured", "green")
    assert basis_cell(["measured", "modelled"]) == Styled("measured+modelled", "yellow")
    assert basis_cell(["physical"]) == Styled("physical", "yellow")
    assert basis_cell([]) == "-"


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_a_long_cell_goes_on_in_the_next_line_and_loses_nothing(columns: int, capsys: Capsys) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    Screen(width_columns=columns).show([Table(("ZONE", "EVIDENCE"), (("solvik/sto-1", text),))])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert " ".join(" ".join(lines[1:]).split()) == f"solvik/sto-1 {text}"


def test_a_line_is_wrapped_on_a_terminal_and_whole_in_a_pipe(capsys: Capsys) -> None:
    long = Line(("x" * 50, Styled(" y" * 30, "red")))
    Screen(width_columns=80).show([long])
    assert len(capsys.readouterr().out.splitlines()) == 2
    Screen(width_columns=0).show([long])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_width_is_that_of_columns_and_none_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert terminal_width() == 100
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr("os.get_terminal_size", lambda *_: (_ for _ in ()).throw(OSError))
    assert terminal_width() == 0


def test_a_probe_to_a_node_names_its_kind_and_one_way_delays_stand_beside_the_round_trip(capsys: Capsys) -> None:
    rtt = network_pb2.RoundTrip(p50_us=12_000, p95_us=13_000, basis=network_pb2.LATENCY_BASIS_MEASURED, sample_count=9)
    delay = network_pb2.OneWayDelay(there_p50_us=3_000, back_p50_us=9_000, error_us=100)
    named = network_pb2.ProbeResult(source_zone="a/b", target_node="bergen", target_kind=2, rtt=rtt, one_way=delay)
    plain = network_pb2.ProbeResult(source_zone="a/b", target_zone="c/d", rtt=rtt)
    comparisons = [workload_service_pb2.ProbeComparison(measured=one) for one in (named, plain)]
    seen = workload_service_pb2.GetNetworkResponse(probes=comparisons)
    first, second = shown(capsys, network_document(seen, NOW_MS, probes=True, wide=True))[-2:]
    assert "bergen (access point)" in first and "3.0 ms, 9.0 ms +- 0.10 ms" in first
    assert cells(second)[1] == "c/d" and cells(second)[-1] == "-"
