"""What real control planes, agents and app teams read, written for a world of several operators on one machine.

Each operator has a folder: ``tls`` with its authority, the partners', and certificates of its processes with keys that
only their owner reads; ``control-plane.yaml``; ``agents/ZONE.yaml``. Contents are the caller's; the form, and who
believes whom, are here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hansa_control.adapters.authority import (
    Role,
    Subject,
    Validity,
    control_plane_host,
    issue,
    new_authority,
    write_private,
)

Document = dict[str, Any]


def trust_domain(operator: str) -> str:
    """The SPIFFE trust domain of an operator."""
    return f"{operator}.hansa.example"


class Trust:
    """An authority for each of some operators, all of whom federate."""

    def __init__(self, operators: Iterable[str], valid: Validity) -> None:
        self._valid = valid
        self._authorities = {name: new_authority(name, trust_domain(name), valid) for name in operators}

    def write_authorities(self, operator: str, tls: Path) -> None:
        """The operator's authority, and those of its partners, into its folder."""
        self.write_authority(operator, tls / "ca.pem")
        for partner in self._authorities:
            if partner != operator:
                self.write_authority(partner, tls / f"partner-{partner}.pem")

    def write_authority(self, operator: str, file: Path) -> None:
        file.write_bytes(self._authorities[operator].cert_pem)

    def certify(self, operator: str, base: Path, subject: Subject) -> None:
        """A certificate, ``BASE.pem``, and its key, ``BASE-key.pem``."""
        pair = issue(self._authorities[operator], subject, self._valid)
        base.with_name(f"{base.name}.pem").write_bytes(pair.cert_pem)
        write_private(base.with_name(f"{base.name}-key.pem"), pair.key_pem)

    def certify_zone(self, operator: str, tls: Path, zone: str, hosts: tuple[str, ...]) -> None:
        """The certificates of a zone's agent, and of the instances that it starts."""
        self.certify(operator, tls / zone, Subject(Role.AGENT, zone, hosts))
        self.certify(operator, tls / f"{zone}-instances", Subject(Role.INSTANCE, zone, hosts))


def profile_document(operator: str, endpoint: str, certificate: str) -> Document:
    """A profile of somebody whose certificate is so called, beside a folder ``tls``."""
    return {
        "endpoint": endpoint,
        "ca": "tls/ca.pem",
        "certificate": f"tls/{certificate}.pem",
        "key": f"tls/{certificate}-key.pem",
        "server_name": control_plane_host(trust_domain(operator)),
    }


def control_plane_document(operator: str, listen: Mapping[str, str], partners: Mapping[str, str]) -> Document:
    """A control plane that listens there, and its partners by name, each with where it is dialled."""
    return {
        "operator": operator,
        "trust_domain": trust_domain(operator),
        "data_dir": "data",
        "network": "network.yaml",
        # All zones are on this machine and answer from there, whatever city they are named after.
        "places_checked": False,
        "listen": dict(listen),
        "tls": {"ca": "tls/ca.pem", "cert": "tls/control-plane.pem", "key": "tls/control-plane-key.pem"},
        "partners": [
            {
                "operator": partner,
                "trust_domain": trust_domain(partner),
                "endpoint": endpoint,
                "ca": f"tls/partner-{partner}.pem",
            }
            for partner, endpoint in partners.items()
        ],
    }


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """Where a zone's agent dials, answers probes and lets instances listen: first and last port."""

    operator: str
    zone: str
    control_plane: str
    probe_listen: str
    probe_dial: str
    instance_host: str
    instance_advertised: str
    ports: tuple[int, int]


def agent_document(place: AgentPlace, inventory: Document, facts: Sequence[Document], artefact: Document) -> Document:
    """An agent that may start one artefact."""
    zone, (first, last) = place.zone, place.ports
    return {
        "zone": f"{place.operator}/{zone}",
        "operator": {
            "endpoints": [place.control_plane],
            "server_name": control_plane_host(trust_domain(place.operator)),
            "tls": {"ca": "../tls/ca.pem", "cert": f"../tls/{zone}.pem", "key": f"../tls/{zone}-key.pem"},
        },
        "state_dir": f"../state/{zone}",
        "inventory": inventory,
        "facts": list(facts),
        "artefacts": [artefact],
        "probe": {"listen": place.probe_listen, "advertise": place.probe_dial, "interval_s": 5.0, "count": 10},
        "instance": {
            "listen_host": place.instance_host,
            "advertise_host": place.instance_advertised,
            "port_range": {"first": first, "last": last},
            "tls": {"cert": f"../tls/{zone}-instances.pem", "key": f"../tls/{zone}-instances-key.pem"},
        },
    }


def write_document(path: Path, document: Document) -> None:
    """As YAML, in the order given."""
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
