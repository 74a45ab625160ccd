"""What an overlay changes, as it is shown."""

from __future__ import annotations

import pytest

from hansa.cli.documents import Line, Styled, Table
from hansa.cli.view_overlay import changes, is_changed, overlay_document, supposed_words
from hansa.overlay_file import parse_overlay_text
from hansa.overlay_options import Supposed, overlay_of
from hansa.v1 import overlay_pb2, reason_pb2, workload_pb2, workload_service_pb2

OSLO, GBG = "nordavind/oslo-1", "skargard/gbg-1"


def decision(*parts: tuple[str, int, int], p95_us: int = 20_000, **more: int) -> workload_pb2.Decision:
    """Zones with replicas and the share of the one access point."""
    found = workload_pb2.Decision(zones_evaluated=2, choices=[workload_pb2.Choice(zone=zone) for zone, _, _ in parts])
    for zone, replicas, share in parts:
        found.plan.assignments.add(zone=zone, replicas=replicas, share_permille=[share])
    if parts:
        found.plan.predicted.add(access_point="oslo", p95_us=p95_us)
        found.plan.price_millieur_per_hour = more.get("price", 500)
    return found


def response(
    present: workload_pb2.Decision, supposed: workload_pb2.Decision
) -> workload_service_pb2.PlanWorkloadResponse:
    return workload_service_pb2.PlanWorkloadResponse(decision=supposed, present=present, hypothetical=True)


def text(document: object) -> list[str]:
    lines = [block for block in document if isinstance(block, Line)]  # type: ignore[attr-defined]
    return ["".join(cell.text if isinstance(cell, Styled) else cell for cell in one.cells) for one in lines]


IN_OSLO, IN_BOTH = decision((OSLO, 2, 1000)), decision((OSLO, 1, 250), (GBG, 2, 750), p95_us=25_000, price=900)
NOWHERE = decision()
CUT = overlay_pb2.Overlay(links_removed=["a--b"])


def test_only_what_differs_is_shown() -> None:
    assert changes(response(IN_OSLO, IN_OSLO)) == []
    assert changes(response(IN_OSLO, IN_BOTH)) == [
        ("runs in", f"{OSLO} x 2", f"{OSLO} x 1 (25 %), {GBG} x 2 (75 %)"),
        ("p95 from oslo", "20.0 ms", "25.0 ms"),
        ("price", "0.50 EUR/h", "0.90 EUR/h"),
        ("feasible zones", "1 of 2 zones", "2 of 2 zones"),
        (GBG, "is not there", "feasible"),
    ]


def test_a_zone_that_is_lost_says_what_it_fails() -> None:
    lost = decision()
    lost.rejections.add(
        zone=OSLO,
        reason=reason_pb2.REASON_SITE_COUNTRY_DENIED,
        result=workload_pb2.ConstraintResult(constraint="SiteResidency"),
    )
    rows = changes(response(IN_OSLO, lost))
    assert rows[0] == ("runs in", f"{OSLO} x 2", "nowhere")
    assert rows[-1] == (OSLO, "feasible", "fails SiteResidency")


@pytest.mark.parametrize(
    ("present", "supposed", "verdict", "changed"),
    [
        (IN_OSLO, IN_OSLO, f"no change: ocr would run in {OSLO} x 2, as without it", False),
        (IN_OSLO, NOWHERE, f"infeasible: ocr would run nowhere, instead of running in {OSLO} x 2", True),
        (NOWHERE, NOWHERE, "infeasible: ocr would run nowhere, as it is already", False),
        (NOWHERE, IN_OSLO, f"change: ocr would run in {OSLO} x 2; as it is, no zone is feasible", True),
        (decision((OSLO, 3, 1000)), IN_OSLO, f"change: ocr would run in {OSLO} x 2 instead of {OSLO} x 3", True),
    ],
)
def test_the_verdict_says_whether_the_plan_is_another(
    present: workload_pb2.Decision, supposed: workload_pb2.Decision, verdict: str, *, changed: bool
) -> None:
    found = response(present, supposed)
    document = overlay_document(found, CUT, "ocr")
    assert text(document) == [
        "hypothetical: link a--b cut",
        "nothing was changed; this is not the world as it is",
        verdict,
    ]
    assert is_changed(found) is changed
    assert any(isinstance(block, Table) for block in document) is (present != supposed)


def test_another_latency_alone_is_shown_and_is_no_change() -> None:
    slower = response(IN_OSLO, decision((OSLO, 2, 1000), p95_us=22_000))
    assert not is_changed(slower)
    assert changes(slower) == [("p95 from oslo", "20.0 ms", "22.0 ms")]


def test_everything_that_is_supposed_is_said() -> None:
    facts = (f"{OSLO}:SITE_COUNTRY=SE",)
    assert supposed_words(overlay_of(Supposed(None, ("a--b",), (GBG,), facts, ("DE", "FR")))) == [
        "link a--b cut",
        f"without zone {GBG}",
        f"{OSLO} with SITE_COUNTRY SE",
        "no zone in and no path across DE, FR",
    ]
    words = supposed_words(
        parse_overlay_text(
            "kind: Overlay\n"
            "nodes: [{name: kiruna, lat: 67, lon: 20}]\n"
            "nodes_removed: [oslo]\n"
            "links: [{name: x, a: kiruna, b: umea, length_km: 9, countries: [], carrier: y, kind: terrestrial}]\n"
            "zones: [{zone: a/b, node: kiruna, cpu_cores: 1, memory_gib: 1, artefacts: []}]\n"
            f"facts_removed: [{{zone: {OSLO}, kind: ATTESTATION}}]\n"
            "residency: {control: [NO]}\n"
        )
    )
    assert words == [
        "link x (kiruna to umea) as given",
        "without node oslo",
        "node kiruna as given",
        "zone a/b as given",
        f"{OSLO} without ATTESTATION",
        "a policy added",
    ]
