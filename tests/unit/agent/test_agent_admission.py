"""Which orders an agent takes."""

from __future__ import annotations

from typing import Any

import pytest
from agent_orders import DIGEST, order
from hansa_agent.admission import Grounds, OrderAdmission, judge

from hansa.v1.agent_service_pb2 import Order
from hansa.v1.common_pb2 import ArtefactRef, Capacity, PoolAmount
from hansa.v1.instance_pb2 import ProbeTarget

CAPACITY = Capacity(cpu_millis=2_000, memory_mib=1_024, accelerators=[PoolAmount(pool="nvidia/L4", count=2)])


def grounds(**tokens: int) -> Grounds:
    return Grounds({"echo": DIGEST}, CAPACITY, tokens)


def field_of(candidate: Order, held: dict[str, Order] | None = None, **tokens: int) -> str | None:
    complaint = judge(candidate, held or {}, grounds(**tokens))
    return complaint[0] if complaint else None


def test_lawful_order_is_taken() -> None:
    assert field_of(order()) is None
    assert OrderAdmission(grounds).refusal(order(), {}) is None


def test_refusal_names_resource_field_and_reason() -> None:
    refusal = OrderAdmission(grounds).refusal(order(artefact=ArtefactRef(name="miner")), {})
    assert refusal is not None
    assert (refusal.name, refusal.field) == ("instances/c1-0", "instance.artefact.name")
    assert "'miner'" in refusal.message


@pytest.mark.parametrize("name", ["", "../c1-0", "a/b", "A-0", "-c1", "c1-0\n", ".", "..", "a..b", "x" * 200, "c 1"])
def test_instance_that_could_not_be_a_folder_is_refused(name: str) -> None:
    assert field_of(order(name)) == "instance.instance"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"claim": ""}, "instance.claim"),
        ({"artefact": ArtefactRef(name="echo", digest="")}, "instance.artefact.digest"),
        ({"artefact": ArtefactRef(name="echo", digest=DIGEST.upper())}, "instance.artefact.digest"),
        ({"fencing_token": -1}, "instance.fencing_token"),
        ({"client_ca_pem": b""}, "instance.client_ca_pem"),
        ({"client_ids": ["spiffe://a/b,spiffe://c/d"]}, "instance.client_ids"),
        ({"client_ids": ["CN=anybody"]}, "instance.client_ids"),
        ({"limits": Capacity(memory_mib=1_025)}, "instance.limits.memory_mib"),
        ({"limits": Capacity(cpu_millis=-1)}, "instance.limits"),
        (
            {"limits": Capacity(accelerators=[PoolAmount(pool="nvidia/L4", count=3)])},
            "instance.limits.accelerators[nvidia/L4]",
        ),
        (
            {"limits": Capacity(accelerators=[PoolAmount(pool="nvidia/T4", count=1)])},
            "instance.limits.accelerators[nvidia/T4]",
        ),
    ],
)
def test_malformed_or_excessive_order_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    assert field_of(order(**changes)) == field


def test_order_under_another_name_is_refused() -> None:
    wrong = order()
    wrong.name = "instances/c2-0"
    assert field_of(wrong) == "name"


def test_order_without_etag_or_body_is_refused() -> None:
    bare = order()
    bare.etag = ""
    assert field_of(bare) == "etag"
    assert field_of(Order(name="instances/c1-0", etag="1")) == "body"


def test_token_below_one_seen_for_the_claim_is_refused_and_an_equal_one_taken() -> None:
    assert field_of(order(fencing_token=6), c1=7) == "instance.fencing_token"
    assert field_of(order(fencing_token=7), c1=7) is None
    assert field_of(order(fencing_token=1), other=7) is None


def test_token_is_compared_with_orders_of_the_same_claim_held_beside_it() -> None:
    other = order("c1-1", fencing_token=9)
    assert field_of(order(fencing_token=8), {other.name: other}) == "instance.fencing_token"
    former = order(fencing_token=9)
    assert field_of(order(fencing_token=8), {former.name: former}) == "instance.fencing_token"


def test_limits_count_together_and_a_changed_order_does_not_count_twice() -> None:
    held = {each.name: each for each in (order("c2-0", limits=Capacity(cpu_millis=1_500)),)}
    assert field_of(order(limits=Capacity(cpu_millis=501)), held) == "instance.limits.cpu_millis"
    assert field_of(order(limits=Capacity(cpu_millis=500)), held) is None
    assert field_of(order("c2-0", limits=Capacity(cpu_millis=2_000)), held) is None


@pytest.mark.parametrize("address", ["", "host", "host:", "host:0", "host:65536", ":80", "a b:80", "host:80:90"])
def test_probe_target_without_a_proper_address_is_refused(address: str) -> None:
    target = ProbeTarget(zone="svea/sto-1", address=address)
    wrong = Order(name="probe-targets/svea/sto-1", etag="1", probe_target=target)
    assert field_of(wrong) == "probe_target.address"


@pytest.mark.parametrize("address", ["10.0.0.1:862", "[2001:db8::1]:862", "probe.svea.example:1"])
def test_probe_target_with_an_address_is_taken(address: str) -> None:
    target = ProbeTarget(zone="svea/sto-1", address=address)
    assert field_of(Order(name="probe-targets/svea/sto-1", etag="1", probe_target=target)) is None


def test_probe_target_of_a_nameless_or_differently_named_zone_is_refused() -> None:
    target = ProbeTarget(zone="svea/sto-1", address="h:1")
    assert field_of(Order(name="probe-targets/svea/sto-2", etag="1", probe_target=target)) == "name"
    assert field_of(Order(name="x", etag="1", probe_target=ProbeTarget(zone="svea", address="h:1"))) == (
        "probe_target.zone"
    )
