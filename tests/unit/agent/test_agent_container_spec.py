"""What of an order and of the configuration becomes of a container, for both kinds of engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hansa_agent.artefacts import Artefact
from hansa_agent.config_container import ContainerSection
from hansa_agent.container_devices import chosen_devices, held_devices
from hansa_agent.container_engine import _frames
from hansa_agent.container_socket import EngineRefused, words_of
from hansa_agent.container_spec import (
    ContainerSpec,
    docker_body,
    inner_environment,
    inner_place,
    labels_of,
    name_of,
    order_digest,
    podman_body,
    ulimits_of,
)
from hansa_agent.container_view import Seen, seen_of
from hansa_agent.instance_ports import InstanceSettings
from hansa_agent.ports import StartRefused

from hansa.v1.common_pb2 import DATA_CLASS_INPUT, Capacity, PoolAmount
from hansa.v1.instance_pb2 import DesiredInstance

ORDER = DesiredInstance(
    instance="c1-0",
    claim="c1",
    workload="workloads/shop",
    fencing_token=7,
    limits=Capacity(cpu_millis=1_500, memory_mib=64),
)
L4 = "nvidia/L4"


def spec(
    order: DesiredInstance = ORDER, devices: tuple[str, ...] = (), published: str = "10.0.0.1", **section: Any
) -> Any:
    parsed = ContainerSection(**section)
    return ContainerSpec(
        image="r/i@sha256:0",
        command=(),
        env={"B": "2", "A": "1"},
        labels=labels_of("nordfjell/osl-1", order, 20_001, devices),
        mounts={"/hansa/client_ca.pem": "/state/ca.pem"},
        port=20_001,
        published=published,
        devices=devices,
        cpu_millis=order.limits.cpu_millis,
        memory_mib=order.limits.memory_mib,
        ulimits=ulimits_of(parsed, {"nproc": 5_000}),
        log_bytes_max=1_000,
        section=parsed,
    )


def test_names_of_two_zones_never_meet() -> None:
    assert name_of("a/b", "c1-0") == "hansa.a.b.c1-0"
    assert name_of("a/b", "c.d-0") != name_of("a/b-c", "d-0")


def test_digest_of_an_order_leaves_out_what_makes_no_other_container() -> None:
    renamed, bigger = DesiredInstance(), DesiredInstance()
    renamed.CopyFrom(ORDER)
    bigger.CopyFrom(ORDER)
    renamed.fencing_token, renamed.workload, renamed.asker = 9, "workloads/other", "nordfjell/shop"
    renamed.data.append(DATA_CLASS_INPUT)
    bigger.limits.memory_mib = 65
    assert order_digest(renamed) == order_digest(ORDER) != order_digest(bigger)
    assert ORDER.fencing_token == 7, "the order is left as it was"


def test_docker_is_told_every_bound() -> None:
    body = docker_body(spec(devices=("nvidia.com/gpu=0",)))
    host = body["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (1_500_000_000, 64 << 20, 64 << 20)
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PortBindings"] == {"20001/tcp": [{"HostIp": "10.0.0.1", "HostPort": "20001"}]}
    assert host["DeviceRequests"] == [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]
    assert host["Binds"] == ["/state/ca.pem:/hansa/client_ca.pem:ro,Z"]
    assert host["Tmpfs"].keys() == {"/hansa/home", "/tmp"} and "size=64m" in host["Tmpfs"]["/tmp"]
    assert body["Env"] == ["A=1", "B=2"] and body["User"] == "65532:65532" and "Cmd" not in body
    assert body["Labels"]["hansa.devices"] == "nvidia.com/gpu=0"
    assert "Privileged" not in host and host["RestartPolicy"] == {"Name": "no"}


def test_command_replaces_the_images_entry_point_and_its_arguments_and_none_leaves_both() -> None:
    plain = spec()
    assert "Entrypoint" not in docker_body(plain) and "entrypoint" not in podman_body("n", plain)
    told = replace(plain, command=("/opt/ocr", "--fast"))
    assert (docker_body(told)["Entrypoint"], docker_body(told)["Cmd"]) == (["/opt/ocr", "--fast"], [])
    assert (podman_body("n", told)["entrypoint"], podman_body("n", told)["command"]) == (["/opt/ocr", "--fast"], [])


def test_podman_is_told_every_bound() -> None:
    body = podman_body("n", spec(devices=("nvidia.com/gpu=0",)))
    assert body["resource_limits"] == {
        "pids": {"limit": 4_096},
        "cpu": {"quota": 150_000, "period": 100_000},
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
    }
    assert body["read_only_filesystem"] and body["cap_drop"] == ["ALL"] and body["no_new_privileges"]
    assert body["devices"] == [{"path": "nvidia.com/gpu=0"}]
    assert [mount["options"] for mount in body["mounts"] if mount["type"] == "bind"] == [["ro", "rbind", "Z"]]
    assert body["portmappings"][0]["host_ip"] == "10.0.0.1"


def test_what_is_not_ordered_is_not_bounded_and_a_sliver_of_a_core_is_a_millisecond() -> None:
    free = DesiredInstance(instance="c1-0")
    assert podman_body("n", spec(free))["resource_limits"] == {"pids": {"limit": 4_096}}
    sliver = DesiredInstance(instance="c1-0", limits=Capacity(cpu_millis=1))
    assert podman_body("n", spec(sliver))["resource_limits"]["cpu"]["quota"] == 1_000
    assert docker_body(spec(free))["HostConfig"]["Memory"] == 0


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("bridge", {"netns": {"nsmode": "bridge"}}),
        ("host", {"netns": {"nsmode": "host"}}),
        ("edge", {"netns": {"nsmode": "bridge"}, "networks": {"edge": {}}}),
    ],
)
def test_network_is_that_of_the_configuration(network: str, expected: dict[str, Any]) -> None:
    made = spec(network=network, published="" if network == "host" else "10.0.0.1")
    body = podman_body("n", made)
    assert {name: body[name] for name in ("netns", "networks") if name in body} == expected
    assert bool(body["portmappings"]) == bool(docker_body(made)["HostConfig"]["PortBindings"]) == (network != "host")


def test_limits_stay_beneath_what_this_machine_allows() -> None:
    assert ulimits_of(ContainerSection(), {}) == {"nofile": 4_096, "nproc": 4_096}
    assert ulimits_of(ContainerSection(pids_max=10_000), {"nproc": 5_000}) == {"nofile": 4_096, "nproc": 5_000}


def test_instance_sees_the_contract_inside_and_the_search_path_of_its_image() -> None:
    artefact = Artefact("echo", (), (), "d", {"OMP_NUM_THREADS": "2", "HOME": "/root"})
    env = inner_environment(ORDER, artefact, inner_place("0.0.0.0", 20_001, has_tls=True))
    assert env["HANSA_TLS_KEY"] == "/hansa/tls/key.pem" and env["HANSA_LISTEN_PORT"] == "20001"
    assert env["HOME"] == "/hansa/home" and env["OMP_NUM_THREADS"] == "2" and "PATH" not in env
    assert inner_environment(ORDER, artefact, inner_place("0.0.0.0", 1, has_tls=False))["HANSA_TLS_CERT"] == ""


def containers(*held: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"State": state, "Labels": {"hansa.devices": devices}} for devices, state in held]


def test_devices_that_are_held_are_passed_over_until_their_container_ends() -> None:
    wanted = Capacity(accelerators=[PoolAmount(pool=L4, count=2)])
    configured = {L4: ["n=0", "n=1", "n=2"]}
    assert chosen_devices(wanted, configured, []) == ("n=0", "n=1")
    assert chosen_devices(wanted, configured, containers(("n=0", "running"))) == ("n=1", "n=2")
    assert chosen_devices(wanted, configured, containers(("n=0,n=1", "exited"))) == ("n=0", "n=1")
    with pytest.raises(StartRefused, match="2 of nvidia/L4 are wanted, 1 of its devices are free"):
        chosen_devices(wanted, configured, containers(("n=0,n=1", "created")))
    assert held_devices([{"State": "running"}, {"State": "running", "Labels": None}]) == frozenset()


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        ({"Status": "running", "Running": True}, Seen()),
        ({"Status": "created"}, Seen()),
        ({"Status": "exited", "ExitCode": 0}, Seen(end="ended with status 0")),
        ({"Status": "exited", "ExitCode": 143}, Seen(end="ended by signal 15")),
        ({"Status": "exited", "ExitCode": 255}, Seen(end="ended with status 255")),
        ({"Status": "dead", "ExitCode": 1, "Error": "no\nroom"}, Seen(end="ended with status 1: noroom")),
        ({"Status": "paused", "Running": True, "Paused": True}, Seen(unready="its container is paused")),
        (
            {"Status": "running", "Running": True, "Health": {"Status": "unhealthy"}},
            Seen(unready="its health check fails"),
        ),
        ({"Status": "running", "Running": True, "Health": {"Status": "", "Log": None}}, Seen()),
    ],
)
def test_look_at_a_container_is_put_into_words(state: dict[str, Any], seen: Seen) -> None:
    assert seen_of({"Id": "1", "State": state}) == seen


def test_container_that_is_not_there_has_ended() -> None:
    assert seen_of(None).end == "its container is gone"


def test_refusals_are_told_apart_by_status_or_by_podmans_words() -> None:
    taken = 'creating container storage: the container name "t1" is already in use by 39: that name is already in use'
    assert EngineRefused(500, taken).name_is_taken and EngineRefused(409, "Conflict").name_is_taken
    assert not EngineRefused(500, "bind: address already in use").name_is_taken
    assert EngineRefused(500, "can only kill running containers: container state improper").is_not_running
    assert EngineRefused(404, "x").is_absent and not EngineRefused(500, "x").is_absent


def test_words_of_an_engine_are_printable_and_bounded() -> None:
    assert words_of(b'{"message":"no\\u001b[31m such\\nthing"}') == "no [31m such thing"
    assert len(words_of(b"x" * 1_000)) == 300 and words_of(b"") == "no reason given"


def test_log_comes_out_of_its_frames() -> None:
    framed = b"\x01\0\0\0\0\0\0\x03one" + b"\x02\0\0\0\0\0\0\x03two"
    assert b"".join(_frames(framed)) == b"onetwo" and _frames(b"plain text") == [b"plain text"]


def test_address_that_others_reach_is_what_an_endpoint_names() -> None:
    assert InstanceSettings("0.0.0.0", (1, 2), "203.0.113.7").endpoint_url(5) == "https://203.0.113.7:5"
    assert InstanceSettings("::1", (1, 2)).endpoint_url(5) == "https://[::1]:5"


def test_engine_socket_is_a_path() -> None:
    assert ContainerSection().socket == Path("/run/podman/podman.sock") and not ContainerSection().pull
