"""What is written for the demonstration's processes is what each of them accepts, and says what the scenario says."""

from __future__ import annotations

import stat
import unicodedata
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hansa_control.adapters.authority import Role, control_plane_host, spiffe_id
from hansa_control.adapters.identity import PeerVerifier, TrustedDomain
from hansa_control.application.ports import RefusalError
from hansa_control.bootstrap import Credentials
from hansa_control.config import read_config
from hansa_control.domain.model import FactKind, Reason
from hansa_demo.addressing import LoopbackAddressing
from hansa_demo.prepare import Prepared, artefact_files, prepare, remove
from hansa_demo.scenario import ARTEFACT, HOME, OPERATORS, TENANT, DemoOperator, DemoZone
from hansa_sim.operator_files import trust_domain
from prepared_world import NOW_MS, agent_config, network_of, places, zone_of

from hansa.errors import HansaError
from hansa.profile import load_profile
from hansa.spec_file import load_workload

ZONES = [pytest.param(operator, zone, id=f"{operator.name}/{zone.name}") for operator, zone in places()]
EACH_OPERATOR = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
EACH_ZONE = pytest.mark.parametrize(("operator", "zone"), ZONES)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def hosts_of(path: Path) -> set[str]:
    names = certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))


# --- where ---


def test_a_folder_with_anything_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(HansaError, match="is not empty"):
        prepare(tmp_path, LoopbackAddressing(), NOW_MS)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_new_world_is_nobody_elses_to_look_into(prepared: Prepared) -> None:
    assert stat.S_IMODE(prepared.directory.stat().st_mode) == 0o700


def test_a_world_that_is_forgotten_is_gone_and_may_be_forgotten_twice(tmp_path: Path) -> None:
    (tmp_path / "world" / "deep").mkdir(parents=True)
    remove(tmp_path / "world")
    remove(tmp_path / "world")
    assert not (tmp_path / "world").exists()


# --- configurations ---


@EACH_OPERATOR
@pytest.mark.parametrize("world", ["prepared", "composed"])
def test_a_control_plane_accepts_its_configuration_and_every_file_that_it_names(
    operator: DemoOperator, world: str, request: pytest.FixtureRequest
) -> None:
    prepared: Prepared = request.getfixturevalue(world)
    config = read_config(prepared.operator(operator.name) / "control-plane.yaml")
    assert config.operator == operator.name
    assert config.trust_domain == trust_domain(operator.name)
    assert {partner.operator for partner in config.partners} == {op.name for op in OPERATORS} - {operator.name}
    credentials = Credentials(config)
    assert set(credentials.partner_ca_pems) == {partner.operator for partner in config.partners}


def test_every_operator_dials_its_partners_where_they_listen(prepared: Prepared) -> None:
    configs = {op.name: read_config(prepared.operator(op.name) / "control-plane.yaml") for op in OPERATORS}
    for config in configs.values():
        for partner in config.partners:
            assert partner.endpoint == configs[partner.operator].listen.partners
            assert partner.ca.read_bytes() == configs[partner.operator].tls.ca.read_bytes()


@EACH_ZONE
def test_an_agent_accepts_its_configuration_and_dials_its_own_operator(
    operator: DemoOperator, zone: DemoZone, prepared: Prepared
) -> None:
    loaded = agent_config(prepared, operator.name, zone.name)
    control_plane = read_config(prepared.operator(operator.name) / "control-plane.yaml")
    config = loaded.config
    assert config.zone == f"{operator.name}/{zone.name}"
    assert config.operator.endpoints == [control_plane.listen.agents]
    assert config.operator.server_name == control_plane_host(trust_domain(operator.name))
    assert {name: artefact.digest for name, artefact in loaded.artefacts.items()} == {
        ARTEFACT: prepared.artefact_digest
    }
    for file in (config.operator.tls.ca, config.operator.tls.cert, config.operator.tls.key):
        assert b"-----BEGIN " in loaded.tls_file(file)


def test_no_two_agents_share_a_state_folder(prepared: Prepared) -> None:
    folders = [agent_config(prepared, op.name, zone.name).state_dir.resolve() for op, zone in places()]
    assert len(set(folders)) == len(folders)


def test_the_app_team_gets_a_profile_that_leads_to_its_home_operator(prepared: Prepared) -> None:
    profile = load_profile(prepared.profile)
    home = read_config(prepared.operator(HOME) / "control-plane.yaml")
    ca_pem, cert_pem, _ = profile.read_credentials()
    assert (profile.tenant, profile.endpoint) == (TENANT, home.listen.api)
    assert ca_pem == home.tls.ca.read_bytes()
    assert profile.server_name in hosts_of(home.tls.cert)
    assert Credentials(home).own.identity_of(cert_pem).role is Role.TENANT


