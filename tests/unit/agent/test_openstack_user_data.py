"""What a server is told at its first boot, how it is marked, and what the cloud's answers mean."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml
from hansa_agent.artefacts import Artefact
from hansa_agent.cloud_init import Certificate, Start, user_data
from hansa_agent.config_openstack import ServerSection
from hansa_agent.openstack_api import Answer
from hansa_agent.openstack_create import refusal, server_body
from hansa_agent.openstack_marks import marks_of, metadata_of, order_digest, server_name, zone_tag
from hansa_agent.placement_truth import Ordered

from hansa.v1.common_pb2 import Capacity, PoolAmount
from hansa.v1.instance_pb2 import DesiredInstance

DIGEST = "sha256:" + "7" * 64
IMAGE = f"registry.skargard.example/ocr@{DIGEST}"
ZONE = "skargard/sto-1"
TLS = Certificate(b"CERT", b"KEY")


def order(**changes: Any) -> DesiredInstance:
    content: dict[str, Any] = {
        "instance": "c1-0",
        "claim": "c1",
        "limits": Capacity(cpu_millis=500, memory_mib=256, accelerators=[PoolAmount(pool="nvidia/L4", count=1)]),
        "fencing_token": 3,
        "client_ca_pem": b"CA",
        "client_ids": ["spiffe://skargard/app/shop"],
    }
    return DesiredInstance(**(content | changes))


def config(artefact: Artefact, certificate: Certificate = TLS, *, with_podman: bool = True) -> dict[str, Any]:
    plain = user_data(order(), artefact, certificate, Start(8_443, with_podman=with_podman))
    assert plain.startswith(b"#cloud-config\n")
    content: dict[str, Any] = yaml.safe_load(plain)
    return content


def test_workload_is_started_by_podman_by_its_digest_with_the_whole_environment() -> None:
    artefact = Artefact("ocr", (), ("/opt/ocr", "a b; rm -rf /"), DIGEST, {"LEVEL": "$(id)"}, IMAGE)
    command = config(artefact)["runcmd"][-1]
    assert command[:2] == ["podman", "run"]
    assert command[-1] == IMAGE
    entry_point = json.loads(command[command.index("--entrypoint") + 1])
    assert entry_point == ["/opt/ocr", "a b; rm -rf /"], "words stay words; no shell reads them"
    told = {command[index + 1] for index, word in enumerate(command) if word == "--env"}
    assert {"HANSA_INSTANCE=c1-0", "HANSA_LISTEN_PORT=8443", "HANSA_LISTEN_HOST=0.0.0.0", "LEVEL=$(id)"} <= told
    assert "HANSA_CLIENT_IDS=spiffe://skargard/app/shop" in told
    assert "nvidia.com/gpu=all" in command


def test_key_is_for_the_images_user_in_a_folder_that_lets_root_alone_through() -> None:
    artefact = Artefact("ocr", (), (), DIGEST, {}, IMAGE)
    told = config(artefact)
    files = {one["path"]: one for one in told["write_files"]}
    key = files["/var/lib/hansa/instance/tls/key.pem"]
    assert (base64.b64decode(key["content"]), key["permissions"]) == (b"KEY", "0600")
    assert base64.b64decode(files["/var/lib/hansa/instance/client_ca.pem"]["content"]) == b"CA"
    *_, closed, run = told["runcmd"]
    assert closed == ["chmod", "0700", "/var/lib/hansa"]
    assert run[run.index("--volume") + 1] == "/var/lib/hansa/instance:/var/lib/hansa/instance:Z,U"
    assert "--user" not in run and "--entrypoint" not in run, "both are the image's own"


def test_nothing_but_the_callers_authority_is_written_where_there_is_no_certificate() -> None:
    artefact = Artefact("ocr", (), (), DIGEST, {}, IMAGE)
    files = config(artefact, Certificate())["write_files"]
    assert [one["path"] for one in files] == ["/var/lib/hansa/instance/client_ca.pem"]


def test_command_of_the_image_runs_as_a_unit_that_is_started_again() -> None:
    artefact = Artefact("ocr", (), ("/opt/ocr", "--fast"), DIGEST, {}, IMAGE)
    command = config(artefact, with_podman=False)["runcmd"][-1]
    assert command[0] == "systemd-run" and command[-3:] == ["--", "/opt/ocr", "--fast"]


def test_same_order_gives_the_same_bytes() -> None:
    artefact = Artefact("ocr", (), (), DIGEST, {"B": "1", "A": "2"}, IMAGE)
    assert user_data(order(), artefact, TLS, Start(1)) == user_data(order(), artefact, TLS, Start(1))


def test_marks_are_read_as_they_were_written_and_strangers_have_none() -> None:
    marks = marks_of(metadata_of(ZONE, order()))
    assert marks is not None
    assert (marks.zone, marks.instance, marks.claim, marks.fencing_token) == (ZONE, "c1-0", "c1", 3)
    assert marks.ordered == Ordered(500, 256, {"nvidia/L4": 1})
    assert marks_of({}) is None
    assert marks_of({"hansa-managed-by": "somebody"}) is None
    assert marks_of(metadata_of(ZONE, order()) | {"hansa-fencing-token": "many"}) is None
    assert all(len(value) <= 255 for value in metadata_of(ZONE, order(workload="w" * 999)).values())


def test_order_is_the_same_under_another_token_and_another_under_other_callers() -> None:
    assert order_digest(order()) == order_digest(order(fencing_token=9, workload="other", asker="a/b", data=[1]))
    assert order_digest(order()) != order_digest(order(client_ids=[]))


def test_names_are_host_names_and_those_of_two_instances_never_the_same() -> None:
    names = {server_name(ZONE, name) for name in ("a.b-0", "a-b-0", "a" * 128, "a" * 127 + "b")}
    assert len(names) == 4
    assert all(len(name) <= 63 and name.replace("-", "").isalnum() for name in names)
    assert zone_tag("a/b") != zone_tag("a/c") and len(zone_tag(ZONE)) <= 60


def test_server_has_the_networks_that_are_configured_or_none() -> None:
    made_of = {"image": "i", "flavor": "f", "group": "", "user_data": "dQ=="}
    plain = server_body(ZONE, order(), ServerSection(image="x"), made_of)
    assert plain["server"]["networks"] == "none" and "security_groups" not in plain["server"]
    assert "os:scheduler_hints" not in plain
    network = "0c7d5d6e-93a8-4c0d-a9a8-8b1b7f9b2a10"
    section = ServerSection(image="x", networks=[network], security_groups=["web"], availability_zone="az2")
    full = server_body(ZONE, order(), section, made_of | {"group": "g"})
    assert full["server"]["networks"] == [{"uuid": network}]
    assert full["server"]["security_groups"] == [{"name": "web"}]
    assert full["server"]["availability_zone"] == "az2"
    assert full["os:scheduler_hints"] == {"group": "g"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"errors": [{"title": "Conflict", "detail": "There was  a\nconflict"}]}, "There was a conflict"),
        ({"forbidden": {"code": 403, "message": "Quota exceeded for cores"}}, "Quota exceeded for cores"),
        ({"NeutronError": {"type": "X", "message": "no such port"}}, "no such port"),
        ({"error": {"message": "x" * 900}}, "x" * 200),
        ({}, "status 409"),
        ({"message": "\x1b[31m"}, "status 409"),
    ],
)
def test_platforms_own_words_are_found_in_every_services_wrapping(body: dict[str, Any], words: str) -> None:
    assert Answer(409, body).words == words


@pytest.mark.parametrize(("status", "permanent"), [(400, True), (404, True), (401, False), (403, False), (409, False)])
def test_refusal_lasts_unless_somebody_may_mend_it(status: int, permanent: bool) -> None:
    refused = refusal(Answer(status, {"badRequest": {"message": "why"}}))
    assert refused.permanent is permanent and refused.message == f"the cloud refuses ({status}): why"
