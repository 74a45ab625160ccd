"""Agents that greet, are heard, fall silent, are lost and come back."""

from __future__ import annotations

import pytest
from hansa_control.application.ports import RefusalError
from hansa_control.application.settings import Settings
from hansa_control.domain.agent_session import SessionState
from hansa_control.domain.model import FactKind, Reason, ZoneId, ZoneState
from own_zones import (
    GOTEBORG,
    OPERATOR,
    OSLO,
    OwnZones,
    fact,
    inventory,
    own_zones,
    with_oslo,
)

SKEW_MS_MAX = Settings(OPERATOR).clock_skew_ms_max
MINE = ZoneId(OPERATOR, OSLO)
SITE = fact(FactKind.SITE_COUNTRY, "NO")


def session_of(operator: OwnZones, zone: str = OSLO) -> SessionState:
    return operator.plane.world.sessions[zone].state


# --- greeting -------------------------------------------------------------------------------------------------------


async def test_an_agent_that_was_never_heard_is_told_that_nothing_of_it_is_held() -> None:
    operator = await own_zones()
    assert operator.plane.agents.welcome(OSLO, "boot-1", operator.clock.wall_ms()) == {}
    assert session_of(operator) is SessionState.LIVE


async def test_an_agent_is_told_the_etags_of_its_own_adverts_and_of_nobody_elses() -> None:
    operator = await with_oslo()
    await operator.connect(GOTEBORG, "goteborg")
    await operator.say(OSLO, "facts/SITE_COUNTRY/0", SITE, etag="e7")
    held = operator.plane.agents.welcome(OSLO, "boot-2", operator.clock.wall_ms())
    assert held == {"inventory": "e1", "facts/SITE_COUNTRY/0": "e7"}


async def test_the_etags_are_those_of_the_last_delta_also_after_a_restart() -> None:
    operator = await with_oslo()
    await operator.say(OSLO, "inventory", inventory(title="New"), etag="e2")
    await operator.say(OSLO, "facts/SITE_COUNTRY/0", SITE)
    await operator.plane.agents.adverts(OSLO, [], ["facts/SITE_COUNTRY/0"])
    again = await operator.crash_and_restart()
    assert again.plane.agents.welcome(OSLO, "boot-1", again.clock.wall_ms()) == {"inventory": "e2"}


async def test_the_etags_that_an_agent_is_told_are_its_to_keep() -> None:
    operator = await with_oslo()
    held = operator.plane.agents.welcome(OSLO, "boot-1", operator.clock.wall_ms())
    await operator.say(OSLO, "inventory", inventory(), etag="e2")
    assert held == {"inventory": "e1"}


@pytest.mark.parametrize("skew_ms", [-SKEW_MS_MAX, -1, 0, SKEW_MS_MAX])
async def test_a_clock_within_the_bound_is_welcome(skew_ms: int) -> None:
    operator = await own_zones()
    operator.plane.agents.welcome(OSLO, "boot-1", operator.clock.wall_ms() + skew_ms)
    assert session_of(operator) is SessionState.LIVE


@pytest.mark.parametrize("skew_ms", [-SKEW_MS_MAX - 1, SKEW_MS_MAX + 1, -1_000_000_000])
async def test_a_clock_beyond_the_bound_is_refused_and_leaves_no_session(skew_ms: int) -> None:
    operator = await own_zones()
    with pytest.raises(RefusalError, match="evidence could not be judged") as refused:
        operator.plane.agents.welcome(OSLO, "boot-1", operator.clock.wall_ms() + skew_ms)
    assert (refused.value.reason, refused.value.field) == (Reason.CLOCK_SKEW, "wall_clock_ms")
    assert operator.plane.world.sessions == {}


async def test_an_agent_whose_clock_went_wrong_does_not_keep_its_zone_alive() -> None:
    operator = await with_oslo()
    operator.pass_ms(operator.plane.settings.lost_after_ms)
    with pytest.raises(RefusalError):
        operator.plane.agents.welcome(OSLO, "boot-2", 0)
    assert session_of(operator) is SessionState.LOST


# --- being heard ----------------------------------------------------------------------------------------------------


async def test_who_has_not_said_hello_is_not_heard() -> None:
    operator = await own_zones()
    with pytest.raises(RefusalError, match="has not said hello") as refused:
        operator.plane.agents.heard(OSLO)
    assert refused.value.reason is Reason.PROTOCOL_VIOLATION


@pytest.mark.parametrize(
    ("silent_ms", "state", "seen"),
    [
        (2_499, SessionState.LIVE, ZoneState.AVAILABLE),
        (2_500, SessionState.SILENT, ZoneState.SILENT),
        (3_999, SessionState.SILENT, ZoneState.SILENT),
        (4_000, SessionState.LOST, ZoneState.LOST),
    ],
)
async def test_a_zone_falls_silent_and_is_lost_at_the_set_times(
    silent_ms: int, state: SessionState, seen: ZoneState
) -> None:
    operator = await with_oslo()
    operator.pass_ms(silent_ms)
    assert (session_of(operator), operator.zone().state) == (state, seen)
    operator.plane.agents.heard(OSLO)
    assert operator.zone().state is ZoneState.AVAILABLE


async def test_a_stream_that_ends_makes_the_zone_silent_and_only_time_makes_it_lost() -> None:
    operator = await with_oslo()
    operator.plane.agents.disconnected(OSLO, "boot-1")
    assert session_of(operator) is SessionState.SILENT
    operator.pass_ms(3_999)
    assert session_of(operator) is SessionState.SILENT
    operator.pass_ms(1)
    assert session_of(operator) is SessionState.LOST


async def test_the_end_of_an_older_stream_says_nothing_of_the_agent_that_took_over() -> None:
    operator = await with_oslo()
    operator.greet(OSLO, "boot-2")
    operator.plane.agents.disconnected(OSLO, "boot-1")
    assert session_of(operator) is SessionState.LIVE
    operator.plane.agents.disconnected(OSLO, "boot-2")
    assert session_of(operator) is SessionState.SILENT


async def test_the_end_of_a_stream_that_never_greeted_is_nothing() -> None:
    operator = await own_zones()
    operator.plane.agents.disconnected(OSLO, "boot-1")
    assert operator.plane.world.sessions == {}


async def test_whoever_waits_for_a_zone_is_told_of_each_change_of_its_liveness_once() -> None:
    operator = await with_oslo()
    told: list[ZoneId] = []
    operator.plane.agents.on_zone_changed = told.append
    for wait_ms, expected in ((1_000, 0), (1_500, 1), (1_000, 1), (1_000, 2), (60_000, 2)):
        operator.pass_ms(wait_ms)
        assert len(told) == expected
    operator.greet(OSLO)
    operator.plane.agents.heard(OSLO)
    assert told == [MINE] * 3


async def test_an_agent_that_reconnects_at_once_keeps_its_instances_in_service() -> None:
    operator = await with_oslo()
    await operator.serving()
    before = operator.claim()
    operator.plane.agents.disconnected(OSLO, "boot-1")
    operator.greet(OSLO, "boot-1")
    assert operator.claim() == before
