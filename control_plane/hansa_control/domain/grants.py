"""What a grant must say to be the answer to what was asked; the same comparison for the home operator and an auditor.

A digest of a request or a policy is SHA-256 over its canonical bytes (``domain.canonical``) without the fields that
have their defaults. So releases that know a field and releases that do not agree as long as nobody uses it, and
disagree as soon as somebody does: an owner that does not know a demand has not judged it, and its grant is refused.
Policies are brought into the form that ``merge`` gives, so that order and repetition do not count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from hansa_control.domain.canonical import PREFIX, canonical
from hansa_control.domain.merging import is_stricter_or_equal, merge
from hansa_control.domain.model import Handler, HoldGrant, OnBehalf, Origin, ResidencyPolicy, WorkloadSpec
from hansa_control.domain.seals import GRANT_FORMAT, GrantTerms, Seal

DIGESTS_KEPT_MAX = 512
"""Values whose digest is kept; each is a few kilobytes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A hold as the home operator asks for it; lease_ms is the longest that it asks for."""

    owner: str
    home: str
    context_id: str
    claim: str
    zone: str
    spec: WorkloadSpec
    lease_ms: int


class Mismatch(NamedTuple):
    """A field of a grant that does not answer what was asked: what it says, and what it should."""

    field: str
    said: str
    expected: str

    def __str__(self) -> str:
        return f"{self.field} is {self.said or 'empty'}, not {self.expected or 'empty'}"


@lru_cache(DIGESTS_KEPT_MAX)
def digest_of(value: Any) -> str:
    """The digest of a value of several fields, "sha256:<hex>"; fields that have their defaults do not count.

    Kept for the last values, since most holds ask for the same under the same policy.
    """
    text = json.dumps(value, default=_sparse, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return PREFIX + sha256(text.encode()).hexdigest()


@lru_cache(DIGESTS_KEPT_MAX)
def policy_digest(policy: ResidencyPolicy) -> str:
    """The digest of what a policy demands, however it is written down."""
    return digest_of(merge([policy]))


def terms_of(asked: Asked, grant: HoldGrant, applied: ResidencyPolicy, granted_at_ms: int) -> GrantTerms:
    """What the owner signs of a grant that it gives; applied is the policy that its filters ran on."""
    asked_digest = policy_digest(asked.spec.residency)
    same = applied == asked.spec.residency
    return GrantTerms(
        owner=asked.owner,
        home=asked.home,
        context_id=asked.context_id,
        claim=grant.claim,
        zone=asked.zone,
        pool=grant.pool,
        fencing_token=grant.fencing_token,
        lease_ms=grant.lease_ms,
        spec_digest=digest_of(asked.spec),
        policy_asked_digest=asked_digest,
        policy_applied_digest=asked_digest if same else policy_digest(applied),
        granted_at_ms=granted_at_ms,
        underlying_digest=digest_of_terms(grant.underlying.seal if grant.underlying is not None else None),
    )


def signed_bytes(terms: GrantTerms) -> bytes:
    """What the signature covers: the canonical bytes of all terms, format included."""
    return canonical(terms)


def digest_of_terms(seal: Seal | None) -> str:
    """The digest by which a grant names the one that it rests on, "sha256:<hex>"; empty where there is none."""
    return "" if seal is None else PREFIX + sha256(signed_bytes(seal.terms)).hexdigest()


def mismatches(asked: Asked, seal: Seal, now_ms: int, skew_ms_max: int) -> tuple[Mismatch, ...]:
    """Every field of a sealed grant that does not answer what was asked, in the order of the terms; () accepts it.

    That the owner has signed it is another question, which this does not answer. now_ms is the home operator's wall
    clock, from which the owner's may differ by skew_ms_max.
    """
    return tuple(_mismatches(asked, seal)) + tuple(_late(seal.terms, now_ms, skew_ms_max))


def claim_behind(home: str, claim: str) -> str:
    """The name of the claim that an operator has itself for a claim in a zone that it offers on."""
    return "r" + sha256(f"{home}|{claim}".encode()).hexdigest()[:40]


def asked_behind(spec: WorkloadSpec, home: str, claim: str, handler: Handler) -> WorkloadSpec:
    """What an operator asks of the next one for a hold in a zone that it offers on, of which it judged ``spec``."""
    said = spec.on_behalf
    handlers = (handler, *said.handlers) if said is not None else (handler,)
    behalf = OnBehalf(home, claim, handlers) if said is None else replace(said, handlers=handlers)
    return replace(spec, on_behalf=behalf)


def seals_below(grant: HoldGrant, origin: Origin) -> tuple[Seal, ...]:
    """The seals of the grants that a grant in a zone of this origin rests on, down to the owner's; KeyError with the
    operator of which one is missing.
    """
    found: list[Seal] = []
    for handler in reversed(origin.handlers):
        below = grant.underlying
        if below is None or below.seal is None:
            raise KeyError(handler.operator)
        found.append(below.seal)
        grant = below
    return tuple(found)


def asked_below(asked: Asked, seal: Seal, below: Sequence[Seal], origin: Origin) -> tuple[Asked, ...]:
    """What must have been asked for each of the grants that a grant rests on; below has one for each handler."""
    found: list[Asked] = []
    handlers = list(origin.handlers)
    for lower in below:
        handler = handlers.pop()
        spec = replace(asked.spec, residency=seal.policy_applied or asked.spec.residency)
        spec = asked_behind(spec, asked.home, asked.claim, handler)
        owner, zone = (handlers[-1].operator, asked.zone) if handlers else origin.zone
        name = claim_behind(asked.home, asked.claim)
        # Of their federation nobody else knows the context.
        asked = Asked(owner, handler.operator, lower.terms.context_id, name, zone, spec, asked.lease_ms)
        found.append(asked)
        seal = lower
    return tuple(found)


def unfounded(seals: Sequence[Seal]) -> tuple[Mismatch, ...]:
    """Of grants each of which rests on the next, those that were not signed so, and the last if it was signed as
    resting on another one; () if each was.
    """
    said = [seal.terms.underlying_digest for seal in seals]
    expected = [digest_of_terms(lower) for lower in (*seals[1:], None)]
    return tuple(
        Mismatch("underlying_digest", *pair) for pair in zip(said, expected, strict=True) if len(set(pair)) > 1
    )


def outlasts(above: Seal, below: Seal, skew_ms_max: int) -> Mismatch | None:
    """Whether a grant promises more than the one that it rests on, by more than two clocks may differ; then how."""
    ends_ms, bound_ms = (seal.terms.granted_at_ms + seal.terms.lease_ms for seal in (above, below))
    if ends_ms <= bound_ms + skew_ms_max:
        return None
    return Mismatch("lease_ms", f"until {ends_ms}", f"beyond {bound_ms} of the grant that it rests on")


def unfit(asked: Asked, seal: Seal) -> tuple[Mismatch, ...]:
    """The same at any later time: for who looks at a grant that was kept."""
    return tuple(_mismatches(asked, seal))


def _mismatches(asked: Asked, seal: Seal) -> Iterator[Mismatch]:
    terms = seal.terms
    expected = {
        "owner": asked.owner,
        "home": asked.home,
        "context_id": asked.context_id,
        "claim": asked.claim,
        "zone": asked.zone,
        "spec_digest": digest_of(asked.spec),
        "policy_asked_digest": policy_digest(asked.spec.residency),
        "format": GRANT_FORMAT,
    }
    for name, value in expected.items():
        if (said := getattr(terms, name)) != value:
            yield Mismatch(name, str(said), str(value))
    if bool(terms.pool) != (asked.spec.accelerator is not None):
        yield Mismatch("pool", terms.pool, "the pool of the accelerators" if asked.spec.accelerator else "")
    if not 0 < terms.lease_ms <= asked.lease_ms:
        yield Mismatch("lease_ms", str(terms.lease_ms), f"from 1 to {asked.lease_ms}")
    if terms.fencing_token < 1:
        yield Mismatch("fencing_token", str(terms.fencing_token), "at least 1")
    yield from _policy_mismatches(asked.spec.residency, seal)


def _policy_mismatches(asked: ResidencyPolicy, seal: Seal) -> Iterator[Mismatch]:
    """The owner applied the policy that was asked for, or one that it shows and that demands all of it."""
    terms, applied = seal.terms, seal.policy_applied
    shown = policy_digest(asked if applied is None else applied)
    if terms.policy_applied_digest != shown:
        yield Mismatch("policy_applied_digest", terms.policy_applied_digest, shown)
    if applied is not None and not is_stricter_or_equal(applied, asked):
        yield Mismatch("policy_applied", "laxer than what was asked", "at least as strict")


def _late(terms: GrantTerms, now_ms: int, skew_ms_max: int) -> Iterator[Mismatch]:
    if abs(now_ms - terms.granted_at_ms) > skew_ms_max:
        yield Mismatch("granted_at_ms", str(terms.granted_at_ms), f"within {skew_ms_max} ms of {now_ms}")


_DEFAULTS: dict[type, tuple[tuple[str, Callable[[Any], bool]], ...]] = {}


def _sparse(value: Any) -> Any:
    """A form that JSON has: fields by name, without those that have their defaults; members sorted."""
    if isinstance(value, frozenset):
        return sorted(value)
    kind = type(value)
    known = _DEFAULTS.get(kind)
    if known is None:
        named = sorted((field.name, _is_default(field)) for field in fields(kind))
        known = _DEFAULTS[kind] = tuple(named)
    return {name: held for name, is_default in known if not is_default(held := getattr(value, name))}


def _is_default(field: Field[Any]) -> Callable[[Any], bool]:
    if field.default is not MISSING:
        default = field.default
    elif field.default_factory is not MISSING:
        default = field.default_factory()
    else:
        return lambda held: False
    return lambda held: bool(held == default)
