"""The topic tree and who may what in it."""

from __future__ import annotations

import pytest

from hansa.mqtt_topics import Way, ZoneTopic, access_rules, of_all_zones, topic_in


@pytest.mark.parametrize("way", Way)
def test_a_topic_reads_back_as_what_it_was_written_from(way: Way) -> None:
    topic = ZoneTopic("nordavind", "oslo-1", way)
    assert topic_in(str(topic)) == topic
    assert str(topic) == f"hansa/v1/nordavind/oslo-1/{way.value}"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "hansa/v1/nordavind/oslo-1",
        "hansa/v1/nordavind/oslo-1/up/more",
        "hansa/v2/nordavind/oslo-1/up",
        "hansa/v1/nordavind/+/up",
        "hansa/v1/nordavind/Oslo/up",
        "hansa/v1//oslo-1/up",
        "hansa/v1/nordavind/oslo-1/sideways",
        f"hansa/v1/nordavind/{'o' * 64}/up",
        "hansa/v1/nordavind/oslo-1/up\n",
    ],
)
def test_what_is_no_topic_of_a_zone_is_none(topic: str) -> None:
    assert topic_in(topic) is None


def test_an_agent_may_write_up_and_read_down_in_its_own_zone_and_nothing_else() -> None:
    rules = access_rules("nordavind", ["oslo-1", "bergen-1", "oslo-1"])
    sections = dict(section.split("\n", 1) for section in rules.strip().split("\n\n"))
    assert list(sections) == ["user control-plane", "user agent bergen-1", "user agent oslo-1"]
    assert sections["user agent oslo-1"].splitlines() == [
        "topic write hansa/v1/nordavind/oslo-1/up",
        "topic read hansa/v1/nordavind/oslo-1/down",
        "topic write hansa/v1/nordavind/oslo-1/telemetry",
        "topic read hansa/v1/nordavind/oslo-1/telemetry-ack",
    ]
    assert "topic read hansa/v1/nordavind/+/up" in sections["user control-plane"]
    assert "topic write hansa/v1/nordavind/+/telemetry-ack" in sections["user control-plane"]


def test_a_control_plane_subscribes_to_all_zones_of_its_own_operator() -> None:
    assert of_all_zones("nordavind", Way.UP) == "hansa/v1/nordavind/+/up"


@pytest.mark.parametrize(
    ("operator", "zones"),
    [
        ("nordavind", ["o" * 59]),
        ("nordavind", ["oslo/1"]),
        ("+", ["oslo-1"]),
        ("nordavind", ["a\nuser x"]),
        ("", ["a"]),
    ],
)
def test_no_rules_are_written_for_what_is_no_name(operator: str, zones: list[str]) -> None:
    with pytest.raises(ValueError, match="is no name of"):
        access_rules(operator, zones)
