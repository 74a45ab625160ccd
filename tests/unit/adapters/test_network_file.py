"""The operator's network file: what it may say, and that everything else is named with its line and field."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_control.adapters.network_file import FILE_BYTES_MAX, NetworkFileError, read_network_file
from hansa_control.domain.model import LatencyBasis, LinkEncryption, LinkKind, NetworkNode, RoundTrip
from hansa_control.domain.units import modelled_link_rtt, physical_link_rtt

GOOD = """\
latency_model: calibrated
nodes:
  - {name: oslo, title: Oslo, country: NO, lat: 59.91, lon: 10.75, access_point: true}
  - {name: bergen, country: NO, lat: 60.39, lon: 5.32}
  - {name: sea-1, lat: 58.0, lon: 9.0, at_sea: true}
links:
  - name: bergen--oslo
    a: bergen
    b: oslo
    length_km: 304.68
    countries: [SE, DK, SE]
    carrier: nordavind
    kind: terrestrial
    rtt_ms: {p50: 5.9105, p95: 7, p99: 8.25}
  - name: hjorring--sea-1
    a: hjorring
    b: sea-1
    length_km: 133
    countries: unknown
    carrier: nordavind
    kind: sea_cable
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.yaml"


def refusal(path: Path, text: str) -> NetworkFileError:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NetworkFileError) as caught:
        read_network_file(path)
    assert str(path) in str(caught.value)
    return caught.value


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_nodes_come_sorted_with_what_is_not_said_left_open(path: Path) -> None:
    path.write_text(GOOD)
    nodes, _ = read_network_file(path)
    assert nodes == (
        NetworkNode("bergen", "", "NO", 60.39, 5.32, False, False),
        NetworkNode("oslo", "Oslo", "NO", 59.91, 10.75, True, False),
        NetworkNode("sea-1", "", None, 58.0, 9.0, False, True),
    )


def test_declared_round_trip_times_are_taken_as_measured_and_rounded_up(path: Path) -> None:
    path.write_text(GOOD)
    _, (link, _) = read_network_file(path)
    assert link.rtt == RoundTrip(5_911, 7_000, 8_250, LatencyBasis.MEASURED)
    assert (link.length_m, link.countries, link.kind) == (304_680, ("DK", "SE"), LinkKind.TERRESTRIAL)


def test_direction_bandwidth_and_encryption_are_read_and_what_is_not_said_is_unknown(path: Path) -> None:
    said = "kind: terrestrial\n    one_way: true\n    forward_share_percent: 61.5\n    bandwidth_mbps: 2.5005"
    path.write_text(changed("kind: terrestrial", f"{said}\n    encryption: encrypted"))
    _, (link, other) = read_network_file(path)
    assert (link.one_way, link.forward_permille, link.bandwidth_kbps) == (True, 615, 2_500)
    assert link.encryption is LinkEncryption.ENCRYPTED
    assert (other.one_way, other.forward_permille, other.bandwidth_kbps) == (False, 500, 0)
    assert other.encryption is LinkEncryption.UNKNOWN
    path.write_text(
        changed("kind: terrestrial", "kind: terrestrial\n    bandwidth_mbps: unknown\n    encryption: none")
    )
    _, (link, _) = read_network_file(path)
    assert (link.bandwidth_kbps, link.encryption) == (0, LinkEncryption.NONE)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ("forward_share_percent: 0", "forward_share_percent"),
        ("forward_share_percent: 100", "forward_share_percent"),
        ("bandwidth_mbps: 0", "bandwidth_mbps"),
        ("bandwidth_mbps: plenty", "bandwidth_mbps"),
        ("encryption: probably", "encryption"),
        ("one_way: sometimes", "one_way"),
    ],
)
def test_what_a_link_cannot_be_is_named_with_its_field_and_line(path: Path, said: str, field: str) -> None:
    error = refusal(path, changed("kind: terrestrial", f"kind: terrestrial\n    {said}"))
    assert error.field.startswith(f"links[0].{field}")
    assert error.line == 14


def test_other_round_trip_times_come_from_the_model(path: Path) -> None:
    path.write_text(GOOD)
    _, (_, link) = read_network_file(path)
    assert link.rtt == modelled_link_rtt(133_000)
    path.write_text(changed("calibrated", "physical"))
    _, (_, link) = read_network_file(path)
    assert link.rtt == physical_link_rtt(133_000)


def test_unknown_countries_are_not_no_countries(path: Path) -> None:
    path.write_text(GOOD)
    _, (_, link) = read_network_file(path)
    assert link.countries is None
    path.write_text(changed("countries: unknown", "countries: []"))
    _, (_, link) = read_network_file(path)
    assert link.countries == ()


