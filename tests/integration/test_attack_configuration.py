"""An engineer who errs: what ``hansa-control`` says of wrong certificates and folders, in one line and with exit 2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from control_harness import NOWHERE, Operator, authority_of
from hansa_control import bootstrap
from hansa_control.adapters.authority import KeyPair, Role, Subject, Validity, issue
from typer.testing import CliRunner


@dataclass
class Site:
    """An operator's configuration with one partner, to be spoilt."""

    operator: Operator
    config: Path

    def write(self, name: str, content: bytes) -> None:
        (self.config.parent / name).write_bytes(content)

    def told(self, command: str = "check-config") -> tuple[int, str]:
        done = CliRunner().invoke(bootstrap.app, [command, "--config", str(self.config)])
        return done.exit_code, done.output


@pytest.fixture
def site(tmp_path: Path) -> Site:
    partners = {"fjordby": (NOWHERE, authority_of("fjordby").cert_pem)}
    operator = Operator("nordfjord", tmp_path / "nordfjord", authority_of("nordfjord"), partners)
    return Site(operator, operator.write_config())


def other_key(site: Site) -> None:
    site.write("cp.key", site.operator.certificate(Role.CONTROL_PLANE).key_pem)


def no_key(site: Site) -> None:
    site.write("cp.key", site.operator.authority.cert_pem)


def pair(site: Site, made: KeyPair) -> None:
    site.write("cp.pem", made.cert_pem)
    site.write("cp.key", made.key_pem)


def agents_certificate(site: Site) -> None:
    pair(site, site.operator.certificate(Role.AGENT, "oslo-1"))


def expired(site: Site) -> None:
    end = datetime.now(UTC) - timedelta(days=1)
    pair(site, issue(site.operator.authority, Subject(Role.CONTROL_PLANE), Validity(end - timedelta(days=1), end)))


def authority_of_another(site: Site) -> None:
    site.write("partner-fjordby.pem", authority_of("waldnetz").cert_pem)


def test_a_sound_configuration_passes(site: Site) -> None:
    assert site.told()[0] == 0


@pytest.mark.parametrize(
    ("spoil", "file", "why"),
    [
        (other_key, "cp.pem", "the private key is that of another certificate"),
        (no_key, "cp.pem", "holds no private key"),
        (agents_certificate, "cp.pem", "is not the identity of a control plane"),
        (expired, "cp.pem", "is valid from"),
        (authority_of_another, "partner-fjordby.pem", "is the authority of waldnetz.hansa.example, not of fjordby"),
    ],
)
def test_wrong_certificates_are_told_by_file_before_anything_listens(
    site: Site, spoil: Callable[[Site], None], file: str, why: str
) -> None:
    spoil(site)
    code, output = site.told()
    assert code == 2
    assert output.count("\n") == 1
    assert file in output
    assert why in output


def test_a_data_folder_that_cannot_be_made_is_told_in_one_line(site: Site) -> None:
    content = yaml.safe_load(site.config.read_text())
    site.config.write_text(yaml.safe_dump({**content, "data_dir": str(site.config)}))
    code, output = site.told("serve")
    assert code == 2
    assert output.splitlines()[-1].startswith("error: data_dir: ")
