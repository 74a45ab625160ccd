"""Where a twin's hosts are, how long the ways between them take, and when a packet leaves the relay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hansa_control.domain.network import ATTACHMENT_RTT
from hansa_sim.latency.twin.plan import HOSTS_MAX, NETWORK, Part, TooLarge, network_of
from hansa_sim.latency.twin.under_way import LATENESS_BUCKET_NS, UNDER_WAY_MAX, Lateness, UnderWay, Way
from hansa_sim.latency.views import ViewName, view_of
from scenario_texts import ROUND_TRIPS, world_of
from twin_worlds import host, hosts_of, twin_world, viewed, way_between

MS_NS = 1_000_000
FIXED_NS = ATTACHMENT_RTT.p50_us * 1_000
PACKET = b"a packet"


def released(under_way: UnderWay, until_ns: int) -> list[tuple[int, int, bytes]]:
    """Everything that is due until then, in the order in which it leaves."""
    found = []
    while (due := under_way.due(until_ns)) is not None:
        found.append(due)
    return found


# --- hosts ---


def test_every_operator_zone_and_access_point_is_a_host_with_an_address_of_its_own(tmp_path: Path) -> None:
    network = hosts_of(twin_world(tmp_path))
    assert [one.label for one in network.hosts] == [
        "op/nordavind",
        "op/skargard",
        "op/waldnetz",
        "zone/nordavind/oslo-1",
        "zone/skargard/stockholm-1",
        "zone/waldnetz/hamburg-1",
        "users/bergen",
        "users/malmo",
        "users/oslo",
    ]
    assert len({one.address for one in network.hosts}) == len(network.hosts)
    assert all(one.address.startswith(NETWORK) for one in network.hosts)


def test_a_control_plane_stands_at_its_first_zone_and_without_one_at_its_first_node(tmp_path: Path) -> None:
    zone = """    zones:
      - name: hamburg-1
        node: hamburg
        accelerators: {model: L40S, count: 4}
        price_eur_per_hour: 0.5
        device_watts: 300
        carbon_gco2_per_kwh: 350
