"""Facts on an operator's own legal control, from its configuration: checked like those that cross the wire."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from hansa.v1 import common_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_zone import fact_in
from hansa_control.domain.model import Fact


class WrittenFact(Protocol):
    """A fact as the configuration has it."""

    @property
    def kind(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def evidence(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def valid_from(self) -> datetime: ...
    @property
    def valid_until(self) -> datetime: ...
    @property
    def digest(self) -> str: ...


def legal_facts_of(written: Iterable[WrittenFact]) -> tuple[Fact, ...]:
    """The facts; RefusalError INVALID_FIELD with the place of what is wrong."""
    return tuple(fact_in(_wire(one), f"legal_facts[{index}]") for index, one in enumerate(written))


def _wire(written: WrittenFact) -> common_pb2.Fact:
    try:
        kind = common_pb2.FactKind.Value(f"FACT_KIND_{written.kind}")
        evidence_kind = common_pb2.EvidenceKind.Value(f"EVIDENCE_KIND_{written.evidence}")
    except ValueError as error:
        raise fields.refused("legal_facts", str(error)) from error
    evidence = common_pb2.Evidence(
        kind=evidence_kind,
        issuer=written.issuer,
        scheme=written.scheme,
        valid_from_ms=int(written.valid_from.timestamp() * 1_000),
        valid_until_ms=int(written.valid_until.timestamp() * 1_000),
        digest=written.digest,
    )
    return common_pb2.Fact(kind=kind, value=written.value, evidence=evidence)