@pytest.mark.parametrize(("name", "points"), [("yard-ocr", ["oslo", "goteborg"]), ("gate-ocr", ["hamburg"])])
def test_the_workloads_are_read_and_name_what_every_agent_allows(
    name: str, points: list[str], prepared: Prepared
) -> None:
    file = load_workload(prepared.directory / f"{name}.yaml", TENANT)
    assert file.name.short == name
    assert (file.spec.artefact.name, file.spec.artefact.digest) == (ARTEFACT, prepared.artefact_digest)
    assert [demand.access_point for demand in file.spec.access] == points


def test_the_artefact_is_the_servers_modules_and_its_models() -> None:
    files = artefact_files()
    assert {file.suffix for file in files} == {".py", ".onnx"}
    assert any(file.name == "ocr_server.py" for file in files)
    assert all(file.is_file() for file in files)


# --- network ---


@EACH_OPERATOR
def test_a_network_file_is_read_and_carries_every_node_of_the_operators_zones(
    operator: DemoOperator, prepared: Prepared
) -> None:
    nodes, links = network_of(prepared, operator.name)
    names = {node.name for node in nodes}
    assert {zone.node for zone in operator.zones} <= names
    assert links
    assert {link.carrier for link in links} == {operator.name}
    own = {node.country for node in nodes if not node.at_sea}
    assert own == set(operator.carries) | {room.country for room in operator.presence}


@EACH_ZONE
def test_a_zone_stands_where_the_network_says_that_its_country_is(
    operator: DemoOperator, zone: DemoZone, prepared: Prepared
) -> None:
    nodes, _ = network_of(prepared, operator.name)
    node = next(node for node in nodes if node.name == zone.node)
    assert node.country == zone.country
    assert plain(node.title) == zone.title


def plain(title: str) -> str:
    """A city without marks on its letters and without what stands in brackets."""
    marked = unicodedata.normalize("NFKD", title.partition(" (")[0])
    return "".join(letter for letter in marked if not unicodedata.combining(letter))


def test_no_node_and_no_link_belongs_to_two_operators(prepared: Prepared) -> None:
    networks = [network_of(prepared, op.name) for op in OPERATORS]
    for part in (0, 1):
        names = [item.name for network in networks for item in network[part]]  # type: ignore[attr-defined]
        assert len(set(names)) == len(names)


def test_a_room_without_a_network_of_its_own_is_no_access_point_and_hangs_on_a_carriers_node(
    prepared: Prepared,
) -> None:
    carried = {node.name for op in OPERATORS if op.carries for node in network_of(prepared, op.name)[0]}
    nodes, links = network_of(prepared, "blueridge")
    assert not any(node.access_point for node in nodes)
    assert {link.node_b for link in links} <= carried


# --- facts ---


@EACH_ZONE
def test_facts_and_inventory_are_those_of_the_scenario(
    operator: DemoOperator, zone: DemoZone, prepared: Prepared
) -> None:
    seen = zone_of(agent_config(prepared, operator.name, zone.name), NOW_MS)
    assert {fact.kind: fact.value for fact in seen.facts} == {
        FactKind.SITE_COUNTRY: zone.country,
        FactKind.HEADQUARTERS_COUNTRY: operator.headquarters_country,
        FactKind.ULTIMATE_PARENT_COUNTRY: operator.ultimate_parent_country,
        FactKind.EXTRATERRITORIAL_LAW: operator.extraterritorial_law,
    }
    assert {fact.evidence.issuer for fact in seen.facts} == {operator.name}
    assert all(fact.evidence.is_valid(NOW_MS) for fact in seen.facts)
    assert not any(fact.evidence.is_valid(NOW_MS + 366 * 86_400_000) for fact in seen.facts)
    pools = [(pool.model, pool.memory_mib, pool.count, pool.mig_profile) for pool in seen.inventory.pools]
    assert pools == [(pool.model, pool.memory_mib, pool.count, pool.mig_profile) for pool in zone.pools]
    assert seen.inventory.price_millieur_per_hour == zone.price_millieur_per_hour


def test_the_evidence_of_a_fact_is_the_digest_of_a_declaration_that_lies_there(prepared: Prepared) -> None:
    for operator, zone in places():
        text = (prepared.operator(operator.name) / "declaration.txt").read_bytes()
        digests = {fact.evidence.digest for fact in agent_config(prepared, operator.name, zone.name).config.facts}
        assert digests == {f"sha256:{sha256(text).hexdigest()}"}
        assert operator.ultimate_parent_country.encode() in text