"""
    network = hosts_of(twin_world(tmp_path, (zone, "")))
    assert host(network, Part.OPERATOR, "skargard").node == "stockholm"
    assert host(network, Part.OPERATOR, "waldnetz").node == "hamburg"
    assert [one.name for one in network.of(Part.ZONE)] == ["nordavind/oslo-1", "skargard/stockholm-1"]


def test_users_whom_nobody_may_serve_have_no_host(tmp_path: Path) -> None:
    alone = ("  - {access_point: malmo, requests_per_s: 9}", "  - {access_point: island, requests_per_s: 9}")
    network = hosts_of(twin_world(tmp_path, alone))
    assert [one.name for one in network.of(Part.USERS)] == ["bergen", "oslo"]


def test_a_world_with_too_many_hosts_is_refused_with_what_there_is_and_how_to_take_a_part(tmp_path: Path) -> None:
    points = [f"town-{n}" for n in range(HOSTS_MAX)]
    trips = ROUND_TRIPS + "".join(f"oslo,{point},2,-,nordavind\n" for point in points)
    users = "users:\n" + "".join(f"  - {{access_point: {point}, requests_per_s: 1}}\n" for point in points)
    countries = "{" + "".join(f"{point}: NO, " for point in points) + "oslo: NO,"
    world = twin_world(tmp_path, ("users:\n", users), ("{oslo: NO,", countries), trips=trips)
    with pytest.raises(TooLarge, match=rf"3 zones and 3 operators, \d+ hosts; a twin has {HOSTS_MAX} .*--points"):
        network_of(world, view_of(world, ViewName.TOGETHER))


# --- ways ---


def test_there_and_back_between_users_and_zones_is_the_round_trip_that_the_simulation_counts(tmp_path: Path) -> None:
    world = twin_world(tmp_path)
    view, _ = viewed(world)
    network = network_of(world, view)
    for row, user in enumerate(world.users):
        for column, zone in enumerate(world.zones):
            users, place = host(network, Part.USERS, user.access_point), host(network, Part.ZONE, str(zone.id))
            there, back = way_between(network, users, place), way_between(network, place, users)
            assert there is not None and back is not None
            assert (there.delay_ns, back.delay_ns) == (view.there_ns[row, column], view.back_ns[row, column])


def test_users_go_the_lawful_way_and_control_planes_the_shortest(tmp_path: Path) -> None:
    """Malmo to Oslo is 17 ms through Sweden and 26 by Hamburg; a law that forbids the short way leaves the other."""
    forbidden = ("transit: [NO, SE, DE, DK]", "transit: [NO, SE, DE, DK], deny_carriers: [skargard]")
    trips = ROUND_TRIPS.replace("malmo,hamburg,6,DK,waldnetz", "malmo,hamburg,6,DK,waldnetz")
    network = hosts_of(twin_world(tmp_path, forbidden, trips=trips))
    users, zone = host(network, Part.USERS, "malmo"), host(network, Part.ZONE, "nordavind/oslo-1")
    lawful = way_between(network, users, zone)
    assert lawful is not None and lawful.delay_ns * 2 == pytest.approx(26 * MS_NS + FIXED_NS, rel=0.02)
    control = way_between(network, host(network, Part.OPERATOR, "skargard"), zone)
    assert control is not None and control.delay_ns * 2 == pytest.approx(8 * MS_NS + FIXED_NS, rel=0.02)


def test_hosts_at_one_node_are_the_fixed_part_of_the_model_apart_and_a_host_from_itself_nothing(tmp_path: Path) -> None:
    network = hosts_of(twin_world(tmp_path))
    control, zone = host(network, Part.OPERATOR, "nordavind"), host(network, Part.ZONE, "nordavind/oslo-1")
    there, back = way_between(network, control, zone), way_between(network, zone, control)
    assert there is not None and back is not None
    assert there.delay_ns + back.delay_ns == FIXED_NS
    assert way_between(network, zone, zone) == Way(0)


def test_hosts_in_pieces_of_the_network_have_no_way(tmp_path: Path) -> None:
    reef = ("node: stockholm\n", "node: reef\n")
    network = hosts_of(twin_world(tmp_path, reef))
    users, zone = host(network, Part.USERS, "oslo"), host(network, Part.ZONE, "skargard/stockholm-1")
    assert way_between(network, users, zone) is None
    assert way_between(network, zone, users) is None


def test_losses_of_links_add_up_along_the_way_and_only_there(tmp_path: Path) -> None:
    lossy = (
        "  round_trips: trips.csv\n",
        "  round_trips: trips.csv\n  loss_percent: {malmo--stockholm: 2, oslo--stockholm: 1}\n",
    )
    network = hosts_of(twin_world(tmp_path, lossy))
    oslo, malmo = host(network, Part.ZONE, "nordavind/oslo-1"), host(network, Part.USERS, "malmo")
    for one, other in ((oslo, malmo), (malmo, oslo)):
        way = way_between(network, one, other)
        assert way is not None and way.loss == pytest.approx(1 - 0.98 * 0.99)
    bergen = way_between(network, host(network, Part.USERS, "bergen"), oslo)
    assert bergen is not None and bergen.loss == 0.0


def test_a_loss_of_a_link_that_is_not_there_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    wrong = ("  round_trips: trips.csv\n", "  round_trips: trips.csv\n  loss_percent: {oslo--stokholm: 2}\n")
    with pytest.raises(ValueError, match=r"scenario.yaml:7: .*oslo--stokholm.*oslo--stockholm"):
        world_of(tmp_path, wrong)


# --- the release heap ---


def test_a_packet_is_released_after_its_delay_and_not_before() -> None:
    under_way = UnderWay()
    under_way.send(Way(10 * MS_NS), 3, PACKET, 1_000)
    assert under_way.due(10 * MS_NS + 999) is None
    assert under_way.due(10 * MS_NS + 1_000) == (10 * MS_NS + 1_000, 3, PACKET)
    assert under_way.due(99 * MS_NS) is None


def test_packets_leave_in_the_order_of_their_time_and_equals_in_that_of_sending() -> None:
    under_way = UnderWay()
    for name, delay_ns in ((b"slow", 9), (b"fast", 1), (b"first", 5), (b"second", 5)):
        under_way.send(Way(delay_ns), 0, name, 0)
    assert [packet for _, _, packet in released(under_way, 100)] == [b"fast", b"first", b"second", b"slow"]


def test_packets_of_one_way_never_overtake_one_another() -> None:
    under_way, rng = UnderWay(), np.random.default_rng(5)
    moments = np.sort(rng.integers(0, 1_000, 300))
    for number, now_ns in enumerate(moments.tolist()):
        under_way.send(Way(700), 1, number.to_bytes(2, "big"), now_ns)
    assert [int.from_bytes(packet, "big") for _, _, packet in released(under_way, 5_000)] == list(range(300))


def test_the_pause_is_until_the_next_release_and_none_while_nothing_is_under_way() -> None:
    under_way = UnderWay()
    assert under_way.pause_ns(0) is None
    under_way.send(Way(500), 0, PACKET, 100)
    under_way.send(Way(200), 0, PACKET, 100)
    assert [under_way.pause_ns(now_ns) for now_ns in (100, 250, 300, 900)] == [200, 50, 0, 0]


def test_a_packet_without_a_way_is_lost_and_counted() -> None:
    under_way = UnderWay()
    under_way.send(None, 0, PACKET, 0)
    assert (under_way.due(1 << 60), under_way.lost_count) == (None, 1)


@pytest.mark.parametrize("loss", [0.01, 0.2])
def test_so_many_packets_are_lost_as_the_way_says(loss: float) -> None:
    under_way, count = UnderWay(seed=3), 20_000
    for _ in range(count):
        under_way.send(Way(1, loss), 0, PACKET, 0)
    spread = 4 * (loss * (1 - loss) / count) ** 0.5
    assert under_way.lost_count / count == pytest.approx(loss, abs=spread)
    assert len(released(under_way, 10)) == count - under_way.lost_count


def test_the_same_seed_loses_the_same_packets() -> None:
    kept = []
    for seed in (7, 7, 8):
        under_way = UnderWay(seed)
        for number in range(200):
            under_way.send(Way(number, 0.3), 0, bytes([number]), 0)
        kept.append([packet for _, _, packet in released(under_way, 1_000)])
    assert kept[0] == kept[1] != kept[2]


def test_a_relay_whose_memory_is_full_loses_what_comes_then() -> None:
    under_way = UnderWay()
    for _ in range(UNDER_WAY_MAX + 5):
        under_way.send(Way(1), 0, b"", 0)
    assert under_way.lost_count == 5


def test_lateness_is_known_within_a_step_whatever_it_was() -> None:
    lateness = Lateness()
    assert lateness.percentile_us(99) == 0.0
    late_us = [20] * 90 + [300] * 9 + [90_000]
    for one in late_us:
        lateness.note(one * 1_000)
    step_us = LATENESS_BUCKET_NS / 1_000
    assert lateness.count == 100
    assert lateness.percentile_us(50) == pytest.approx(20, abs=step_us)
    assert lateness.percentile_us(99) == pytest.approx(300, abs=step_us)
    assert lateness.percentile_us(100) == pytest.approx(20_000, abs=step_us)
