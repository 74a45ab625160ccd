"""Authorities, certificates, and who is believed to be whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hansa_control.adapters.authority import (
    KeyPair,
    Role,
    Subject,
    Validity,
    control_plane_host,
    issue,
    new_authority,
    spiffe_id,
    trust_domain_of,
    uris_of,
)
from hansa_control.adapters.identity import PeerIdentity, PeerVerifier, TrustedDomain
from hansa_control.application.ports import RefusalError
from hansa_control.domain.model import Reason

NOW_MS = 1_795_000_000_000
YEAR = Validity.of_days(NOW_MS, 365)
HOME_DOMAIN = "nordfjord.hansa.example"
HOME = new_authority("nordfjord", HOME_DOMAIN, YEAR)
PARTNER = new_authority("fjordby", "fjordby.hansa.example", YEAR)


class Context:
    def __init__(self, *pems: bytes) -> None:
        self._pems = pems

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {"x509_pem_cert": self._pems} if self._pems else {}


def verifier() -> PeerVerifier:
    return PeerVerifier(
        [
            TrustedDomain("nordfjord", HOME_DOMAIN, HOME.cert_pem),
            TrustedDomain("fjordby", "fjordby.hansa.example", PARTNER.cert_pem),
        ]
    )


def leaf(authority: KeyPair = HOME, role: Role = Role.AGENT, name: str = "oslo-1") -> bytes:
    return issue(authority, Subject(role, name), YEAR).cert_pem


def parsed(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def forged(authority: KeyPair, *uris: str) -> bytes:
    """A leaf with any names at all, signed by an authority that does not care."""
    ca = parsed(authority.cert_pem)
    ca_key = serialization.load_pem_private_key(authority.key_pem, None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(ca.subject)
        .issuer_name(ca.subject)
        .public_key(ca_key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
    )
    if uris:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


# --- certificates ---


@pytest.mark.parametrize(
    ("role", "name", "identity"),
    [
        (Role.CONTROL_PLANE, "", "spiffe://nordfjord.hansa.example/control-plane"),
        (Role.AGENT, "oslo-1", "spiffe://nordfjord.hansa.example/agent/oslo-1"),
        (Role.TENANT, "acme", "spiffe://nordfjord.hansa.example/tenant/acme"),
        (Role.INSTANCE, "oslo-1", "spiffe://nordfjord.hansa.example/instance/oslo-1"),
    ],
)
def test_a_certificate_carries_one_identity(role: Role, name: str, identity: str) -> None:
    assert uris_of(parsed(leaf(role=role, name=name))) == [identity]


@pytest.mark.parametrize(("role", "name"), [(Role.CONTROL_PLANE, "x"), (Role.AGENT, ""), (Role.TENANT, "../x")])
def test_an_identity_that_does_not_fit_its_role_is_not_issued(role: Role, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        spiffe_id(HOME_DOMAIN, role, name)


def test_only_a_control_plane_carries_the_name_that_is_dialled() -> None:
    def hosts(pem: bytes) -> list[str]:
        names = parsed(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return names.value.get_values_for_type(x509.DNSName)

    assert control_plane_host(HOME_DOMAIN) in hosts(leaf(role=Role.CONTROL_PLANE, name=""))
    assert control_plane_host(HOME_DOMAIN) not in hosts(leaf())
    assert hosts(leaf(role=Role.TENANT, name="acme")) == []


def test_a_tenant_may_not_serve() -> None:
    purposes = parsed(leaf(role=Role.TENANT, name="acme")).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(purposes.value) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_given_hosts_are_addresses_or_names() -> None:
    pem = issue(HOME, Subject(Role.AGENT, "oslo-1", ("10.0.0.7", "edge.example", "localhost")), YEAR).cert_pem
    names = parsed(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "10.0.0.7" in [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "edge.example"]


def test_an_authority_is_constrained_to_its_own_trust_domain() -> None:
    constraints = parsed(HOME.cert_pem).extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [name.value for name in constraints.value.permitted_subtrees or ()] == [HOME_DOMAIN]
    assert trust_domain_of(parsed(HOME.cert_pem)) == HOME_DOMAIN


def test_a_certificate_is_valid_from_a_little_before_now_for_late_clocks() -> None:
    made = parsed(leaf())
    assert made.not_valid_before_utc < datetime.fromtimestamp(NOW_MS / 1000, UTC) < made.not_valid_after_utc


# --- peers ---


def test_a_peer_is_whom_its_certificate_names() -> None:
    peer = verifier().peer(Context(leaf()), Role.AGENT)
    assert peer == PeerIdentity("nordfjord", Role.AGENT, "oslo-1", "spiffe://nordfjord.hansa.example/agent/oslo-1")


def test_a_partner_is_believed_in_its_own_trust_domain() -> None:
    peer = verifier().peer(Context(leaf(PARTNER, Role.CONTROL_PLANE, "")), Role.CONTROL_PLANE)
    assert peer.operator == "fjordby"


def assert_mismatch(pem: bytes) -> None:
    with pytest.raises(RefusalError) as refusal:
        verifier().identity_of(pem)
    assert refusal.value.reason is Reason.IDENTITY_MISMATCH


def test_a_partner_cannot_vouch_for_another_operators_name() -> None:
    assert_mismatch(forged(PARTNER, "spiffe://nordfjord.hansa.example/control-plane"))


def test_a_self_made_authority_of_the_same_name_is_not_believed() -> None:
    impostor = new_authority("nordfjord", HOME_DOMAIN, YEAR)
    assert_mismatch(leaf(impostor))


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("spiffe://nordfjord.hansa.example/agent/oslo-1", "spiffe://nordfjord.hansa.example/agent/oslo-2"),
        ("https://nordfjord.hansa.example/agent/oslo-1",),
        ("spiffe://nordfjord.hansa.example",),
        ("spiffe://nordfjord.hansa.example/agent",),
        ("spiffe://nordfjord.hansa.example/agent/",),
        ("spiffe://nordfjord.hansa.example/agent/oslo/1",),
        ("spiffe://nordfjord.hansa.example/control-plane/x",),
        ("spiffe://nordfjord.hansa.example/root/x",),
        ("spiffe://stranger.example/agent/oslo-1",),
    ],
)
def test_a_certificate_that_names_nobody_of_hansa_is_an_identity_mismatch(uris: tuple[str, ...]) -> None:
    assert_mismatch(forged(HOME, *uris))


def test_what_is_no_certificate_is_an_identity_mismatch() -> None:
    assert_mismatch(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def test_a_caller_without_certificate_is_an_identity_mismatch() -> None:
    with pytest.raises(RefusalError) as refusal:
        verifier().peer(Context(), Role.AGENT)
    assert refusal.value.reason is Reason.IDENTITY_MISMATCH


def test_a_tenant_cannot_do_what_an_agent_may() -> None:
    with pytest.raises(RefusalError) as refusal:
        verifier().peer(Context(leaf(role=Role.TENANT, name="acme")), Role.AGENT)
    assert refusal.value.reason is Reason.PERMISSION_DENIED


def test_during_a_change_of_authority_both_are_believed() -> None:
    successor = new_authority("nordfjord", HOME_DOMAIN, YEAR)
    both = PeerVerifier([TrustedDomain("nordfjord", HOME_DOMAIN, HOME.cert_pem + successor.cert_pem)])
    assert both.identity_of(leaf(HOME)).name == both.identity_of(leaf(successor)).name == "oslo-1"


def test_a_certificate_is_verified_once() -> None:
    peers, pem = verifier(), leaf()
    assert peers.identity_of(pem) is peers.identity_of(pem)