def test_norway_is_not_false(path: Path) -> None:
    path.write_text(changed("[SE, DK, SE]", "[NO, SE]"))
    _, (link, _) = read_network_file(path)
    assert link.countries == ("NO", "SE")


def test_a_link_may_end_at_a_partners_node_but_not_with_both_ends(path: Path) -> None:
    error = refusal(path, changed("b: sea-1", "b: aalborg"))
    assert error.field == "links[1].a"
    assert error.line == 16
    assert "neither hjorring nor aalborg" in str(error)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "text"),
    [
        ("title: Oslo", "titel: Oslo", 3, "nodes[0].titel", "did you mean title?"),
        ("carrier:", "carier:", 12, "links[0].carier", "did you mean carrier?"),
        ("p95: 7", "p_95: 7", 14, "links[0].rtt_ms.p_95", "did you mean p95?"),
        ("latency_model:", "latencymodel:", 1, "latencymodel", "did you mean latency_model?"),
        ("title: Oslo", "zzz: Oslo", 3, "nodes[0].zzz", "known are"),
    ],
)
def test_an_unknown_key_is_an_error_with_line_and_nearest_key(
    path: Path, old: str, new: str, line: int, field: str, text: str
) -> None:
    error = refusal(path, changed(old, new))
    assert (error.line, error.field) == (line, field)
    assert text in str(error)
    assert f"{path}:{line}: " in str(error)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("length_km: 304.68", "length_km: -3", "links[0].length_km"),
        ("length_km: 304.68", "length_km: .inf", "links[0].length_km"),
        ("length_km: 304.68", "length_km: .nan", "links[0].length_km"),
        ("length_km: 304.68", "length_km: '304'", "links[0].length_km"),
        ("length_km: 304.68", "length_km: 40000", "links[0].length_km"),
        ("length_km: 133", "length_km: 0", "links[1]"),
        ("p95: 7", "p95: 0.5", "links[0].rtt_ms"),
        ("p50: 5.9105", "p50: 0", "links[0].rtt_ms.p50"),
        ("p50: 5.9105", "p50: 2.5", "links[0]"),
        ("country: NO, lat: 60.39", "country: XK, lat: 60.39", "nodes[1].country"),
        ("country: NO, lat: 60.39", "country: no, lat: 60.39", "nodes[1].country"),
        ("country: NO, lat: 60.39", "country: NOR, lat: 60.39", "nodes[1].country"),
        ("[SE, DK, SE]", "[SE, ZZ]", "links[0].countries[1]"),
        ("countries: unknown", "countries: unkown", "links[1].countries"),
        ("countries: unknown", "countries:", "links[1].countries"),
        ("lat: 60.39", "lat: 95", "nodes[1].lat"),
        ("lon: 5.32", "lon: -181", "nodes[1].lon"),
        ("access_point: true", "access_point: yes", "nodes[0].access_point"),
        ("lat: 58.0", "lat: 58.0, country: NO", "nodes[2]"),
        ("name: bergen,", "name: Bergen,", "nodes[1].name"),
        ("name: bergen,", "name: oslo,", "nodes[1].name"),
        ("name: hjorring--sea-1", "name: bergen--oslo", "links[1].name"),
        ("b: oslo", "b: bergen", "links[0]"),
        ("kind: terrestrial", "kind: air", "links[0].kind"),
        ("    carrier: nordavind\n", "", "links[0].carrier"),
        ("    a: bergen\n", "    a: bergen\n    a: oslo\n", "links[0].a"),
        ("calibrated", "guess", "latency_model"),
        ("nodes:", "latency_model: physical\nnodes:", "latency_model"),
    ],
)
def test_a_wrong_value_is_refused_and_its_field_named(path: Path, old: str, new: str, field: str) -> None:
    error = refusal(path, changed(old, new))
    assert error.field == field
    assert error.line > 0


@pytest.mark.parametrize("text", ["", "[]", "just words", "nodes: [}", "a: *b", "nodes: !!python/object:os.system x"])
def test_what_is_no_mapping_or_no_yaml_is_refused(path: Path, text: str) -> None:
    assert refusal(path, text).field == ""


def test_an_alias_that_leads_round_in_a_circle_is_refused(path: Path) -> None:
    assert refusal(path, "nodes: &n [*n]\nlinks: []").field.startswith("nodes")


def test_bytes_that_are_no_text_are_refused(path: Path) -> None:
    path.write_bytes(b"nodes: \xff\xfe")
    with pytest.raises(NetworkFileError, match="UTF-8"):
        read_network_file(path)


def test_a_huge_file_is_refused_unread(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(NetworkFileError, match="larger"):
        read_network_file(path)


def test_a_missing_file_is_an_os_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_network_file(path)
