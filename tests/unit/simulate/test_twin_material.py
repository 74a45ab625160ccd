"""What is written for a twin's processes is what the real ones accept, and is the world that was simulated."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from hansa_agent.artefacts import artefact_digest
from hansa_agent.config import LoadedConfig
from hansa_control.adapters.authority import control_plane_host
from hansa_control.adapters.codec_workload import spec_in
from hansa_control.adapters.network_file import read_network_file
from hansa_control.bootstrap import Credentials
from hansa_control.config import read_config
from hansa_control.domain.model import ArtefactRef, NetworkLink, NetworkNode
from hansa_control.domain.snapshot import build_snapshot
from hansa_sim.latency.scenario_file import load_scenario
from hansa_sim.latency.traffic import traffic_of
from hansa_sim.latency.twin.material import SERVER, TENANT, Material, segment_of, workload_document, write_material
from hansa_sim.latency.twin.plan import Network, Part
from hansa_sim.latency.twin.system import wall_ms
from hansa_sim.latency.world import World, build_world
from hansa_sim.operator_files import trust_domain
from twin_worlds import host, hosts_of, twin_world

from hansa.profile import load_profile
from hansa.spec_file import load_workload

OPERATORS = ("nordavind", "skargard", "waldnetz")
WORKED = Path(__file__).parents[3] / "simulations" / "scenarios" / "twin-nordic.yaml"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    slower = (
        "{times: [{mean_ms: 20}]}",
        "{concurrency: 3, times: [{accelerator: L40S, mean_ms: 20}, {accelerator: L4, mean_ms: 50}]}",
    )
    second = (
        "node: stockholm\n        accelerators: {model: L40S",
        "node: stockholm\n        accelerators: {model: L4",
    )
    return twin_world(tmp_path_factory.mktemp("scenario"), slower, second)


@pytest.fixture(scope="module")
def network(world: World) -> Network:
    return hosts_of(world)


@pytest.fixture(scope="module")
def material(world: World, network: Network, tmp_path_factory: pytest.TempPathFactory) -> Material:
    return write_material(world, network, traffic_of(world), (tmp_path_factory.mktemp("world"), wall_ms()))


def agents(world: World, material: Material) -> Iterator[tuple[str, LoadedConfig]]:
    for zone in world.zones:
        yield str(zone.id), LoadedConfig(material.agent(str(zone.id)))


# --- control planes ---


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_control_plane_accepts_its_configuration_and_listens_in_its_own_namespace(
    operator: str, material: Material, network: Network
) -> None:
    config = read_config(material.control_plane(operator))
    assert (config.operator, config.trust_domain) == (operator, trust_domain(operator))
    address = host(network, Part.OPERATOR, operator).address
    listening = (config.listen.api, config.listen.agents, config.listen.partners, config.listen.metrics)
    assert {one.rpartition(":")[0] for one in listening} == {address}
    assert set(Credentials(config).partner_ca_pems) == set(OPERATORS) - {operator}


def test_every_operator_dials_its_partners_where_they_listen(material: Material) -> None:
    configs = {operator: read_config(material.control_plane(operator)) for operator in OPERATORS}
    for config in configs.values():
        for partner in config.partners:
            assert partner.endpoint == configs[partner.operator].listen.partners
            assert partner.ca.read_bytes() == configs[partner.operator].tls.ca.read_bytes()


def test_keys_are_readable_by_their_owner_only(material: Material) -> None:
    keys = sorted(material.folder.rglob("*-key.pem"))
    assert len(keys) == len(OPERATORS) + 2 * 3 + 1
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


# --- the network ---


def told_network(material: Material) -> tuple[list[NetworkNode], list[NetworkLink]]:
    """What all operators tell together, sorted by name."""
    told = [read_network_file(material.control_plane(operator).with_name("network.yaml")) for operator in OPERATORS]
    nodes = sorted((node for part, _ in told for node in part), key=lambda node: node.name)
    return nodes, sorted((link for _, part in told for link in part), key=lambda link: link.name)


def test_the_operators_together_tell_the_network_that_was_simulated(world: World, material: Material) -> None:
    nodes, links = told_network(material)
    assert tuple(node.name for node in nodes) == tuple(node.name for node in world.ground.nodes)
    assert tuple(links) == world.ground.links


def test_ways_over_what_is_told_are_as_long_as_the_simulated_ones(world: World, material: Material) -> None:
    nodes, links = told_network(material)
    told = build_snapshot(1, world.zones, nodes, links, world.loaded.now_ms).network
    assert [link.rtt for link in told.links] == [link.rtt for link in world.snapshot.network.links]


def test_what_is_carried_by_nobody_here_the_home_operator_tells(tmp_path: Path) -> None:
    carried = ("  round_trips: trips.csv\n", "  round_trips: trips.csv\n  other_carrier: elsewhere\n")
    world = twin_world(tmp_path, carried, ("    countries: [DE]", "    nodes: [hamburg]"))
    strange = twin_world(tmp_path, carried, ("island: SE, reef: SE", "island: FI, reef: FI"))
    assert world.ground.owners["hamburg"] == "waldnetz"
    assert strange.ground.owners["island"] == "elsewhere"
    assert {"island", "reef"} <= {node.name for node in segment_of(strange, "nordavind").nodes}
    assert "island--reef" in {link.name for link in segment_of(strange, "nordavind").links}
    assert "island" not in {node.name for node in segment_of(strange, "skargard").nodes}


# --- agents ---


def test_an_agent_accepts_its_configuration_and_dials_its_operator(
    world: World, material: Material, network: Network
) -> None:
    for zone, loaded in agents(world, material):
        operator = zone.partition("/")[0]
        assert loaded.config.zone == zone
        assert loaded.config.operator.endpoints == [read_config(material.control_plane(operator)).listen.agents]
        assert loaded.config.operator.server_name == control_plane_host(trust_domain(operator))
        assert loaded.config.instance.listen_host == host(network, Part.ZONE, zone).address


def test_an_agent_has_what_the_scenario_gives_its_zone(world: World, material: Material) -> None:
    told = dict(agents(world, material))
    for zone in world.zones:
        inventory, [pool] = told[str(zone.id)].config.inventory, zone.inventory.pools
        assert (inventory.node, inventory.price_millieur_per_hour, inventory.device_watts) == (
            zone.inventory.node,
            zone.inventory.price_millieur_per_hour,
            zone.inventory.device_watts,
        )
        assert [(one.model, one.memory_mib, one.count) for one in inventory.pools] == [
            (pool.model, pool.memory_mib, pool.count)
        ]
        facts = {(fact.kind, fact.value) for fact in told[str(zone.id)].config.facts}
        assert facts == {(fact.kind.value, fact.value) for fact in zone.facts}


def test_an_agent_has_ports_for_every_replica_and_one_that_takes_over(world: World, material: Material) -> None:
    for zone, (_, loaded) in zip(world.zones, agents(world, material), strict=True):
        first, last = loaded.instance_settings().ports
        assert last - first + 1 >= 2 * zone.inventory.pools[0].count


def test_the_server_of_a_zone_is_as_fast_and_serves_as_many_as_the_scenario_says(
    world: World, material: Material
) -> None:
    settings = {zone: loaded.artefacts["app"].env for zone, loaded in agents(world, material)}
    assert {one["TWIN_CONCURRENCY"] for one in settings.values()} == {"3"}
    speeds = {zone: one["TWIN_SPEED_PERMILLE"] for zone, one in settings.items()}
    assert speeds == {"nordavind/oslo-1": "1000", "skargard/stockholm-1": "400", "waldnetz/hamburg-1": "1000"}


# --- the app team ---


def test_the_app_team_gets_a_profile_that_leads_to_its_home_operator(material: Material) -> None:
    profile, home = load_profile(material.profile), read_config(material.control_plane("nordavind"))
    assert (profile.tenant, profile.endpoint) == (TENANT, home.listen.api)
    ca_pem, cert_pem, _ = profile.read_credentials()
    assert ca_pem == home.tls.ca.read_bytes()
    assert Credentials(home).own.identity_of(cert_pem).name == TENANT
    assert material.certificate[0].read_bytes() == cert_pem


@pytest.mark.parametrize(
    "changed",
    [
        (),
        (("times: [{mean_ms: 20}]", "times: [{accelerator: L40S, mean_ms: 20.5, scv: 1}, {mean_ms: 31}]"),),
        (("{times: [{mean_ms: 20}]}", "{distribution: gamma, concurrency: 4, times: [{mean_ms: 20, scv: 0.3}]}"),),
        (("    service:", "    accelerators: {any_of: [L40S, H100], count: 2, memory_gib_min: 20}\n    service:"),),
        (("    service:", "    zones: {min: 2, max: 3}\n    objective: {price: 0.2, carbon: 0.1}\n    service:"),),
    ],
    ids=["plain", "times", "service", "accelerators", "zones"],
)
def test_what_the_app_team_submits_is_what_was_simulated(tmp_path: Path, changed: tuple[tuple[str, str], ...]) -> None:
    assert_same_request(twin_world(tmp_path, *changed), tmp_path)


def test_what_the_worked_scenario_submits_is_what_was_simulated(tmp_path: Path) -> None:
    assert_same_request(build_world(load_scenario(WORKED)), tmp_path)


def assert_same_request(world: World, folder: Path) -> None:
    """The workload file of a world, read as the command line and the control plane do, is the world's request."""
    document = workload_document(world, [user.access_point for user in world.users])
    path = folder / "workload.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    read = spec_in(load_workload(path, TENANT, world.loaded.scenario.as_of).spec, "spec")
    digest = artefact_digest([SERVER])
    assert read.artefact == ArtefactRef("app", digest)
    most = read.replicas_max or read.replicas
    assert replace(read, artefact=world.spec.artefact, replicas_max=most) == world.spec


def test_users_who_are_not_driven_are_not_submitted_for(world: World) -> None:
    asked = workload_document(world, ["oslo", "malmo"])["users"]
    assert asked == [
        {"access_point": "malmo", "requests_per_s": 9.0},
        {"access_point": "oslo", "requests_per_s": 6.0},
    ]


def test_instances_are_certified_for_their_address(world: World, network: Network, material: Material) -> None:
    for zone, loaded in agents(world, material):
        pem = Path(loaded.instance_settings().tls_cert).read_bytes()
        names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        addresses = {str(one) for one in names.value.get_values_for_type(x509.IPAddress)}
        assert addresses - {"127.0.0.1", "::1"} == {host(network, Part.ZONE, zone).address}
