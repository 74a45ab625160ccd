"""Chains of origin on the wire, both ways: links as they were signed, and where a zone comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hansa.v1 import federation_service_pb2 as federation_pb2
from hansa_control.adapters import codec_fields as fields
from hansa_control.adapters.codec_grant import ALGORITHM_LENGTH_MAX, FORMAT_MAX, SIGNATURE_BYTES_MAX
from hansa_control.adapters.codec_zone import fact_out, facts_in, handlers_in, handlers_out
from hansa_control.domain.agreement import ANYBODY
from hansa_control.domain.model import OnBehalf
from hansa_control.domain.origin import Chain, LinkTerms, OriginLink
from hansa_control.domain.seals import Signed

LINK_COUNT_MAX = 8
"""More than any chain that is taken, so that a longer one is refused for what it is."""

ONWARD_COUNT_MAX = 100


def chain_in(wires: Sequence[federation_pb2.OriginLink], path: str) -> Chain:
    """The chain of an offer; none is empty."""
    fields.bounded(wires, LINK_COUNT_MAX, path)
    return tuple(_link_in(wire, f"{path}[{index}]") for index, wire in enumerate(wires))


def _link_in(wire: federation_pb2.OriginLink, path: str) -> OriginLink:
    terms = LinkTerms(
        by=fields.name_in(wire.by_operator, f"{path}.by_operator"),
        to=fields.name_in(wire.to_operator, f"{path}.to_operator"),
        onward=_onward_in(wire.onward_operators, f"{path}.onward_operators"),
        name=fields.required_text_in(wire.name, f"{path}.name"),
        content_digest=fields.digest_in(wire.content_digest, f"{path}.content_digest"),
        previous_digest=wire.previous_digest and fields.digest_in(wire.previous_digest, f"{path}.previous_digest"),
        facts=facts_in(wire.facts, f"{path}.facts"),
        signed_at_ms=fields.time_ms_in(wire.signed_at_ms, f"{path}.signed_at_ms"),
        valid_until_ms=fields.time_ms_in(wire.valid_until_ms, f"{path}.valid_until_ms"),
        format=fields.range_in(wire.format, (1, FORMAT_MAX), f"{path}.format"),
    )
    fields.bounded(wire.signature, SIGNATURE_BYTES_MAX, f"{path}.signature")
    algorithm = fields.text_in(wire.algorithm, f"{path}.algorithm", ALGORITHM_LENGTH_MAX)
    return OriginLink(
        terms, Signed(algorithm, wire.signature, fields.pem_in(wire.certificate_pem, f"{path}.certificate_pem"))
    )


def _onward_in(names: Sequence[str], path: str) -> tuple[str, ...]:
    fields.bounded(names, ONWARD_COUNT_MAX, path)
    if tuple(names) == ANYBODY:
        return ANYBODY
    return tuple(fields.name_in(name, f"{path}[{index}]") for index, name in enumerate(names))


def chain_out(chain: Iterable[OriginLink]) -> list[federation_pb2.OriginLink]:
    return [_link_out(link) for link in chain]


def _link_out(link: OriginLink) -> federation_pb2.OriginLink:
    terms = link.terms
    return federation_pb2.OriginLink(
        format=terms.format,
        by_operator=terms.by,
        to_operator=terms.to,
        onward_operators=terms.onward,
        name=terms.name,
        content_digest=terms.content_digest,
        previous_digest=terms.previous_digest,
        facts=[fact_out(fact) for fact in terms.facts],
        signed_at_ms=terms.signed_at_ms,
        valid_until_ms=terms.valid_until_ms,
        algorithm=link.signed.algorithm,
        signature=link.signed.signature,
        certificate_pem=link.signed.certificate_pem,
    )


def on_behalf_in(wire: federation_pb2.HoldRequest, path: str) -> OnBehalf | None:
    """For whom a hold is asked; None where the caller asks for itself."""
    if not wire.HasField("on_behalf"):
        return None
    said = wire.on_behalf
    return OnBehalf(
        home=fields.name_in(said.home_operator, f"{path}.home_operator"),
        claim=fields.identity_in(said.claim, f"{path}.claim"),
        handlers=handlers_in(said.handlers, f"{path}.handlers"),
    )


def on_behalf_out(said: OnBehalf | None) -> federation_pb2.OnBehalf | None:
    if said is None:
        return None
    return federation_pb2.OnBehalf(home_operator=said.home, claim=said.claim, handlers=handlers_out(said.handlers))
