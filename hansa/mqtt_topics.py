"""The topic tree of an operator's zones on its MQTT broker, and the access rules that keep everybody to the own part.

A broker belongs to one operator and believes that operator's authority alone, because a certificate's common name is
what the broker goes by: ``agent <zone>`` for a zone's agent, ``control-plane`` for the control plane. An agent may
write what goes up from its own zone and read what comes down to it; nobody may anything else.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

ROOT = "hansa/v1"
CONTROL_PLANE = "control-plane"
_NAME_LENGTH_MAX = 63
ZONE_LENGTH_MAX = 64 - len("agent ")
_NAME = r"[a-z0-9][a-z0-9-]{0,62}"


class Way(StrEnum):
    """The last level of a topic: what travels there, and in which direction."""

    UP = "up"
    DOWN = "down"
    TELEMETRY = "telemetry"
    TELEMETRY_ACK = "telemetry-ack"

    @property
    def is_from_agent(self) -> bool:
        return self in (Way.UP, Way.TELEMETRY)


_TOPIC = re.compile(rf"{ROOT}/(?P<operator>{_NAME})/(?P<zone>{_NAME})/(?P<way>{'|'.join(Way)})")


class ZoneTopic(NamedTuple):
    """A topic of one zone, read."""

    operator: str
    zone: str
    way: Way

    def __str__(self) -> str:
        return f"{ROOT}/{self.operator}/{self.zone}/{self.way}"


def topic_in(topic: str) -> ZoneTopic | None:
    """What a topic says; None if it is none of ours."""
    found = _TOPIC.fullmatch(topic)
    return None if found is None else ZoneTopic(found["operator"], found["zone"], Way(found["way"]))


def of_all_zones(operator: str, way: Way) -> str:
    """What a control plane subscribes to."""
    return f"{ROOT}/{operator}/+/{way}"


def access_rules(operator: str, zones: Collection[str]) -> str:
    """The broker's file of access rules (``acl_file`` of Mosquitto), with nothing that is not needed.

    ValueError for a name that is none, or of a zone too long for a certificate's common name.
    """
    for name, most in ((operator, _NAME_LENGTH_MAX), *((zone, ZONE_LENGTH_MAX) for zone in zones)):
        if not re.fullmatch(_NAME, name) or len(name) > most:
            raise ValueError(f"{name!r} is no name of 1 to {most} lower-case letters, digits and inner hyphens")
    lines = [f"user {CONTROL_PLANE}"]
    for way in Way:
        lines.append(f"topic {'read' if way.is_from_agent else 'write'} {of_all_zones(operator, way)}")
    for zone in sorted(set(zones)):
        lines += ["", f"user agent {zone}"]
        lines += [f"topic {'write' if way.is_from_agent else 'read'} {ZoneTopic(operator, zone, way)}" for way in Way]
    return "\n".join(lines) + "\n"
