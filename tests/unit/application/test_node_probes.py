"""What agents measure to gateways and access points: kept, shown beside the model, and nothing is decided by it."""

from __future__ import annotations

from hansa_control.application.ports import StoredAdvert
from hansa_control.domain.model import LatencyBasis, NodeProbe, ProbedKind, RoundTrip, ZoneId
from own_zones import GOTEBORG, OPERATOR, OSLO, OwnZones, advert, two_operators


def probe(node: str = "goteborg", source: str = OSLO) -> NodeProbe:
    rtt = RoundTrip(3_500, 4_500, 5_500, LatencyBasis.MEASURED, 10, 1)
    return NodeProbe(ZoneId(OPERATOR, source), ProbedKind.ACCESS_POINT, node, rtt, 3_400, 20, 0)


async def shown(operator: OwnZones) -> list[tuple[str, bool]]:
    seen = operator.plane.queries.network().probes
    return [(one.probed_node, model is not None) for one, model in seen if isinstance(one, NodeProbe)]


async def test_a_measurement_to_a_node_stands_beside_the_models_and_survives_a_restart() -> None:
    operator = await two_operators()
    await operator.say(OSLO, "node-probes/goteborg", probe())
    await operator.say(OSLO, "node-probes/moon", probe("moon"))
    assert await shown(operator) == [("goteborg", True), ("moon", False)]
    operator = await operator.crash_and_restart()
    assert await shown(operator) == [("goteborg", True), ("moon", False)]
    operator.greet(OSLO)
    assert await operator.plane.agents.adverts(OSLO, [], ["node-probes/goteborg"]) == ()
    assert await shown(operator) == [("moon", False)]


async def test_nothing_is_decided_by_it() -> None:
    operator = await two_operators()
    before = operator.plane.world.snapshot()
    await operator.say(OSLO, "node-probes/goteborg", probe())
    assert operator.plane.world.snapshot() is before


async def test_a_measurement_under_another_name_or_for_another_zone_is_refused() -> None:
    operator = await two_operators()
    for name, body, field in (
        ("node-probes/hamburg", probe(), "name"),
        ("probes/goteborg", probe(), "name"),
        ("node-probes/goteborg", probe(source=GOTEBORG), "probe.source_zone"),
    ):
        told: StoredAdvert = advert(OSLO, name, body)
        ((_, wrong, _),) = await operator.plane.agents.adverts(OSLO, [told], [])
        assert wrong == field
