"""Who speaks to which operator: endpoint, tenant and certificates, read once from a file.

    endpoint: 127.0.0.1:7443    # or those of several replicas: 192.0.2.1:7443,192.0.2.2:7443 (with server_name)
    tenant: havneby             # none: the operator's own engineers, with the control plane's certificate
    ca: ca.pem                  # vouches for the operator
    certificate: client.pem     # who we are
    key: client-key.pem
    server_name: nordavind      # optional: the name in the operator's certificate, if it is not the endpoint's host

Relative paths start at the profile's folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hansa.errors import HansaError
from hansa.names import checked_id
from hansa.targets import target_of
from hansa.yaml_tree import YamlValue, read_yaml_file

PROFILE_VARIABLE = "HANSA_PROFILE"
DEFAULT_PROFILE = "~/.config/hansa/profile.yaml"


@dataclass(frozen=True, slots=True)
class Profile:
    """Where an app team's operator is and with which certificates to speak to it."""

    endpoint: str
    tenant: str
    ca_file: Path
    certificate_file: Path
    key_file: Path
    server_name: str = ""

    def read_credentials(self) -> tuple[bytes, bytes, bytes]:
        """CA, certificate and key, PEM; raises HansaError INVALID_FIELD naming the key whose file cannot be read."""
        return _pem(self.ca_file, "ca"), _pem(self.certificate_file, "certificate"), _pem(self.key_file, "key")


def find_profile(given: Path | None = None) -> Path:
    """The profile's file: as given, else from HANSA_PROFILE, else the default; raises HansaError NOT_FOUND."""
    variable = os.environ.get(PROFILE_VARIABLE, "")  # noqa: TID251
    path = given or Path(variable or DEFAULT_PROFILE)
    path = path.expanduser()
    if not path.is_file():
        raise HansaError(
            "NOT_FOUND",
            f"no profile at {path}; give --profile FILE, set {PROFILE_VARIABLE}, or write {DEFAULT_PROFILE}",
            field="profile",
        )
    return path


def load_profile(given: Path | None = None) -> Profile:
    """Finds and reads the profile; raises HansaError NOT_FOUND or INVALID_FIELD (with line)."""
    path = find_profile(given)
    values = read_yaml_file(path).mapping(("endpoint", "ca", "certificate", "key"), ("tenant", "server_name"))
    endpoint = _endpoint(values["endpoint"])
    if "," in endpoint and "server_name" not in values:
        raise values["endpoint"].error("several addresses need server_name, the name in the operator's certificate")
    return Profile(
        endpoint=endpoint,
        tenant=_tenant(values["tenant"]) if "tenant" in values else "",
        ca_file=_path(values["ca"], path),
        certificate_file=_path(values["certificate"], path),
        key_file=_path(values["key"], path),
        server_name=values["server_name"].text() if "server_name" in values else "",
    )


def _endpoint(value: YamlValue) -> str:
    text = value.text()
    try:
        target_of(text)
    except ValueError as error:
        raise value.error(str(error)) from error
    return text


def _tenant(value: YamlValue) -> str:
    try:
        return checked_id(value.text(), "tenant")
    except HansaError as error:
        raise value.error(error.message) from error


def _path(value: YamlValue, profile: Path) -> Path:
    return profile.parent / Path(value.text()).expanduser()


def _pem(path: Path, field: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HansaError("INVALID_FIELD", f"{path}: {error.strerror or error}", field=f"profile.{field}") from error
    if b"-----BEGIN " not in content:
        raise HansaError("INVALID_FIELD", f"{path}: holds no PEM", field=f"profile.{field}")
    return content