# --- certificates ---


def verifier_of(prepared: Prepared) -> PeerVerifier:
    """Believes every operator in its own trust domain."""
    return PeerVerifier(
        TrustedDomain(op.name, trust_domain(op.name), (prepared.operator(op.name) / "tls" / "ca.pem").read_bytes())
        for op in OPERATORS
    )


def leaves(prepared: Prepared) -> list[tuple[Path, str, Role, str]]:
    """Every certificate that is not an authority's, with the identity that it should prove."""
    found = [(prepared.directory / "tls" / f"{TENANT}.pem", HOME, Role.TENANT, TENANT)]
    for operator in OPERATORS:
        tls = prepared.operator(operator.name) / "tls"
        found.append((tls / "control-plane.pem", operator.name, Role.CONTROL_PLANE, ""))
        for zone in operator.zones:
            found.append((tls / f"{zone.name}.pem", operator.name, Role.AGENT, zone.name))
            found.append((tls / f"{zone.name}-instances.pem", operator.name, Role.INSTANCE, zone.name))
    return found


def test_every_certificate_proves_exactly_the_identity_of_its_process(prepared: Prepared) -> None:
    verifier = verifier_of(prepared)
    for path, operator, role, name in leaves(prepared):
        identity = verifier.identity_of(path.read_bytes())
        assert (identity.operator, identity.role, identity.name) == (operator, role, name), path
        assert identity.spiffe_id == spiffe_id(trust_domain(operator), role, name)


def test_no_certificate_is_believed_in_another_operators_name(prepared: Prepared) -> None:
    for path, operator, _, _ in leaves(prepared):
        other = next(op.name for op in OPERATORS if op.name != operator)
        swapped = PeerVerifier(
            [TrustedDomain(operator, trust_domain(operator), (prepared.operator(other) / "tls/ca.pem").read_bytes())]
        )
        with pytest.raises(RefusalError) as refused:
            swapped.identity_of(path.read_bytes())
        assert refused.value.reason is Reason.IDENTITY_MISMATCH


def test_every_key_fits_its_certificate_and_is_readable_by_its_owner_only(prepared: Prepared) -> None:
    keys = sorted(prepared.directory.rglob("*-key.pem"))
    assert len(keys) == len(leaves(prepared)) == 25
    for key_file in keys:
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600, key_file
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        paired = certificate(key_file.with_name(key_file.name.replace("-key.pem", ".pem")))
        assert key.public_key() == paired.public_key(), key_file


def test_no_authoritys_key_is_left_lying_about(prepared: Prepared) -> None:
    authorities = [certificate(prepared.operator(op.name) / "tls/ca.pem").public_key() for op in OPERATORS]
    keys = [serialization.load_pem_private_key(p.read_bytes(), None) for p in prepared.directory.rglob("*-key.pem")]
    assert not [key for key in keys if key.public_key() in authorities]
    held = [path for path in prepared.directory.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert len(held) == len(keys)


def test_certificates_carry_loopback_and_only_the_control_planes_carries_its_host(prepared: Prepared) -> None:
    for path, operator, role, _ in leaves(prepared):
        hosts = hosts_of(path)
        assert ("127.0.0.1" in hosts) == (role is not Role.TENANT), path
        assert (control_plane_host(trust_domain(operator)) in hosts) == (role is Role.CONTROL_PLANE), path


def test_certificates_of_containers_carry_their_services_names(composed: Prepared) -> None:
    assert "nordavind" in hosts_of(composed.operator("nordavind") / "tls/control-plane.pem")
    assert "nordavind-oslo-1" in hosts_of(composed.operator("nordavind") / "tls/oslo-1-instances.pem")
    assert "nordavind-oslo-1" not in hosts_of(composed.operator("nordavind") / "tls/bergen-1-instances.pem")


def test_certificates_last_a_month_and_no_longer(prepared: Prepared) -> None:
    for path, *_ in leaves(prepared):
        leaf = certificate(path)
        days = (leaf.not_valid_after_utc.timestamp() * 1_000 - NOW_MS) / 86_400_000
        assert 29.9 < days < 30.1
        assert leaf.not_valid_before_utc.timestamp() * 1_000 < NOW_MS


def test_what_is_written_is_plain_yaml_without_a_name_of_anybody_real(prepared: Prepared) -> None:
    for path in prepared.directory.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert isinstance(yaml.safe_load(text), dict), path
        assert not any(name in text.casefold() for name in ("telenor", "telia", "telekom", "orange", "vodafone"))
