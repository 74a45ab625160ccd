"""An operator's law: what a nation, a tenant's contract and the operator itself demand beside what app teams ask for.

    kind: Law
    nation: {preset: gdpr-eea}                       # of every workload here
    tenants:                                         # of every workload of a tenant
      havneby: {data: [NO, SE], control: [NO, SE]}
    owner: {control: {deny: [RU]}}                   # of every workload that wants a zone of this operator

Each policy is written as in a workload file; each may be left out. Presets stand in it by name and are expanded when
the policy is used, so that a change of law takes effect without a change of this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from hansa.errors import HansaError
from hansa.law.expansion import expand_policy
from hansa.law.membership import policy_reader
from hansa.names import checked_id
from hansa.policy_file import PolicyReader
from hansa.v1 import residency_pb2
from hansa.yaml_tree import YamlValue, read_yaml, read_yaml_file

Policy = residency_pb2.ResidencyPolicy


@dataclass(frozen=True, slots=True)
class LawFile:
    """What an operator's law file says; None and absent tenants demand nothing."""

    nation: Policy | None = None
    owner: Policy | None = None
    tenants: Mapping[str, Policy] = field(default_factory=dict)


def load_law_file(path: Path, as_of: date) -> LawFile:
    """Reads an operator's law file. Groups of countries are read as of the day, and every preset must expand on it.

    Raises HansaError NOT_FOUND, or INVALID_FIELD with file, line and field.
    """
    return _law_file(read_yaml_file(path), as_of)


def parse_law_text(text: str, as_of: date, *, source: str = "") -> LawFile:
    """The same for a text; ``source`` names it in errors."""
    return _law_file(read_yaml(text, source=source), as_of)


def _law_file(document: YamlValue, as_of: date) -> LawFile:
    parts = document.mapping(("kind",), ("nation", "tenants", "owner"))
    parts["kind"].one_of(("Law",))
    reader = policy_reader(as_of)
    return LawFile(
        nation=_policy(parts["nation"], reader, as_of) if "nation" in parts else None,
        owner=_policy(parts["owner"], reader, as_of) if "owner" in parts else None,
        tenants=dict(_tenants(parts["tenants"], reader, as_of)) if "tenants" in parts else {},
    )


def _tenants(value: YamlValue, reader: PolicyReader, as_of: date) -> Iterator[tuple[str, Policy]]:
    for name, policy in value.named():
        try:
            yield checked_id(name, "tenant"), _policy(policy, reader, as_of)
        except HansaError as error:
            if error.field != "tenant":
                raise
            raise policy.error(error.message) from error


def _policy(value: YamlValue, reader: PolicyReader, as_of: date) -> Policy:
    policy = reader.read(value)
    try:
        expand_policy(policy, as_of)
    except HansaError as error:
        raise value.error(error.message) from error
    return policy
